"""`FixedGripper`: leave the gripper out of the action."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.tasks.setup import laid_out
from hilserl_envs.wrappers.action import ActionTransform, layout_of, refuse_outside_of_intervention

COMMANDS = {"closed": -1.0, "stay": 0.0, "open": 1.0}


class FixedGripper(ActionTransform, RecordConstructorArgs):
    """Every gripper gets the same command at every step; actions hold motions only.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import FixedGripper
        >>> env = FixedGripper(gym.make("hilserl/PickCube-v0", obs="state"), "closed")
        >>> env.action_space.shape
        (6,)

    Args:
        env: with at least one gripper in its action.
        command: "closed", "stay" or "open".
    """

    def __init__(self, env: gymnasium.Env, command: str = "closed"):
        RecordConstructorArgs.__init__(self, command=command)
        super().__init__(env)
        self._command = COMMANDS[check_name(command, COMMANDS, "gripper command")]
        refuse_outside_of_intervention(env, self)
        inner = layout_of(env, self)
        if not any(arm.gripper for arm in inner):
            raise ConfigError(
                "FixedGripper: no arm of this environment has a gripper in its action; leave it out"
            )
        self._motions = [arm.motion for arm in inner]
        self._size = env.action_space.shape[0]
        self._grippers = [arm.stop - 1 for arm in inner if arm.gripper]
        self.action_layout = laid_out((arm.prefix, False, arm.axes) for arm in inner)
        self.action_space = spaces.Box(-1.0, 1.0, (self.action_layout[-1].stop,), np.float32)

    def action(self, action: np.ndarray) -> np.ndarray:
        inner = np.empty(self._size)
        for arm, motion in zip(self.action_layout, self._motions, strict=True):
            inner[motion] = action[arm.motion]
        inner[self._grippers] = self._command
        return inner

    def reverse_action(self, action: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(action)[motion] for motion in self._motions])
