"""`ExpertDevice`: the task's scripted expert in the place of a person."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError, check_fields, checked_names, ranged
from hilserl_envs.franka_env import CONTROL_HZ, GRIPPER_THRESHOLD, FrankaEnv
from hilserl_envs.poses import saturate
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.teleop.device import ArmMotion, Device, TeleopCommand

SLIP_STEPS = 5  # how long a wrong motion lasts: half a second


@checked_names
@dataclass(frozen=True)
class ExpertSettings:
    """How good the scripted person is; the defaults are the expert itself.

    Args:
        noise: standard deviation of what is added to every number of a motion: tremor.
        reaction_delay: how old the state is that a command answers to [s].
        step_size: of the expert's motions, in (0, 1]: a cautious person takes small steps.
        skill: in [0, 1]: share of time that motions are the expert's; else they are wrong
            ones, in a random direction for half a second.
        acts: False leaves acting to whoever else does, and only says what is done and what not.

    Raises:
        ConfigError: a value out of range.
    """

    noise: float = ranged(0.0, 0.0, 1.0)
    reaction_delay: float = ranged(0.0, 0.0, 2.0)
    step_size: float = ranged(1.0, 0.01, 1.0)
    skill: float = ranged(1.0, 0.0, 1.0)
    acts: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.acts, bool):
            raise ConfigError(f"ExpertSettings.acts is true or false, got {self.acts!r}")


class ExpertDevice(Device):
    """Acts at every read as the task's expert would, with a person's faults if wanted.

    It also says what a person would of what they see: "success" is pressed when the task is
    done and held while it is, "failure" is held while it is not, so that episodes and
    frames can be labelled without anybody there.

    Args:
        env: a `FrankaEnv` in any stack; read once a control step.
        settings: see `ExpertSettings`.

    Raises:
        ConfigError: no `FrankaEnv` is inside.
    """

    Settings = ExpertSettings
    real_time = False
    in_base_frame = True

    def __init__(self, env: gymnasium.Env, settings: ExpertSettings | None = None):
        if not isinstance(env.unwrapped, FrankaEnv):
            raise ConfigError(f"the expert needs a FrankaEnv inside, got {env.unwrapped}")
        self._env = env.unwrapped
        self._settings = settings or ExpertSettings()
        self.begin(0)

    @classmethod
    def for_env(cls, env: gymnasium.Env, settings: ExpertSettings) -> ExpertDevice:
        return cls(env, settings)

    def begin(self, seed: int | None) -> None:
        expert_seed, own_seed = np.random.SeedSequence(seed).spawn(2)
        self._expert = self._env.task.expert(np.random.default_rng(expert_seed))
        self._rng = np.random.default_rng(own_seed)
        delay = round(self._settings.reaction_delay * CONTROL_HZ)
        self._reactions: deque[np.ndarray] = deque(maxlen=delay + 1)
        self._slip, self._slip_left = np.zeros(0), 0
        self._done = False

    def read(self) -> TeleopCommand:
        state, scene = self._env.robot_state, self._env.robot.scene
        self._reactions.append(self._expert(state, scene))
        # Until the first reaction is due the person does not move.
        late = len(self._reactions) == self._reactions.maxlen
        action = self._with_faults(self._reactions[0]) if late else np.zeros_like(self._reactions[0])
        action = action if self._settings.acts else np.zeros_like(action)
        arms = {arm.name: _motion(arm, action) for arm in self._env.action_layout}
        before, self._done = self._done, self._env.task.succeeded(state, scene)
        held = frozenset({"success" if self._done else "failure"})
        pressed = held if self._done and not before else frozenset()
        return TeleopCommand(arms, any(not motion.still for motion in arms.values()), held, pressed)

    def _with_faults(self, wanted: np.ndarray) -> np.ndarray:
        settings, action = self._settings, wanted.copy()
        # A slip lasts several steps, so it starts rarer than it is there.
        rate = (1 - settings.skill) / (settings.skill * SLIP_STEPS + 1 - settings.skill)
        if self._slip_left == 0 and self._rng.random() < rate:
            self._slip, self._slip_left = self._rng.uniform(-1, 1, len(action)), SLIP_STEPS
        slips = self._slip_left > 0
        self._slip_left -= slips
        for arm in self._env.action_layout:
            motion = self._slip[arm.motion] if slips else settings.step_size * action[arm.motion]
            action[arm.motion] = motion + self._rng.normal(0.0, settings.noise, len(arm.axes))
        return action


def _motion(arm: ArmAction, action: np.ndarray) -> ArmMotion:
    motion, gripper = arm.six(action[arm.motion]), "stay"
    both = np.concatenate([saturate(motion[:3], 1.0), saturate(motion[3:], 1.0)])
    if arm.gripper and abs(action[arm.stop - 1]) > GRIPPER_THRESHOLD:
        gripper = "open" if action[arm.stop - 1] > 0 else "close"
    return ArmMotion(np.clip(both, -1.0, 1.0), gripper)
