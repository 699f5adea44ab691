"""`HttpRobot`: the `Robot` protocol over a robot server, or over one server for each of two arms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from hilserl_envs import wire
from hilserl_envs.errors import ConfigError, check_array, check_name
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import MOTIONS, ArmCommand, RobotState
from hilserl_envs.served_arms import RECOVERY_TIME, SETTING_TIME, ServedArms

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
        self._servers: list[ServedArms] = []
        self._together: ThreadPoolExecutor | None = None
        try:
            for arm, address in [(None, url)] if isinstance(url, str) else sorted(url.items()):
                self._servers.append(ServedArms(address, arm, encoding))
            self.arms = tuple(arm for server in self._servers for arm in server.arms)
            self.cameras = self._wanted(cameras)
            strides = [server.max_stride for server in self._servers]
            self.max_stride = min(s[0] for s in strides), min(s[1] for s in strides)
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
        owners: dict[str, ServedArms] = {}
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

    def _each(self, call: Callable[[ServedArms], Result]) -> list[Result]:
        """`call` of every server, of several at the same time; all are done when it returns."""
        if self._together is None:
            return [call(server) for server in self._servers]
        calls = [self._together.submit(call, server) for server in self._servers]
        errors = [error for each in calls if (error := each.exception()) is not None]
        if errors:
            raise errors[0]
        return [each.result() for each in calls]

    def read(self) -> RobotState:
        states = self._each(ServedArms.read)
        told = [state.succeeded for state in states]
        return RobotState(
            states[0].time,
            {name: arm for state in states for name, arm in state.arms.items()},
            None if None in told else all(told),
        )

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        for name in commands:
            check_name(name, self.arms, "arm")
        self._each(ServedArms.flush)
        for server in self._servers:
            server.pending = {name: command for name, command in commands.items() if name in server.arms}

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        for name in compliance:
            check_name(name, self.arms, "arm")
        self._each(lambda server: server.configure(compliance))

    def drive_by(self, motions: Mapping[str, str]) -> None:
        for name, motion in motions.items():
            check_name(name, self.arms, "arm")
            check_name(motion, MOTIONS, "motion")
        self._each(lambda server: server.drive_by(motions))

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
        return {name: image for images in self._each(ServedArms.capture) for name, image in images.items()}

    def wait(self, seconds: float) -> None:
        self._each(lambda server: server.wait(seconds))

    def close(self) -> None:
        """Let go of the servers. A command that was kept is not sent: closing moves nothing."""
        for server in self._servers:
            server.pending = {}
            server.connection.close()
        if self._together is not None:
            self._together.shutdown()
