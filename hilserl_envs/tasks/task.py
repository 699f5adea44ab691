"""What a task is: settings in one frozen dataclass, and a handful of hooks.

A task names its arms, cameras, limits, scales and compliance, builds its props into
the twin, says what success is, and can solve itself (the scripted expert). It never
touches a robot: `FrankaEnv` does. To add one, subclass `Task`, give the fields
defaults, implement `build`, `arrange`, `succeeded`, `expert`, and `register` it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hilserl_envs.errors import ConfigError, check_array, check_name, checked_names
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import displace, quat_conjugate, quat_multiply, quat_to_rotvec
from hilserl_envs.robot import ARM_NAMES, RobotState, key_prefix
from hilserl_envs.safety import Limits

if TYPE_CHECKING:
    import mujoco

    from hilserl_envs.twin.scene import Scene

Pose = tuple[float, float, float, float, float, float, float]
Vector = tuple[float, float, float]
Expert = Callable[[RobotState, "Scene | None"], np.ndarray]

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


class ArmAction(NamedTuple):
    """Where one arm's numbers are in an action: xyz and rotation vector, then a gripper."""

    prefix: str  # of the arm's observation keys
    start: int
    gripper: bool

    @property
    def motion(self) -> slice:
        """The six numbers of the motion."""
        return slice(self.start, self.start + 6)

    @property
    def stop(self) -> int:
        """One past the arm's last number."""
        return self.start + (7 if self.gripper else 6)


@checked_names
@dataclass(frozen=True)
class Camera:
    """A camera of the twin.

    Args:
        mount: body that carries it, or "world".
        position, look_at: in the mount's frame [m].
        up: direction that is up in the image, in the mount's frame.
        fovy: vertical field of view [deg].
    """

    mount: str = "world"
    position: Vector = (1.2, 0.0, 0.6)
    look_at: Vector = (0.5, 0.0, 0.1)
    up: Vector = (0.0, 0.0, 1.0)
    fovy: float = 45.0


def wrist_cameras(prefix: str = "") -> dict[str, Camera]:
    """Two cameras on the hand, in front of and behind the fingers, looking at the TCP."""
    return {
        f"{prefix}wrist_1": _wrist_camera(prefix, 1.0),
        f"{prefix}wrist_2": _wrist_camera(prefix, -1.0),
    }


