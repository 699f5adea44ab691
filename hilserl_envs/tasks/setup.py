"""The parts of a task's settings: its arms and its cameras."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hilserl_envs.errors import ConfigError, check_array, check_fields, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import displace
from hilserl_envs.robot import ARM_NAMES
from hilserl_envs.safety import Limits, WorkspaceBox

Pose = tuple[float, float, float, float, float, float, float]
Vector = tuple[float, float, float]

# One per state key of an arm that observations can hold, with its size.
STATE_SIZES = {
    "tcp_pose": 7,
    "tcp_vel": 6,
    "tcp_force": 3,
    "tcp_torque": 3,
    "gripper_pose": 1,
    "q": 7,
    "dq": 7,
}

# Of an arm's motion in an action: displacement, then rotation vector.
AXES = ("x", "y", "z", "rx", "ry", "rz")


class ArmAction(NamedTuple):
    """Where one arm's numbers are in an action: xyz and rotation vector, then a gripper."""

    prefix: str  # of the arm's observation keys
    start: int
    gripper: bool
    axes: tuple[str, ...] = AXES  # those of the motion that are there, in this order

    @property
    def name(self) -> str:
        """The arm's name: `arm`, `left` or `right`."""
        return self.prefix.rstrip("/") or ARM_NAMES[1][0]

    @property
    def motion(self) -> slice:
        """The numbers of the motion: six, unless axes were left out."""
        return slice(self.start, self.start + len(self.axes))

    @property
    def stop(self) -> int:
        """One past the arm's last number."""
        return self.motion.stop + self.gripper


def laid_out(arms: Iterable[tuple[str, bool, tuple[str, ...]]]) -> tuple[ArmAction, ...]:
    """The layout of arms given as (prefix, gripper, axes), one behind the other."""
    layout, start = [], 0
    for prefix, gripper, axes in arms:
        layout.append(ArmAction(prefix, start, gripper, axes))
        start = layout[-1].stop
    return tuple(layout)


@checked_names
@dataclass(frozen=True)
class Camera:
    """A camera of the twin.

    Args:
        mount: body that carries it, or "world".
        position, look_at: in the mount's frame [m].
        up: direction that is up in the image, in the mount's frame.
        fovy: vertical field of view [deg].

    Raises:
        ConfigError: a value of a wrong size or range.
    """

    mount: str = "world"
    position: Vector = (1.2, 0.0, 0.6)
    look_at: Vector = (0.5, 0.0, 0.1)
    up: Vector = (0.0, 0.0, 1.0)
    fovy: float = ranged(45.0, 1.0, 179.0)

    def __post_init__(self) -> None:
        check_fields(self)


def wrist_cameras(prefix: str = "") -> dict[str, Camera]:
    """Two cameras on the hand, at opposite corners, looking at what the fingers hold."""
    return {
        f"{prefix}wrist_1": _wrist_camera(prefix, 1.0),
        f"{prefix}wrist_2": _wrist_camera(prefix, -1.0),
    }


def _wrist_camera(prefix: str, side: float) -> Camera:
    # A RealSense D405 (vertical field of view 58 degrees) on a bracket beside a corner of the
    # hand: from there it sees the face of what the fingers hold, its lower edge and what is
    # under it. On the hand's middle it would see a thin part edge-on.
    return Camera(
        mount=f"{prefix}hand",
        position=(side * 0.070, side * 0.060, 0.055),
        look_at=(side * 0.022, 0.0, 0.130),
        up=(0, 0, -1),
        fovy=58.0,
    )


@checked_names
@dataclass(frozen=True)
class ArmSetup:
    """One arm's part in a task. Poses are xyz [m] + quat_xyzw in the arm's base frame.

    Args:
        reset_pose: of the TCP where episodes start, before randomisation.
        limits: box that every commanded pose stays in.
        compliance: of the impedance law during an episode.
        reset_compliance: during reset motions.
        position_range, rotation_range: half-widths of the uniform randomisation of the
            reset pose, [m] and [rad] about the base's axes.
        translation_scale, rotation_scale: displacement [m] and turn [rad] of an action
            of length 1.
        gripper: whether the action holds a gripper command.
        gripper_at_reset: opening, 1 open; 0 keeps squeezing what the arm holds.
        base_pose: of the arm's base in the twin's world.
        reset_q: joint positions [rad] of the joint reset; None takes those nearest the
            arm's ready posture that put the TCP at reset_pose.

    Raises:
        ConfigError: a value of a wrong kind, size or range.
    """

    reset_pose: Pose
    limits: Limits
    compliance: Compliance = field(default_factory=Compliance)
    reset_compliance: Compliance = field(default_factory=Compliance)
    position_range: Vector = (0.0, 0.0, 0.0)
    rotation_range: Vector = (0.0, 0.0, 0.0)
    translation_scale: float = 0.01
    rotation_scale: float = 0.06
    gripper: bool = False
    gripper_at_reset: float = 1.0
    base_pose: Pose = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    reset_q: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        sizes = {"reset_pose": 7, "base_pose": 7, "position_range": 3, "rotation_range": 3}
        if self.reset_q is not None:
            sizes["reset_q"] = 7
        for name, size in sizes.items():
            values = check_array(getattr(self, name), (size,), f"ArmSetup.{name}")
            if name.endswith("_pose") and abs(np.linalg.norm(values[3:]) - 1) > 1e-3:
                raise ConfigError(f"ArmSetup.{name} ends in a unit quat_xyzw, got {values[3:].tolist()}")
            if name.endswith("_range") and (values < 0).any():
                raise ConfigError(f"ArmSetup.{name} are half-widths of at least 0, got {values.tolist()}")
            object.__setattr__(self, name, tuple(values.tolist()))
        if not isinstance(self.gripper, bool):
            raise ConfigError(f"ArmSetup.gripper is True or False, got {self.gripper!r}")
        for name in ("translation_scale", "rotation_scale", "gripper_at_reset"):
            check_array(getattr(self, name), (), f"ArmSetup.{name}")
        for name in ("translation_scale", "rotation_scale"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"ArmSetup.{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.gripper_at_reset <= 1:
            raise ConfigError(
                f"ArmSetup.gripper_at_reset is 0 (closed) to 1 (open), got {self.gripper_at_reset}"
            )
        for name, kind in (("limits", Limits), ("compliance", Compliance), ("reset_compliance", Compliance)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"ArmSetup.{name} must be {kind.__name__}, got {getattr(self, name)!r}")
        if not WorkspaceBox(self.limits, np.array(self.reset_pose[3:])).contains(np.array(self.reset_pose)):
            raise ConfigError(
                f"ArmSetup.reset_pose {list(self.reset_pose[:3])} is outside the limits, "
                f"{list(self.limits.low)} to {list(self.limits.high)}: move one or the other"
            )

    def sample_reset_pose(self, rng: np.random.Generator) -> np.ndarray:
        """A reset pose (7,) with its randomisation."""
        shift = rng.uniform(-1, 1, 3) * self.position_range
        turn = rng.uniform(-1, 1, 3) * self.rotation_range
        return displace(np.array(self.reset_pose), shift, turn)
