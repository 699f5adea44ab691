"""`create_app`: the Flask app of the robot server."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flask
import werkzeug.exceptions

from hilserl_envs.errors import CameraError, HilserlError, RobotError
from robot_servers.auth import Access
from robot_servers.guard import Guard
from robot_servers.limits import Refusal
from robot_servers.routes.bodies import MAX_BODY
from robot_servers.routes.own import ServerInfo, own_routes
from robot_servers.routes.public import READS, public_routes
from robot_servers.routes.streams import stream_routes

log = logging.getLogger("robot_servers")

CONSOLE = Path(__file__).parent / "console"

# Nothing but this server's own files; in nobody's frame; a token in the address leaves in no referrer.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# What clients send all the time; of all else that is sent the log tells who did it.
_FREQUENT = {"step", "pose", "wrench", "clearerr", *READS, "getpos_euler", "getstate"}
_KINDS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def create_app(
    guard: Guard,
    info: ServerInfo,
    access: Access | None = None,
    more: Iterable[flask.Blueprint] = (),
) -> flask.Flask:
    """The app over a guarded station; whoever made the guard closes it.

    Args:
        guard: every command passes it.
        info: what the server tells of itself.
        access: who may come in; by default this machine without a token.
        more: routes of the backend's own.
    """
    from robot_servers.openapi import describe

    app = flask.Flask("robot_servers", static_folder=None)
    app.config |= {"MAX_CONTENT_LENGTH": MAX_BODY, "PROVIDE_AUTOMATIC_OPTIONS": False}
    (access or Access()).protect(app)
    streams = stream_routes(guard, lambda: info.state(guard))
    for routes in (own_routes(guard, info), *public_routes(guard, info.reset_q), streams, *more):
        app.register_blueprint(routes)
    app.get("/", endpoint="page")(lambda: flask.send_from_directory(CONSOLE, "index.html"))
    app.get("/console/<path:name>", endpoint="console")(lambda name: flask.send_from_directory(CONSOLE, name))
    app.get("/openapi.json", endpoint="openapi")(lambda: describe(guard, info))
    app.register_error_handler(HilserlError, _refuse)
    app.register_error_handler(werkzeug.exceptions.HTTPException, _refuse_http)
    app.register_error_handler(RecursionError, _refuse_nested)
    app.register_error_handler(Exception, _fail)
    app.after_request(_add_headers)
    app.after_request(_log_deeds)
    return app


def _answer(status: int, kind: str, message: str) -> tuple[dict[str, Any], int]:
    return {"error": message, "kind": kind}, status


def _refuse(error: HilserlError) -> tuple[dict[str, Any], int]:
    if isinstance(error, Refusal):
        return _answer(error.status, error.kind, str(error))
    if isinstance(error, RobotError):
        return _answer(503, "camera" if isinstance(error, CameraError) else "robot", str(error))
    return _answer(400, "bad_request", str(error))


def _refuse_http(error: werkzeug.exceptions.HTTPException) -> tuple[dict[str, Any], int]:
    status = error.code or 500
    return _answer(status, _KINDS.get(status, "bad_request"), error.description or error.name)


def _refuse_nested(error: RecursionError) -> tuple[dict[str, Any], int]:
    return _answer(400, "bad_request", "the body is nested too deeply")


def _fail(error: Exception) -> tuple[dict[str, Any], int]:
    log.exception("a fault of this server, please report it")
    return _answer(500, "fault", "a fault of this server; its log says more")


def _log_deeds(response: flask.Response) -> flask.Response:
    request = flask.request
    if request.method == "POST" and request.path.rpartition("/")[2] not in _FREQUENT:
        log.info("%s POST %r: %d", request.remote_addr, request.path[:100], response.status_code)
    return response


def _add_headers(response: flask.Response) -> flask.Response:
    response.headers.update(_HEADERS)
    return response
