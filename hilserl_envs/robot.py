"""The seam between environments and worlds: the `Robot` protocol and its values.

`TwinRobot` (MuJoCo in this process) implements it, and so may any client of a real arm;
`FakeRobot`, below, is the one for unit tests. Everything above this file knows no
other way to reach an arm. One arm is named `arm`, two are `left` and `right`; all
poses, velocities and Jacobians are in that arm's own base frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hilserl_envs.errors import ActionError, check_array, check_name
from hilserl_envs.impedance import Compliance

ARM_NAMES = {1: ("arm",), 2: ("left", "right")}
WRENCH_TIMEOUT = 0.1  # a feed-forward wrench lapses after so long [s], as on the public server
ANY_STRIDE = (float("inf"), float("inf"))
MOTIONS = ("pose", "wrench")  # what an arm can be driven by, as `ArmCommand` names them


def key_prefix(arm: str, arms: Sized) -> str:
    """Prefix of an arm's keys and names: none for a lone arm, else "left/" or "right/"."""
    return "" if len(arms) == 1 else f"{arm}/"


@dataclass(frozen=True)
class ArmState:
    """What one arm measures at one instant. Arrays are float64 and the reader's own.

    tcp_force and tcp_torque are libfranka's K_F_ext_hat_K: expressed in the TCP's
    axes, positive where the robot pushes on the environment.
    """

    tcp_pose: np.ndarray  # (7,) xyz [m] + quat_xyzw
    tcp_vel: np.ndarray  # (6,) linear [m/s], angular [rad/s]
    tcp_force: np.ndarray  # (3,) [N]
    tcp_torque: np.ndarray  # (3,) [Nm]
    q: np.ndarray  # (7,) [rad]
    dq: np.ndarray  # (7,) [rad/s]
    jacobian: np.ndarray  # (6, 7) zero Jacobian at the TCP, linear rows first
    gripper_pose: float  # 0 closed to 1 open


@dataclass(frozen=True)
class RobotState:
    """The arms at one instant, and the robot's clock [s].

    `succeeded` is what the world itself says of the task: a twin behind a server sees more than
    the arms. None where it does not know, as in the real one.
    """

    time: float
    arms: Mapping[str, ArmState]
    succeeded: bool | None = None


@dataclass(frozen=True)
class ArmCommand:
    """What one arm shall do from now on. `None` leaves that part as it is.

    Args:
        pose: equilibrium pose (7,), xyz [m] + quat_xyzw of length 1, base frame.
        wrench: feed-forward wrench at the TCP (6,), force [N] then torque [Nm] that
            the arm exerts, base frame; it lapses after `WRENCH_TIMEOUT`.
        gripper: opening to drive to, 0 closed (squeezing) to 1 open.

    Raises:
        ActionError: a value that is not finite, of a wrong shape or out of range.
    """

    pose: np.ndarray | None = None
    wrench: np.ndarray | None = None
    gripper: float | None = None

    def __post_init__(self) -> None:
        if self.pose is not None:
            pose = check_array(self.pose, (7,), "a commanded pose", ActionError)
            norm = np.linalg.norm(pose[3:])
            if abs(norm - 1) > 1e-3:
                raise ActionError(
                    f"a commanded pose ends in a unit quat_xyzw, got {pose[3:].tolist()} of length {norm:.4f}"
                )
            object.__setattr__(self, "pose", pose)
        if self.wrench is not None:
            wrench = check_array(self.wrench, (6,), "a commanded wrench", ActionError)
            object.__setattr__(self, "wrench", wrench)
        if self.gripper is not None:
            gripper = float(check_array(self.gripper, (), "a gripper command", ActionError))
            if not 0 <= gripper <= 1:
                raise ActionError(f"a gripper command is 0 (closed) to 1 (open), got {gripper}")
            object.__setattr__(self, "gripper", gripper)


