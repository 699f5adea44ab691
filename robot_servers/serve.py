"""`RobotServer`: a backend, its guard, the app, and waitress under it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence

import flask
import numpy as np
import waitress.task

from hilserl_envs.errors import ConfigError
from hilserl_envs.kinematics import ARM_MODELS
from hilserl_envs.serving import AppServer
from robot_servers.app import create_app
from robot_servers.auth import Access, is_loopback
from robot_servers.backends import BackendSettings, make_station
from robot_servers.guard import Guard
from robot_servers.limits import GuardSettings
from robot_servers.routes.own import MAX_WAITING, ServerInfo
from robot_servers.routes.streams import MAX_STREAMS
from robot_servers.station import Station

# Streams and waiting steps can't take them all: commands and the stop find one at once.
_THREADS = MAX_STREAMS + MAX_WAITING + 8
# A client that does not keep up with its stream holds that up, not megabytes of old pictures.
_UNSENT = 262_144  # [bytes]
_LARGEST = 1_048_576  # of what is read at all [bytes]; the app refuses less than that, in JSON


class RobotServer:
    """Serves a station until it is closed, from background threads of this process.

    Args:
        station: closed with the server.
        info: what the server tells of itself.
        guard_settings: what is let through to the arms.
        host: address to listen on. Any but this machine's own needs a token.
        port: 0 takes a free one.
        token: that every request must carry.
        more: make routes of the backend's own.

    Attributes:
        guard: of the station.
        app: what is served.
        url: for clients, without the token.

    Raises:
        ConfigError: another host without a token, or it cannot be listened on.
    """

    def __init__(
        self,
        station: Station,
        info: ServerInfo,
        guard_settings: GuardSettings | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        more: Sequence[Callable[[Guard], flask.Blueprint]] = (),
    ):
        with contextlib.ExitStack() as undo:
            undo.callback(station.close)
            check_address(host, token)
            self.guard = Guard(station, guard_settings)
            undo.callback(self.guard.close)
            self.app = create_app(self.guard, info, Access(token), [make(self.guard) for make in more])
            self._server = AppServer(
                self.app,
                host,
                port,
                _THREADS,
                "the robot server",
                error_task=_NoRequest,
                max_request_body_size=_LARGEST,
                outbuf_high_watermark=_UNSENT,
            )
            self.url = self._server.address
            undo.pop_all()

    def close(self) -> None:
        """Stop listening, then the robot; safe to call twice."""
        self._server.close()
        self.guard.close()


def open_server(
    backend: str,
    settings: BackendSettings,
    guard_settings: GuardSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
) -> RobotServer:
    """Bring a backend up and serve it; see `RobotServer`.

    Raises:
        ConfigError: a setting makes no sense.
        RobotError: the robot does not answer.
    """
    check_address(host, token)  # before an arm is brought up
    guard_settings = guard_settings or GuardSettings()
    station = make_station(backend, settings)
    info = ServerInfo(
        backend=backend,
        reset_q={name: _reset_q(settings, guard_settings.arm_model, name) for name in station.arms},
        task=None if settings.task is None else type(settings.task).__name__,
    )
    more = []
    if backend == "twin":
        from robot_servers.backends.twin_routes import twin_info, twin_routes

        info = twin_info(info, station)
        more.append(lambda guard: twin_routes(guard, station))
    return RobotServer(station, info, guard_settings, host, port, token, more)


def check_address(host: str, token: str | None) -> None:
    """Refuse to listen where others could drive the robot without a token.

    Raises:
        ConfigError: they could.
    """
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"at {host} others could drive the robot: give a --token-file, or stay at 127.0.0.1 and let "
            "`ssh -L` bring it to another machine"
        )


def _reset_q(settings: BackendSettings, arm_model: str, arm: str) -> np.ndarray:
    """Joint positions (7,) of an arm's joint reset: the task's, or a posture with the hand pointing down."""
    task = settings.task
    known = task is not None and arm in task.arms
    return task.reset_q(arm) if known else np.array(ARM_MODELS[arm_model].ready)


class _NoRequest(waitress.task.ErrorTask):
    """Answers what waitress itself refuses, such as no HTTP at all, as the app refuses: in JSON."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}", "kind": "bad_request"}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
