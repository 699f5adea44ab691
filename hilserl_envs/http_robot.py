"""`HttpRobot`: the `Robot` protocol over a robot server, or over one server for each of two arms."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from hilserl_envs import wire
from hilserl_envs.errors import CameraError, ConfigError, RobotError, check_array, check_name
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmCommand, RobotState
from hilserl_envs.server_connection import ServerConnection

log = logging.getLogger("hilserl_envs.http_robot")

# What a server may take until it answers [s of robot time]; controllers may have to be launched anew.
SETTING_TIME, RECOVERY_TIME, JOINT_RESET_TIME = 10.0, 60.0, 120.0
LONE_ARM = "arm"  # what a server calls it

Result = TypeVar("Result")


class HttpRobot:
    """The arms and cameras of a robot server: a real robot, or a twin in another process.

    One control step is one request: `command` keeps its commands until `wait` sends them, and
    the answer holds the state and, where those of the last wait were looked at, the images that
    the next `read` and `capture` hand out. Anything else asks the server at that moment.

    A wait counts from the last answer if at least half of it is left then, so that a policy's
    thinking does not slow the control rate down; else from when the command arrives.

    What can move an arm is never sent twice. After an error the next call connects anew. A server
    that was started again refuses commands until its state is read, as a reset does first.

    Args:
        url: of the server; or {"left": URL, "right": URL}, each that of a server with one arm.
            Each server has a clock of its own: the time of a state is that of the left arm's.
        cameras: whose images are wanted; None for all that there are.
        encoding: of images on the way: "raw", which loses nothing, or "jpeg".

    Raises:
        ConfigError: a wrong URL, or servers without these arms or cameras.
        RobotError: a server does not answer.
    """

    def __init__(
        self, url: str | Mapping[str, str], cameras: Collection[str] | None = None, encoding: str = "raw"
    ):
        check_name(encoding, wire.ENCODINGS, "encoding")
        self.scene = None
        self._servers: list[_Server] = []
        self._together: ThreadPoolExecutor | None = None
        try:
            for arm, address in [(None, url)] if isinstance(url, str) else sorted(url.items()):
                self._servers.append(_Server(address, arm, encoding))
            self.arms = tuple(arm for server in self._servers for arm in server.arms)
            self.cameras = self._wanted(cameras)
        except BaseException:
            self.close()
            raise
        if len(self._servers) > 1:
            self._together = ThreadPoolExecutor(len(self._servers), "robot server")

    @property
    def twins_of(self) -> set[str]:
        """Tasks of the servers' twins; empty for a real robot."""
        return {server.twin_of for server in self._servers if server.twin_of is not None}

    def __repr__(self) -> str:
        return f"HttpRobot({', '.join(server.url for server in self._servers)})"

    def __deepcopy__(self, memo: dict) -> HttpRobot:
        """There is one robot: a copied specification of an environment names the same."""
        return self

    def _wanted(self, cameras: Collection[str] | None) -> dict[str, tuple[int, int]]:
        """Sizes of the cameras; each server learns which of its own are wanted."""
        owners: dict[str, _Server] = {}
        for server in self._servers:
            for name in server.cameras:
                if name in owners:
                    raise ConfigError(
                        f"{owners[name].url} and {server.url} both have a camera {name!r}; rename one of them"
                    )
                owners[name] = server
        if missing := sorted(set(cameras or ()) - set(owners)):
            raise ConfigError(f"{self!r} lacks cameras {missing}; it has {sorted(owners)}")
        for server in self._servers:
            server.wanted = tuple(name for name in server.cameras if cameras is None or name in cameras)
        return {name: server.cameras[name] for server in self._servers for name in server.wanted}

    def _each(self, call: Callable[[_Server], Result]) -> list[Result]:
        """`call` of every server, of several at the same time; all are done when it returns."""
        if self._together is None:
            return [call(server) for server in self._servers]
        calls = [self._together.submit(call, server) for server in self._servers]
        errors = [error for each in calls if (error := each.exception()) is not None]
        if errors:
            raise errors[0]
        return [each.result() for each in calls]

    def read(self) -> RobotState:
        states = self._each(_Server.read)
        told = [state.succeeded for state in states]
        return RobotState(
            states[0].time,
            {name: arm for state in states for name, arm in state.arms.items()},
            None if None in told else all(told),
        )

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        for name in commands:
            check_name(name, self.arms, "arm")
        self._each(_Server.flush)
        for server in self._servers:
            server.pending = {name: command for name, command in commands.items() if name in server.arms}

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        for name in compliance:
            check_name(name, self.arms, "arm")
        self._each(lambda server: server.configure(compliance))

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        check_name(arm, self.arms, "arm")
        what = {
            "mass": float(check_array(mass, (), "the load's mass")),
            "center": check_array(center, (3,), "the load's centre").tolist(),
            "inertia": check_array(inertia, (3, 3), "the load's inertia").tolist(),
        }
        server = next(server for server in self._servers if arm in server.arms)
        server.post("/load", {"arm": server.arms[arm], **what}, SETTING_TIME, moves=False)

    def recover(self) -> None:
        self._each(lambda server: server.post("/recover", {}, RECOVERY_TIME))

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        goals = {
            check_name(name, self.arms, "arm"): check_array(goal, (7,), f"joint positions of {name!r}")
            for name, goal in q.items()
        }
        self._each(lambda server: server.reset_joints(goals))

    def capture(self) -> dict[str, np.ndarray]:
        return {name: image for images in self._each(_Server.capture) for name, image in images.items()}

    def wait(self, seconds: float) -> None:
        self._each(lambda server: server.wait(seconds))

    def close(self) -> None:
        """Let go of the servers. A command that was kept is not sent: closing moves nothing."""
        for server in self._servers:
            server.pending = {}
            server.connection.close()
        if self._together is not None:
            self._together.shutdown()


