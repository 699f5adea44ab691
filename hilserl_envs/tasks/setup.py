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
# Of a feed-forward wrench along the base's axes: force, then torque.
WRENCH_AXES = ("fx", "fy", "fz", "tx", "ty", "tz")


class ArmAction(NamedTuple):
    """Where one arm's numbers are in an action: a motion or a wrench, then a gripper."""

    prefix: str  # of the arm's observation keys
    start: int
    gripper: bool
    axes: tuple[str, ...] = AXES  # those of AXES or of WRENCH_AXES that are there, in this order

    @property
    def name(self) -> str:
        """The arm's name: `arm`, `left` or `right`."""
        return self.prefix.rstrip("/") or ARM_NAMES[1][0]

    @property
    def motion(self) -> slice:
        """The numbers of the motion or wrench: six, unless axes were left out."""
        return slice(self.start, self.start + len(self.axes))

    @property
    def is_wrench(self) -> bool:
        """Whether the arm is driven by a feed-forward wrench."""
        return set(self.axes) <= set(WRENCH_AXES) and bool(self.axes)

    def six(self, numbers: np.ndarray) -> np.ndarray:
        """All six numbers of a motion or wrench, from those that the action has."""
        if len(self.axes) == 6:
            return numbers
        whole = np.zeros(6)
        whole[self._places] = numbers
        return whole

    def part(self, six: np.ndarray) -> np.ndarray:
        """The numbers that the action has, from all six."""
        return six if len(self.axes) == 6 else six[self._places]

    @property
    def _places(self) -> list[int]:
        known = WRENCH_AXES if self.is_wrench else AXES
        return [known.index(axis) for axis in self.axes]

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
class Load:
    """What an arm carries for good: a tool on its hand. The arm compensates its weight.

    Args:
        mass: [kg].
        center: of its mass, from the flange in the flange's axes [m].
        inertia: about its centre, along those axes [kg m^2].

    Raises:
        ConfigError: a negative mass or inertia.
    """

    mass: float = ranged(0.0, 0.0, 3.0)
    center: Vector = (0.0, 0.0, 0.0)
    inertia: tuple[float, float, float] = ranged((0.0, 0.0, 0.0), 0.0, 1.0)

    def __post_init__(self) -> None:
        check_fields(self)


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
        wrench_axes: those of `WRENCH_AXES` that an action holds in the place of a motion: the
            task is dynamic. The equilibrium pose then stays where the episode started.
        force_scale, torque_scale: force [N] and torque [Nm] of an action of length 1, there.
        load: what the arm carries for good; None for nothing.
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
    wrench_axes: tuple[str, ...] = ()
    force_scale: float = 10.0
    torque_scale: float = 1.0
    load: Load | None = None
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
        scales = ("translation_scale", "rotation_scale", "force_scale", "torque_scale")
        for name in (*scales, "gripper_at_reset"):
            check_array(getattr(self, name), (), f"ArmSetup.{name}")
        axes = self.wrench_axes
        if not isinstance(axes, tuple) or axes != tuple(axis for axis in WRENCH_AXES if axis in axes):
            raise ConfigError(
                f"ArmSetup.wrench_axes is a tuple of some of {list(WRENCH_AXES)}, in this order; got {axes!r}"
            )
        if not isinstance(self.load, Load | None):
            raise ConfigError(f"ArmSetup.load is a Load or None, got {self.load!r}")
        for name in scales:
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

    @property
    def axes(self) -> tuple[str, ...]:
        """What the numbers of its action are, but for the gripper's."""
        return self.wrench_axes or AXES

    def sample_reset_pose(self, rng: np.random.Generator) -> np.ndarray:
        """A reset pose (7,) with its randomisation."""
        shift = rng.uniform(-1, 1, 3) * self.position_range
        turn = rng.uniform(-1, 1, 3) * self.rotation_range
        return displace(np.array(self.reset_pose), shift, turn)
