"""`Page`: what the operator sees and drives with in a browser, as a Flask blueprint."""

from __future__ import annotations

import dataclasses
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

import flask
import numpy as np

from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.images import fit_image
from hilserl_envs.json_values import parse_json
from hilserl_envs.live.controls import Controls
from hilserl_envs.live.status import MODES, Status

MAX_BYTES = 16_384  # of a message; the longest honest one is a fifth of it
FRAME_WAIT = 1.0  # how long a request for the next frame waits for one [s]
JPEG_QUALITY = 90
_MAX_WAITING = 4  # requests that wait at once: each keeps one of the server's threads

# Nothing but this page's own files; nobody may put it in a frame; the token leaves in no referrer.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page:
    """A page with live cameras and status, and the operator's controls if they drive with it.

    Put `page.blueprint` on any Flask app, or serve it with `PageServer`. Every address but
    the static files needs the token: in the page's own URL (`?token=`), then in the header
    `X-Token`. Another web site that the operator has open can't know it, and a browser lets
    no other site set that header, so no such site can move an arm.

    Args:
        controls: where the operator's messages go; None for a page that only shows.

    Attributes:
        token: random, new for every page.
        blueprint: for `app.register_blueprint(page.blueprint, url_prefix=...)`.

    Raises:
        ConfigError: simplejpeg is not installed.
    """

    kind = "browser"

    def __init__(self, controls: Controls | None = None):
        try:
            import simplejpeg
        except ModuleNotFoundError:
            raise ConfigError(
                'the page needs simplejpeg; pip install "hilserl_envs[teleop]" brings it'
            ) from None
        self._encode = simplejpeg.encode_jpeg
        self.controls = controls
        self.token = secrets.token_urlsafe(16)
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._waiting = threading.Semaphore(_MAX_WAITING)
        self._number, self._images, self._closed = 0, {}, False
        self._status = Status(paused=True, message="The run has not started yet.")
        self._shown_at = time.monotonic()
        self._jpeg: tuple[int, bytes, str] = (0, b"", "[]")
        self.blueprint = self._make_blueprint()

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """Offer new images (height, width, 3) uint8 RGB by camera; takes microseconds.

        They are kept, not copied: don't write into them. They are encoded when a page asks.
        """
        with self._changed:
            self._number, self._images, self._status = self._number + 1, images, status
            self._shown_at = time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of requests that wait; whoever serves the page ends it. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __deepcopy__(self, memo: dict) -> Page:
        # gymnasium copies the arguments of wrappers; a page that people look at has no copy.
        return self

    def _make_blueprint(self) -> flask.Blueprint:
        blueprint = flask.Blueprint("live", __name__, static_folder="static")
        blueprint.before_request(self._check_token)
        blueprint.after_request(_add_headers)
        blueprint.get("/", endpoint="page")(lambda: blueprint.send_static_file("index.html"))
        blueprint.get("/setup", endpoint="setup")(self._setup)
        blueprint.get("/frame", endpoint="frame")(self._frame)
        blueprint.post("/input", endpoint="input")(self._input)
        return blueprint

    def _check_token(self) -> flask.Response | None:
        request = flask.request
        route = request.endpoint.rpartition(".")[2]
        if route == "static":
            return None
        given = request.args.get("token", "") if route == "page" else request.headers.get("X-Token", "")
        # Compared in constant time, so that its characters can't be found out one by one.
        if hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        return _refusal(403, "wrong or missing token: open the address that the running program printed")

    def _setup(self) -> dict[str, Any]:
        controls = self.controls
        driving = controls and {
            "keys": list(controls.keys.items()),  # in this order on the page
            "roles": controls.roles,
            "dead_zone": controls.dead_zone,
            "mouse_range": controls.mouse_range,
        }
        return {"modes": {name: mode._asdict() for name, mode in MODES.items()}, "controls": driving}

    def _input(self) -> dict[str, Any] | flask.Response:
        """Take in a message; the answer carries the status, so that one connection does both."""
        now = time.monotonic()
        try:
            data = _json_of(flask.request)
            answer = {"driver": "view"} if self.controls is None else self.controls.receive(data, now)
        except ActionError as error:
            if self.controls is not None:
                self.controls.release()  # who talks nonsense shall not go on moving the arm
            return _refusal(400, str(error))
        status = self._status
        state = dataclasses.asdict(status) | {"mode": status.mode}
        return {"tick": now, "status": state, "age": now - self._shown_at} | answer

    def _frame(self) -> flask.Response:
        """The cameras side by side as one JPEG, once there is a frame after `?after=`.

        204 if there is none within a second. `X-Frame` is its number, `X-Cameras` a JSON
        list of [name, left edge, width, height].
        """
        after = flask.request.args.get("after", default=-1, type=int)
        if not self._waiting.acquire(blocking=False):
            return _refusal(503, "too many pages wait for images; close some")
        try:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or (self._number > after and self._images), FRAME_WAIT
                )
                number, images = self._number, self._images
        finally:
            self._waiting.release()
        if number <= after or not images:
            return flask.Response(status=204)
        number, jpeg, cameras = self._encoded(number, images)
        headers = {"X-Frame": str(number), "X-Cameras": cameras}
        return flask.Response(jpeg, mimetype="image/jpeg", headers=headers)

    def _encoded(self, number: int, images: Mapping[str, np.ndarray]) -> tuple[int, bytes, str]:
        """The frame, or a newer one that another page had encoded meanwhile."""
        with self._encoding:
            if self._jpeg[0] < number:
                height = max(image.shape[0] for image in images.values())
                places, row, left = [], [], 0
                for name, image in images.items():
                    width = round(image.shape[1] * height / image.shape[0])
                    row.append(fit_image(image, (height, width)))
                    places.append([name, left, width, height])
                    left += width
                # Half the colour resolution would smear a task's thin, coloured parts.
                jpeg = self._encode(
                    np.concatenate(row, axis=1),
                    quality=JPEG_QUALITY,
                    colorspace="RGB",
                    colorsubsampling="444",
                )
                self._jpeg = (number, jpeg, json.dumps(places))
            return self._jpeg


def _json_of(request: flask.Request) -> Any:
    """The body of a request as JSON without NaN.

    Raises:
        ActionError: it is too large, no JSON, or not declared as JSON: that declaration
            no other site's form can make.
    """
    if request.mimetype != "application/json":
        raise ActionError(f"the content type must be application/json, got {request.mimetype or 'none'}")
    body = request.stream.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ActionError(f"a message has at most {MAX_BYTES} bytes")
    return parse_json(body)


def _refusal(code: int, message: str) -> flask.Response:
    return flask.Response(message + "\n", status=code, mimetype="text/plain")


def _add_headers(response: flask.Response) -> flask.Response:
    response.headers.update(_HEADERS)
    return response
