"""`RealTime`: let time pass as fast as it does for a person."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs


class RealTime(gymnasium.Wrapper, RecordConstructorArgs):
    """A step returns no sooner than its control period after the one before it.

    The twin steps as fast as it can, which nobody can drive. What the caller does between
    two steps counts in; a step that came late is not made up for by hurrying. On a robot,
    whose steps take their time already, it changes nothing.

    Example:
        >>> import time
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import RealTime
        >>> env = RealTime(gym.make("hilserl/PickCube-v0", obs="state"))
        >>> observation, info = env.reset(seed=0)
        >>> began = time.monotonic()
        >>> for _ in range(3):
        ...     observation, *_ = env.step(env.action_space.sample())
        >>> time.monotonic() - began >= 0.29
        True

    Args:
        env: whose metadata name `render_fps`, its control steps a second; 10 without.
    """

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._period = 1 / env.metadata.get("render_fps", 10)
        self._due = -np.inf

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        result = self.env.reset(seed=seed, options=options)
        self._due = time.monotonic()
        return result

    def step(self, action: np.ndarray) -> tuple:
        result = self.env.step(action)
        now = time.monotonic()
        self._due = max(self._due + self._period, now)
        time.sleep(self._due - now)
        return result
