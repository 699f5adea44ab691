"""Streams: the state as server-sent events, and cameras as Motion JPEG."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask

from hilserl_envs.errors import ActionError, CameraError, HilserlError
from hilserl_envs.json_values import check_number
from hilserl_envs.recording.image_codec import image_codec
from robot_servers.guard import Guard
from robot_servers.limits import Refusal

MAX_STREAMS = 8  # each keeps one of the server's threads for as long as it is looked at
_BLIND_FOR = 5.0  # how long a picture may be missing before its stream ends [s]
_EVENTS_HZ, _PICTURES_HZ = 10.0, 15.0  # unless the client wants another rate
_HZ = (0.1, 60.0)


def stream_routes(guard: Guard, state: Callable[[], dict[str, Any]]) -> flask.Blueprint:
    """The routes that stream.

    Args:
        guard: of the station.
        state: what an event tells.
    """
    routes = flask.Blueprint("streams", __name__)
    free = threading.Semaphore(MAX_STREAMS)
    encode = image_codec("jpeg").encode

    def streaming(parts: Iterator[bytes], mimetype: str) -> flask.Response:
        if not free.acquire(blocking=False):
            raise Refusal(
                "too_many_streams", f"{MAX_STREAMS} streams are being looked at already; close one", 503
            )
        response = flask.Response(parts, mimetype=mimetype)
        # Not in the generator: one that nobody starts to read has nothing to clean up.
        response.call_on_close(free.release)
        return response

    @routes.get("/events")
    def events() -> flask.Response:
        period = 1 / _rate(_EVENTS_HZ)

        def parts() -> Iterator[bytes]:
            for _ in _every(period):
                try:
                    kind, data = "state", state()
                except HilserlError as error:
                    kind, data = "trouble", {"error": str(error)}
                yield f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

        return streaming(parts(), "text/event-stream")

    @routes.get("/cameras/<path:name>.mjpg")
    def film(name: str) -> flask.Response:
        if name not in guard.station.eyes:
            known = ", ".join(guard.station.eyes) or "none"
            raise Refusal("no_camera", f"there is no camera {name[:60]!r}; known: {known}", 404)
        camera, period = guard.station.eyes[name], 1 / _rate(_PICTURES_HZ)

        def parts() -> Iterator[bytes]:
            shown, seen_at = None, time.monotonic()
            for now in _every(period):
                try:
                    frame = camera.frame()
                except CameraError:
                    if now - seen_at > _BLIND_FOR:
                        return
                    continue
                seen_at = now
                if frame.number != shown:
                    shown, jpeg = frame.number, encode(frame.image)
                    head = (
                        f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
                        f"X-Frame-Time: {frame.time!r}\r\nX-Frame-Number: {frame.number}\r\n\r\n"
                    )
                    yield head.encode() + jpeg + b"\r\n"

        return streaming(parts(), "multipart/x-mixed-replace; boundary=frame")

    return routes


def _rate(default: float) -> float:
    """The rate that the request asks for [Hz]."""
    text = flask.request.args.get("hz")
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise ActionError(f"hz must be a number, got {text[:60]!r}") from None
    return check_number(value, *_HZ, "hz")


def _every(period: float) -> Iterator[float]:
    """`time.monotonic` at a rate; late ones are left out."""
    due = time.monotonic()
    while True:
        now = time.monotonic()
        yield now
        due = max(due + period, now)
        time.sleep(max(0.0, due - time.monotonic()))
