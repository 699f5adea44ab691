"""Our own routes: the state, control steps, controllers, the emergency stop, single pictures."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flask
import numpy as np

from hilserl_envs.errors import ActionError, CameraError
from hilserl_envs.impedance import Compliance
from hilserl_envs.json_values import check_number, check_numbers, check_object
from hilserl_envs.recording.image_codec import image_codec
from hilserl_envs.robot import MOTIONS, WRENCH_TIMEOUT
from hilserl_envs.wire import STEP_TYPE, THINKING_TIME, StepRequest, chosen_cameras, pack
from robot_servers.guard import Guard
from robot_servers.limits import PARAMETERS, Refusal
from robot_servers.routes.bodies import json_body

_LIMITS = ("max_jump", "max_turn", "max_force", "max_torque", "max_push", "max_load")
MAX_WAITING = 8  # steps that wait at once: each keeps one of the server's threads


@dataclass(frozen=True)
class ServerInfo:
    """What a server tells of itself.

    Args:
        backend: its name.
        reset_q: joint positions (7,) of each arm's joint reset [rad].
        task: its name, None where none was given.
        speed: of the robot's time, times real time.
        reached: the speed that was reached lately.
        extra: more for every answer that tells the state.
    """

    backend: str
    reset_q: Mapping[str, np.ndarray]
    task: str | None = None
    speed: float = 1.0
    reached: Callable[[], float] = lambda: 1.0
    extra: Callable[[], dict[str, Any]] = dict

    def state(self, guard: Guard) -> dict[str, Any]:
        """What answers tell of the state."""
        return guard.state() | self.extra()


def own_routes(guard: Guard, info: ServerInfo) -> flask.Blueprint:
    """The routes that don't stream."""
    routes = flask.Blueprint("own", __name__)
    handlers = _Handlers(guard, info)
    for path in ("/robot", "/state", "/configure", "/health", "/cameras"):
        routes.get(path)(getattr(handlers, f"get{path.replace('/', '_')}"))
    routes.get("/cameras/<path:name>.jpg")(handlers.picture)
    for path in (
        "/step",
        "/configure",
        "/drive_by",
        "/reset_joints",
        "/recover",
        "/start",
        "/stop",
        "/load",
        "/emergency_stop",
        "/emergency_stop/clear",
    ):
        routes.post(path)(getattr(handlers, path.strip("/").replace("/", "_")))
    return routes