def _wrist_camera(prefix: str, side: float) -> Camera:
    # 72 mm off the hand's axis is where the public mounts put a RealSense D405, whose
    # vertical field of view is 58 degrees.
    return Camera(
        mount=f"{prefix}hand", position=(side * 0.072, 0.0, 0.022), look_at=(0.0, 0.0, 0.112), up=(0, 0, -1), fovy=58.0
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
        reset_q: joint positions [rad] of the joint reset.
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
    reset_q: tuple[float, ...] = (0.0, -0.7853981634, 0.0, -2.3561944902, 0.0, 1.5707963268, 0.7853981634)

    def __post_init__(self) -> None:
        for name, size in (("reset_pose", 7), ("base_pose", 7), ("reset_q", 7), ("position_range", 3), ("rotation_range", 3)):
            values = check_array(getattr(self, name), (size,), f"ArmSetup.{name}")
            if name.endswith("_pose") and abs(np.linalg.norm(values[3:]) - 1) > 1e-3:
                raise ConfigError(f"ArmSetup.{name} ends in a unit quat_xyzw, got {values[3:].tolist()}")
            if name.endswith("_range") and (values < 0).any():
                raise ConfigError(f"ArmSetup.{name} are half-widths of at least 0, got {values.tolist()}")
            object.__setattr__(self, name, tuple(values.tolist()))
        for name in ("translation_scale", "rotation_scale"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"ArmSetup.{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.gripper_at_reset <= 1:
            raise ConfigError(f"ArmSetup.gripper_at_reset is 0 (closed) to 1 (open), got {self.gripper_at_reset}")

    def sample_reset_pose(self, rng: np.random.Generator) -> np.ndarray:
        """A reset pose (7,) with its randomisation."""
        shift = rng.uniform(-1, 1, 3) * self.position_range
        turn = rng.uniform(-1, 1, 3) * self.rotation_range
        return displace(np.array(self.reset_pose), shift, turn)


@dataclass(frozen=True)
class Task(ABC):
    """Settings and hooks of a task; see the module's docstring.

    Args:
        arms: by name: `arm`, or `left` and `right`.
        cameras: of the observation, by name.
        overview: camera of the pictures made for people.
        state_keys: keys of the proprioceptive state, each arm's in this order.
        objects: bodies or sites whose poses are the twin's privileged state.
        horizon: time limit [steps] at 10 Hz.
        reset_lift: how far [m] reset motions first go straight up.
        arm_model: "panda" or "fr3".
    """

    arms: Mapping[str, ArmSetup]
    cameras: Mapping[str, Camera]
    overview: Camera
    state_keys: tuple[str, ...]
    objects: tuple[str, ...]
    horizon: int
    reset_lift: float = 0.04
    arm_model: str = "panda"

    def __post_init__(self) -> None:
        if tuple(self.arms) not in ARM_NAMES.values():
            raise ConfigError(f"{type(self).__name__}.arms are named arm, or left and right; got {tuple(self.arms)}")
        for key in self.state_keys:
            check_name(key, STATE_SIZES, f"{type(self).__name__}.state_keys entry")
        if self.horizon < 1:
            raise ConfigError(f"{type(self).__name__}.horizon must be at least 1 step, got {self.horizon}")

    @property
    def action_layout(self) -> tuple[ArmAction, ...]:
        """Where each arm's numbers are in an action, in the order of the arms."""
        layout, start = [], 0
        for name, arm in self.arms.items():
            layout.append(ArmAction(key_prefix(name, self.arms), start, arm.gripper))
            start = layout[-1].stop
        return tuple(layout)

    @abstractmethod
    def build(self, spec: mujoco.MjSpec) -> None:
        """Add the props to the twin's world; arms and table are there already."""

    @abstractmethod
    def arrange(self, scene: Scene, rng: np.random.Generator, in_motion: bool) -> None:
        """Put the props where an episode starts, as a person would by hand.

        Args:
            scene: the twin's world, arms in their reset poses.
            rng: the episode's only source of randomness.
            in_motion: the arms moved to their reset poses and still hold what they held;
                otherwise the world was reset and the arms were teleported.
        """

    @abstractmethod
    def succeeded(self, state: RobotState, scene: Scene | None) -> bool:
        """Whether the task is done; `scene` is None on a real robot.

        On a real robot a task that cannot tell from the arm's state alone answers False:
        a reward classifier or a person has to.
        """

    def failed(self, state: RobotState, scene: Scene | None) -> bool:
        """Whether the episode is lost for good."""
        return False

    @abstractmethod
    def expert(self, rng: np.random.Generator) -> Expert:
        """A fresh scripted policy for one episode.

        It maps the arms' state, and the scene where there is one, to an action of
        `FrankaEnv` (before any wrapper): float64, each arm's numbers in order.
        """

    def reset_path(self, state: RobotState, goals: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Poses (7,) that a reset motion passes, per arm: straight up, then to the goals."""
        lifted = {}
        for name in goals:
            lifted[name] = state.arms[name].tcp_pose.copy()
            lifted[name][2] += self.reset_lift
        return [lifted, dict(goals)]


def expert_displacement(setup: ArmSetup, pose: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Action part (6,) that moves an arm from `pose` (7,) towards `target` (7,) this step."""
    shift = (target[:3] - pose[:3]) / setup.translation_scale
    turn = quat_to_rotvec(quat_multiply(target[3:], quat_conjugate(pose[3:]))) / setup.rotation_scale
    shift /= max(1.0, np.linalg.norm(shift))
    turn /= max(1.0, np.linalg.norm(turn))
    return np.concatenate([shift, turn])


def configure(value: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of a settings dataclass with some fields changed.

    Args:
        value: a dataclass, such as a task.
        settings: new values by field name; a mapping changes part of a nested
            dataclass or of a mapping of them: {"arms": {"arm": {"rotation_scale": 0.1}}}.

    Raises:
        ConfigError: an unknown name, or a value that the dataclass refuses.
    """
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **_changed(fields, settings, f"{type(value).__name__} setting"))
    if isinstance(value, Mapping):
        return _changed(value, settings, "entry")
    raise ConfigError(f"{settings!r} cannot change part of {value!r}: give a whole new value")


def _changed(values: Mapping[str, Any], settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    changed = dict(values)
    for name, new in settings.items():
        old = changed[check_name(name, changed, what)]
        if isinstance(new, Mapping):
            new = configure(old, new)
        elif isinstance(new, list):
            new = tuple(new)
        changed[name] = new
    return changed
