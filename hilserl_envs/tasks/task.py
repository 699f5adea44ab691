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
from typing import TYPE_CHECKING, Any

import numpy as np

from hilserl_envs.errors import ConfigError, check_fields, check_name, ranged
from hilserl_envs.kinematics import ARM_MODELS, inverse_kinematics
from hilserl_envs.poses import displacement, saturate
from hilserl_envs.robot import ARM_NAMES, RobotState, key_prefix
from hilserl_envs.tasks.randomisation import Randomisation
from hilserl_envs.tasks.setup import STATE_SIZES, ArmAction, ArmSetup, Camera, laid_out

if TYPE_CHECKING:
    import mujoco

    from hilserl_envs.twin.scene import Scene

Expert = Callable[[RobotState, "Scene | None"], np.ndarray]


@dataclass(frozen=True)
class Task(ABC):
    """Settings and hooks of a task; see the module's docstring.

    Args:
        arms: by name: `arm`, or `left` and `right`.
        cameras: of the observation, by name.
        overview: camera of the pictures made for people.
        state_keys: keys of the proprioceptive state, each arm's in this order.
        objects: bodies or sites whose poses are the twin's privileged state...
        measures: ... and what else is, by name with its size: see `measure`.
        horizon: time limit [steps] at 10 Hz.
        judged_at_end: episodes always have `horizon` steps, and the last one alone decides.
        reset_lift: how far [m] reset motions first go straight up.
        arm_model: one of `kinematics.ARM_MODELS`.
        randomisation: how much differs between episodes of the twin, where that is wanted.

    Raises:
        ConfigError: a setting of a wrong kind or range.
    """

    arms: Mapping[str, ArmSetup]
    cameras: Mapping[str, Camera]
    overview: Camera
    state_keys: tuple[str, ...]
    objects: tuple[str, ...]
    horizon: int
    measures: Mapping[str, int] = field(default_factory=dict)
    judged_at_end: bool = False
    reset_lift: float = ranged(0.04, 0.0, 0.3)
    arm_model: str = "panda"
    randomisation: Randomisation = Randomisation()

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_fields(self)
        for kind in ("arms", "cameras", "measures"):
            if not isinstance(getattr(self, kind), Mapping):
                raise ConfigError(f"{name}.{kind} are a mapping by name, got {getattr(self, kind)!r}")
        if "overview" in self.cameras:
            raise ConfigError(f"{name}.cameras: the name 'overview' is that of the pictures made for people")
        if tuple(self.arms) not in ARM_NAMES.values():
            raise ConfigError(f"{name}.arms are named arm, or left and right; got {tuple(self.arms)}")
        for kind, values in (
            (ArmSetup, self.arms.values()),
            (Camera, [self.overview, *self.cameras.values()]),
            (Randomisation, [self.randomisation]),
        ):
            for value in values:
                if not isinstance(value, kind):
                    raise ConfigError(f"{name}: expected {kind.__name__}, got {value!r}")
        for key in self.state_keys:
            check_name(key, STATE_SIZES, f"{name}.state_keys entry")
        if len(set(self.state_keys)) < len(self.state_keys):
            raise ConfigError(f"{name}.state_keys must differ, got {list(self.state_keys)}")
        if not isinstance(self.horizon, int) or self.horizon < 1:
            raise ConfigError(
                f"{name}.horizon must be a whole number of steps, at least 1; got {self.horizon!r}"
            )
        check_name(self.arm_model, ARM_MODELS, f"{name}.arm_model")
        low, high = np.transpose(ARM_MODELS[self.arm_model].joint_limits)
        for arm, setup in self.arms.items():
            q = setup.reset_q
            if q is not None and ((q < low) | (q > high)).any():
                raise ConfigError(f"{name}.arms[{arm!r}].reset_q leaves the joint limits: {list(q)}")

    def reset_q(self, arm: str) -> np.ndarray:
        """Joint positions (7,) [rad] of an arm's joint reset.

        Raises:
            RobotError: the reset pose is out of reach.
        """
        setup = self.arms[arm]
        if setup.reset_q is not None:
            return np.array(setup.reset_q)
        return inverse_kinematics(self.arm_model, setup.reset_pose)

    @property
    def action_layout(self) -> tuple[ArmAction, ...]:
        """Where each arm's numbers are in an action, in the order of the arms."""
        return laid_out(
            (key_prefix(name, self.arms), arm.gripper, arm.axes) for name, arm in self.arms.items()
        )

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

    def measure(self, scene: Scene) -> Mapping[str, np.ndarray]:
        """The twin's privileged state beside the objects' poses: the arrays (size,) of `measures`."""
        return {}

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
    step = displacement(pose, target)
    shift, turn = step[:3] / setup.translation_scale, step[3:] / setup.rotation_scale
    return np.concatenate([saturate(shift, 1.0), saturate(turn, 1.0)])


def configure(value: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of a settings dataclass with some fields changed.

    Args:
        value: a dataclass, such as a task.
        settings: new values by field name; a mapping changes part of a nested
            dataclass or of a mapping of them: {"arms": {"arm": {"rotation_scale": 0.1}}}.

    Raises:
        ConfigError: an unknown name, or a value that the dataclass refuses.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings are a mapping of names to values, got {settings!r}")
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