@dataclass
class _Handlers:
    """A method a route."""

    guard: Guard
    info: ServerInfo
    began: float = field(default_factory=time.monotonic)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITING))

    def get_robot(self) -> dict[str, Any]:
        from importlib.metadata import PackageNotFoundError, version

        settings, station = self.guard.settings, self.guard.station
        try:
            number = version("hilserl_envs")
        except PackageNotFoundError:  # run from a source tree
            number = "unknown"
        return {
            "arms": list(station.arms),
            "grippers": sorted(station.grippers),
            "cameras": {name: list(size) for name, size in station.cameras.items()},
            "backend": self.info.backend,
            "task": self.info.task,
            "speed": self.info.speed,
            "deadman": settings.deadman,
            "box": {"low": list(settings.box_low), "high": list(settings.box_high)},
            "limits": {name: getattr(settings, name) for name in _LIMITS},
            "reset_q": {name: list(map(float, q)) for name, q in self.info.reset_q.items()},
            "version": number,
        }

    def get_state(self) -> dict[str, Any]:
        return self.info.state(self.guard)

    def step(self) -> flask.Response:
        station = self.guard.station
        names = [one.name for one in dataclasses.fields(StepRequest)]
        request = StepRequest.from_json(json_body(names), station.arms, station.cameras)
        self.guard.check_instance(request.instance)
        number = self.guard.command(request.commands)
        if request.wait > 0:
            now = station.clock.now()
            # A time that has not come yet is of a robot that was started again since.
            since = now if request.since is None else min(request.since, now)
            self._wait_until(since + request.wait, request, number)
        frames = {name: station.frame(name) for name in chosen_cameras(request.images, station.cameras)}
        return flask.Response(pack(self.get_state(), frames, request.encoding), mimetype=STEP_TYPE)

    def _wait_until(self, instant: float, request: StepRequest, number: int) -> None:
        """Let a step's time pass; towards its end its wrenches get the time that its client may think."""
        clock = self.guard.station.clock
        if not self.waiting.acquire(blocking=False):
            raise Refusal("too_many_waiting", f"{MAX_WAITING} steps wait already; try again", 503)
        try:
            renewal = instant + THINKING_TIME - WRENCH_TIMEOUT
            pushes = any(command.wrench is not None for command in request.commands.values())
            if pushes and request.wait <= WRENCH_TIMEOUT and renewal > clock.now():
                clock.wait_until(renewal)
                self.guard.renew_wrenches(number, request.commands)
            clock.wait_until(instant)
        finally:
            self.waiting.release()

    def get_configure(self) -> dict[str, Any]:
        """The impedance parameters now, and the range and default of each."""
        defaults = dataclasses.asdict(Compliance())
        return {
            "compliance": {name: dataclasses.asdict(c) for name, c in self.guard.compliance.items()},
            "ranges": {
                name: {"low": low, "high": high, "default": defaults[name]}
                for name, (low, high) in PARAMETERS.items()
            },
        }

    def configure(self) -> dict[str, Any]:
        changes = check_object(
            json_body(["compliance"], ["compliance"])["compliance"], self.guard.station.arms, "compliance"
        )
        for arm, values in changes.items():
            if not isinstance(values, dict):
                raise ActionError(f"the compliance of arm {arm!r} must be an object of numbers by name")
        return {"clamped": self.guard.configure(changes)}

    def drive_by(self) -> dict[str, Any]:
        motions = check_object(
            json_body(["motions"], ["motions"])["motions"], self.guard.station.arms, "motions"
        )
        for arm, motion in motions.items():
            if motion not in MOTIONS:
                raise ActionError(f"the motion of arm {arm!r} must be one of {', '.join(MOTIONS)}")
        self.guard.drive_by(motions)
        return self.get_state()

    def reset_joints(self) -> dict[str, Any]:
        """To the joint positions given, else all arms to their reset postures."""
        goals = check_object(json_body(["q"]).get("q", {}), self.guard.station.arms, "q")
        q = {name: check_numbers(goal, (7,), f"q of arm {name!r}") for name, goal in goals.items()}
        self.guard.reset_joints(q or {name: np.array(goal) for name, goal in self.info.reset_q.items()})
        return self.get_state()

    def recover(self) -> dict[str, Any]:
        json_body([])
        self.guard.recover()
        return self.get_state()

    def start(self) -> dict[str, Any]:
        json_body([])
        self.guard.start()
        return self.get_state()

    def stop(self) -> dict[str, Any]:
        self.guard.stop()  # whatever the body says
        return self.get_state()

    def load(self) -> dict[str, Any]:
        names = ("arm", "mass", "center", "inertia")
        values = json_body(names, names)
        arm, arms = values["arm"], self.guard.station.arms
        if arm not in arms:
            raise ActionError(f"arm must be one of {', '.join(arms)}")
        self.guard.load(
            arm,
            check_number(values["mass"], 0.0, 100.0, "mass"),
            check_numbers(values["center"], (3,), "center"),
            check_numbers(values["inertia"], (3, 3), "inertia"),
        )
        return {}

    def emergency_stop(self) -> dict[str, Any]:
        # First the stop: a body that makes no sense must not keep it off.
        try:
            why = json_body(["why"]).get("why")
        except ActionError:
            why = None
        self.guard.emergency_stop(why[:200] if isinstance(why, str) and why else "pressed")
        return self.get_state()

    def emergency_stop_clear(self) -> dict[str, Any]:
        json_body([])
        self.guard.clear_emergency_stop()
        return self.get_state()

    def get_health(self) -> dict[str, Any]:
        guard = self.guard
        errors = guard.station.errors()
        return {
            "ok": not errors and guard.emergency is None,
            "errors": errors,
            "emergency_stop": guard.emergency or False,
            "uptime": time.monotonic() - self.began,
            "time": guard.station.clock.now(),
            "speed": {"wanted": self.info.speed, "reached": self.info.reached()},
        }

    def get_cameras(self) -> dict[str, Any]:
        """Size, what is wrong, and how old the newest frame is [s], of every camera."""
        found = {}
        for name, camera in self.guard.station.eyes.items():
            entry: dict[str, Any] = {"size": list(camera.size), "error": camera.error()}
            try:
                frame = camera.frame()
                entry |= {"number": frame.number, "age": time.monotonic() - frame.time}
            except CameraError as error:
                entry |= {"number": None, "age": None, "error": str(error)}
            found[name] = entry
        return found

    def picture(self, name: str) -> flask.Response:
        station = self.guard.station
        if name not in (eyes := station.eyes):
            raise Refusal(
                "no_camera", f"there is no camera {name[:60]!r}; known: {', '.join(eyes) or 'none'}", 404
            )
        frame = station.frame(name)
        headers = {"X-Frame-Time": repr(frame.time), "X-Frame-Number": str(frame.number)}
        jpeg = image_codec("jpeg").encode(frame.image)
        return flask.Response(jpeg, mimetype="image/jpeg", headers=headers)
