"""What a server is made of: `Arm`, `Gripper` and `Clock`, with fakes for unit tests.

Time passes by itself here: every method may be called by several threads at once, returns
at once where nothing else is said, and reads are the newest there is. All poses are in the
arm's own base frame; units and axes are those of `hilserl_envs.robot`.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Protocol, runtime_checkable

import numpy as np

from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import MOTIONS, ArmState


@runtime_checkable
class Arm(Protocol):
    """One arm behind an impedance controller. The controller runs from the start.

    Attributes:
        takes: those of `hilserl_envs.robot.MOTIONS` that its controller takes now.
    """

    takes: tuple[str, ...]

    def read(self) -> ArmState:
        """The newest state; its gripper_pose is the gripper's to fill in, and 1 here.

        Raises:
            RobotError: no state came from the arm for too long.
        """

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        """Set the equilibrium pose (7,), a feed-forward wrench (6,) that lapses after 0.1 s, or both.

        Raises:
            RobotError: the controller does not run, or the arm is in error.
        """

    def configure(self, compliance: Compliance) -> None:
        """Set the impedance parameters, while it moves too."""

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """See `hilserl_envs.robot.Robot.load`."""

    def start(self, motion: str | None = None) -> None:
        """Start the controller: it holds the measured pose. Nothing where it runs already.

        Args:
            motion: that it must take, one of `hilserl_envs.robot.MOTIONS`. An arm whose controller
                does not is given one that does, and has what that does at its start.
        """

    def stop(self) -> None:
        """Stop the controller; the arm stays where it is by other means. It is said to be stopped."""

    def recover(self) -> None:
        """Clear errors, and hold the measured pose; the controller runs afterwards."""

    def reset_joints(self, q: np.ndarray) -> None:
        """Move to joint positions (7,) [rad]; returns when there, the controller runs again.

        Raises:
            RobotError: it does not get there.
        """

    def error(self) -> str | None:
        """What keeps the arm from moving ("stopped", a reflex, no connection), None where nothing does."""

    def close(self) -> None:
        """Stop and let go; safe to call twice."""


@runtime_checkable
class Gripper(Protocol):
    """One gripper."""

    def opening(self) -> float:
        """The newest measured opening, 0 closed to 1 open."""

    def move(self, opening: float, speed: float = 1.0) -> None:
        """Drive towards an opening, 0 squeezing, as far as things allow; the newest call counts.

        Args:
            opening: 0 to 1.
            speed: share of its highest speed, above 0 to 1.
        """

    def activate(self) -> None:
        """Make it ready after power came on; returns when it is."""

    def reset(self) -> None:
        """Clear its fault, and make it ready again; returns when it is."""

    def error(self) -> str | None:
        """What keeps it from moving, None where nothing does."""

    def close(self) -> None:
        """Let go; safe to call twice."""


@runtime_checkable
class Clock(Protocol):
    """The robot's time."""

    def now(self) -> float:
        """Seconds since some beginning."""

    def wait_until(self, instant: float) -> None:
        """Return when `now` is that far."""


class MonotonicClock:
    """The time of a real robot."""

    def now(self) -> float:
        return time.monotonic()

    def wait_until(self, instant: float) -> None:
        time.sleep(max(0.0, instant - time.monotonic()))


class FakeArm:
    """An arm without physics: it is at once where it is sent. For unit tests.

    Attributes:
        commands: every (pose, wrench) so far.
        calls: names of the other methods called, in order.
        compliance: set last.
        trouble: what `error` says.
    """

    takes = MOTIONS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.commands: list[tuple[np.ndarray | None, np.ndarray | None]] = []
        self.calls: list[str] = []
        self.compliance = Compliance()
        self.trouble: str | None = None
        self.state = ArmState(
            tcp_pose=np.array([0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]),
            tcp_vel=np.zeros(6),
            tcp_force=np.zeros(3),
            tcp_torque=np.zeros(3),
            q=np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]),
            dq=np.zeros(7),
            jacobian=np.zeros((6, 7)),
            gripper_pose=1.0,
        )

    def read(self) -> ArmState:
        with self._lock:
            return self.state

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        with self._lock:
            self.commands.append((pose, wrench))
            if pose is not None:
                self.state = dataclasses.replace(self.state, tcp_pose=np.array(pose))

    def configure(self, compliance: Compliance) -> None:
        self.compliance = compliance

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        self.calls.append("load")

    def start(self, motion: str | None = None) -> None:
        self.calls.append("start" if motion is None else f"start {motion}")
        self.trouble = None
        if motion is not None and motion not in self.takes:
            self.takes = (motion,)

    def stop(self) -> None:
        self.calls.append("stop")
        self.trouble = "stopped"

    def recover(self) -> None:
        self.calls.append("recover")
        self.trouble = None

    def reset_joints(self, q: np.ndarray) -> None:
        self.calls.append("reset_joints")
        self.state = dataclasses.replace(self.state, q=np.array(q))

    def error(self) -> str | None:
        return self.trouble

    def close(self) -> None:
        self.calls.append("close")


class FakeGripper:
    """A gripper that is at once where it is sent. For unit tests.

    Attributes:
        moves: every (opening, speed) so far.
        calls: names of the other methods called, in order.
    """

    def __init__(self) -> None:
        self.moves: list[tuple[float, float]] = []
        self.calls: list[str] = []

    def opening(self) -> float:
        return self.moves[-1][0] if self.moves else 1.0

    def move(self, opening: float, speed: float = 1.0) -> None:
        self.moves.append((opening, speed))

    def activate(self) -> None:
        self.calls.append("activate")

    def reset(self) -> None:
        self.calls.append("reset")

    def error(self) -> str | None:
        return None

    def close(self) -> None:
        self.calls.append("close")