class _Server:
    """One server: what it has, what is to be sent to it, and what it answered.

    Args:
        url: of it.
        arm: what its only arm is called here; None keeps its arms' names.
        encoding: of images.

    Attributes:
        arms: its own name of each arm, by what it is called here.
        cameras: (height, width) of the images, by name.
        wanted: cameras whose images are captured.
        twin_of: task of the twin behind it; None for a real robot.
        pending: commands that were not sent yet.
    """

    def __init__(self, url: str, arm: str | None, encoding: str):
        self.connection = ServerConnection(url)
        self.url, self._encoding = self.connection.url, encoding
        about = self.connection.get("/robot")
        try:
            arms = tuple(map(str, about["arms"]))
            self.cameras = {name: (int(size[0]), int(size[1])) for name, size in about["cameras"].items()}
            self.twin_of = str(about["task"]) if about.get("backend") == "twin" else None
            self._speed = wire.check_number(about["speed"], 1e-3, 1e3, "speed")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RobotError(f"{url}/robot answered with no description of a robot: {error!r}") from None
        if arm is not None and arms != (LONE_ARM,):
            raise ConfigError(
                f"robot={{{arm!r}: {url!r}}} names a server with one arm, but that has {list(arms)}; "
                "give the URL of a server with two arms alone"
            )
        self.arms = {arm: LONE_ARM} if arm is not None else {name: name for name in arms}
        self.wanted: tuple[str, ...] = ()
        self.pending: dict[str, ArmCommand] = {}
        # Of the last answer, until they are handed out.
        self._state: RobotState | None = None
        self._images: dict[str, np.ndarray] | None = None
        self._looked = False  # whether images were captured since the last wait
        self._answered: tuple[float, float] | None = None  # robot time of it, and time.monotonic
        self._instance: str | None = None  # of the server whose state was read last

    def post(self, path: str, body: Mapping[str, Any], seconds: float, moves: bool = True) -> dict:
        """Anything but a step; what the last step said is past then."""
        self.flush()
        self._state = self._images = None
        return self.connection.post(path, body, seconds / min(self._speed, 1.0), moves)

    def flush(self) -> None:
        """Send what is pending."""
        if self.pending:
            self._step(0.0, None, ())

    def wait(self, seconds: float) -> None:
        while True:  # a longer wait than the server allows is several
            part = min(seconds, wire.MAX_WAIT)
            looked, self._looked = self._looked, False
            self._step(part, self._tick(part), self.wanted if looked else ())
            seconds -= part
            if seconds <= 0:
                return

    def read(self) -> RobotState:
        self.flush()
        state, self._state = self._state, None
        if state is not None:
            return state
        answer = self.connection.get("/state")
        self._instance = answer.get("instance")
        return self._named(answer)

    def capture(self) -> dict[str, np.ndarray]:
        self._looked = True
        if not self.wanted:
            return {}
        self.flush()
        if self._images is None:
            state = self._state
            self._step(0.0, None, self.wanted)
            self._state = state
        images, self._images = self._images, None
        return images

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        values = {
            self.arms[name]: dataclasses.asdict(value)
            for name, value in compliance.items()
            if name in self.arms
        }
        if not values:
            return
        answer = self.post("/configure", {"compliance": values}, SETTING_TIME, moves=False)
        if clamped := answer.get("clamped"):
            log.warning("%s clamped %s", self.url, clamped)

    def reset_joints(self, goals: Mapping[str, np.ndarray]) -> None:
        q = {self.arms[name]: goal.tolist() for name, goal in goals.items() if name in self.arms}
        if q:
            self.post("/reset_joints", {"q": q}, JOINT_RESET_TIME)

    def _tick(self, wait: float) -> float | None:
        """Robot time that the wait counts from, None for when the request arrives."""
        if self._answered is None:
            return None
        then, arrived = self._answered
        return then if (time.monotonic() - arrived) * self._speed <= wait / 2 else None

    def _step(self, wait: float, since: float | None, images: Collection[str]) -> None:
        commands = {self.arms[name]: command for name, command in self.pending.items()}
        # Whatever becomes of them, they are not sent again.
        self.pending, self._state, self._images = {}, None, None
        instance = self._instance if commands else None
        request = wire.StepRequest(commands, wait, since, tuple(images), self._encoding, instance)
        body = self.connection.post_for_bytes(
            "/step", request.to_json(), wait / self._speed, moves=bool(commands)
        )
        try:
            answer, frames = wire.unpack(body)
        except RobotError as error:
            raise RobotError(f"{self.url}: {error}") from None
        self._state = self._named(answer)
        self._answered = self._state.time, time.monotonic()
        if missing := [name for name in images if name not in frames]:
            raise CameraError(f"{self.url} gave no image of {missing}; it says {answer.get('errors')}")
        if images:
            self._images = {name: frames[name].image for name in images}

    def _named(self, answer: Mapping[str, Any]) -> RobotState:
        """The state in an answer, its arms by what they are called here."""
        try:
            state = wire.state_from_json(answer)
            arms = {name: state.arms[theirs] for name, theirs in self.arms.items()}
        except RobotError as error:
            raise RobotError(f"{self.url}: {error}") from None
        except KeyError as error:
            raise RobotError(
                f"{self.url} no longer has the arm {error}; was another robot started there?"
            ) from None
        return RobotState(state.time, arms, state.succeeded)
