"""`ActionSubspace`: act along some axes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.tasks.setup import laid_out
from hilserl_envs.wrappers.action import ActionTransform, layout_of, refuse_outside_of_intervention


class ActionSubspace(ActionTransform, RecordConstructorArgs):
    """Axes that a task does not need leave the action; along them the arm keeps still.

    A gripper stays in the action (see `FixedGripper`). What a person asks for along
    other axes is dropped.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import ActionSubspace
        >>> env = ActionSubspace(gym.make("hilserl/PickCube-v0", obs="state"), ["x", "y", "z", "rz"])
        >>> env.action_space.shape
        (5,)

    Args:
        env: with an `action_layout`.
        axes: of "x", "y", "z", "rx", "ry", "rz"; one list for all arms, or one by arm
            name (an arm not named keeps all). They are taken in that order.

    Raises:
        ConfigError: an unknown arm or axis, one given twice, or none left.
    """

    def __init__(self, env: gymnasium.Env, axes: Sequence[str] | Mapping[str, Sequence[str]]):
        if isinstance(axes, str) or not isinstance(axes, Sequence | Mapping):
            raise ConfigError(f"ActionSubspace: axes are a list of names, or one by arm; got {axes!r}")
        RecordConstructorArgs.__init__(self, axes=dict(axes) if isinstance(axes, Mapping) else list(axes))
        super().__init__(env)
        refuse_outside_of_intervention(env, self)
        inner = layout_of(env, self)
        names = [arm.name for arm in inner]
        by_arm = axes if isinstance(axes, Mapping) else dict.fromkeys(names, axes)
        for name in by_arm:
            check_name(name, names, "arm")
        kept = {}
        for arm in inner:
            chosen = [check_name(axis, arm.axes, "axis") for axis in by_arm.get(arm.name, arm.axes)]
            if len(set(chosen)) < len(chosen):
                raise ConfigError(f"ActionSubspace: axes must differ, got {chosen} for {arm.name!r}")
            kept[arm.name] = tuple(axis for axis in arm.axes if axis in chosen)
        self.action_layout = laid_out((arm.prefix, arm.gripper, kept[arm.name]) for arm in inner)
        if self.action_layout[-1].stop == 0:
            raise ConfigError("ActionSubspace: no axis is left to act along")
        self._size = inner[-1].stop
        self._kept = np.concatenate(
            [
                [arm.start + arm.axes.index(axis) for axis in kept[arm.name]] + [arm.stop - 1] * arm.gripper
                for arm in inner
            ]
        ).astype(int)
        self.action_space = spaces.Box(-1.0, 1.0, (len(self._kept),), np.float32)

    def action(self, action: np.ndarray) -> np.ndarray:
        inner = np.zeros(self._size)
        inner[self._kept] = action
        return inner

    def reverse_action(self, action: np.ndarray) -> np.ndarray:
        return np.asarray(action)[self._kept]