@runtime_checkable
class Robot(Protocol):
    """One or more arms, their grippers, their cameras, and time.

    Attributes:
        arms: names of the arms.
        cameras: (height, width) of every camera's images.
        scene: what only a simulated world offers (see `twin.scene.Scene`), else None.
        max_stride: how far a commanded pose may be from where its arm is [m, rad]; `ANY_STRIDE`
            where nobody minds.
    """

    arms: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    scene: object | None
    max_stride: tuple[float, float]

    def read(self) -> RobotState:
        """The newest state of all arms."""

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        """Set new targets at once; arms not named keep theirs."""

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        """Set the impedance parameters of the named arms."""

    def drive_by(self, motions: Mapping[str, str]) -> None:
        """Say what the named arms will be commanded by next, one of `MOTIONS`.

        Where one controller takes both nothing is done; else the arm gets the other one, which
        may take seconds.
        """

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Tell the arm what it carries: kg, m from the flange (3,), kg m^2 (3, 3)."""

    def recover(self) -> None:
        """Clear errors and hold the measured pose."""

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        """Move the named arms to joint positions (7,) [rad]; returns when there."""

    def capture(self) -> dict[str, np.ndarray]:
        """The newest image of every camera, (height, width, 3) uint8 RGB."""

    def wait(self, seconds: float) -> None:
        """Return `seconds` later. Nowhere else does time pass."""

    def close(self) -> None:
        """Release the world; safe to call twice."""


class FakeRobot:
    """A robot without physics: arms are at once where they are sent. For unit tests.

    Attributes:
        commands: every mapping given to `command`, in order.
        driven_by: the last motion named for each arm.
        compliance: the last compliance of each arm.
    """

    def __init__(
        self, arms: tuple[str, ...] = ("arm",), cameras: Mapping[str, tuple[int, int]] | None = None
    ):
        self.arms = tuple(arms)
        self.cameras = dict(cameras or {})
        self.scene = None
        self.max_stride = ANY_STRIDE
        self.commands: list[dict[str, ArmCommand]] = []
        self.compliance: dict[str, Compliance] = {}
        self.driven_by: dict[str, str] = {}
        self.time = 0.0
        at_rest = ArmState(
            tcp_pose=np.array([0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]),
            tcp_vel=np.zeros(6),
            tcp_force=np.zeros(3),
            tcp_torque=np.zeros(3),
            q=np.zeros(7),
            dq=np.zeros(7),
            jacobian=np.zeros((6, 7)),
            gripper_pose=1.0,
        )
        self.states = {arm: at_rest for arm in self.arms}

    def read(self) -> RobotState:
        return RobotState(self.time, {arm: _copied(state) for arm, state in self.states.items()})

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        self.commands.append(dict(commands))
        for arm, command in commands.items():
            state = self.states[check_name(arm, self.arms, "arm")]
            pose = state.tcp_pose if command.pose is None else command.pose
            gripper = state.gripper_pose if command.gripper is None else command.gripper
            self.states[arm] = dataclasses.replace(state, tcp_pose=pose.copy(), gripper_pose=gripper)

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        self.compliance |= {check_name(arm, self.arms, "arm"): values for arm, values in compliance.items()}

    def drive_by(self, motions: Mapping[str, str]) -> None:
        self.driven_by |= {
            check_name(arm, self.arms, "arm"): check_name(motion, MOTIONS, "motion")
            for arm, motion in motions.items()
        }

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        check_name(arm, self.arms, "arm")

    def recover(self) -> None:
        self.commands.append({})

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        for arm, position in q.items():
            state = self.states[check_name(arm, self.arms, "arm")]
            self.states[arm] = dataclasses.replace(state, q=check_array(position, (7,), "joint positions"))

    def capture(self) -> dict[str, np.ndarray]:
        shade = int(self.time * 10) % 256
        return {name: np.full((*size, 3), shade, np.uint8) for name, size in self.cameras.items()}

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def close(self) -> None:
        self.time = 0.0


def _copied(state: ArmState) -> ArmState:
    arrays = {f.name: getattr(state, f.name) for f in dataclasses.fields(state) if f.name != "gripper_pose"}
    return dataclasses.replace(state, **{name: array.copy() for name, array in arrays.items()})
