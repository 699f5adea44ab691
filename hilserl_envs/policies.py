"""Policies that need no learning: the task's scripted expert, and chance.

A policy is called with an observation and answers with an action of the environment
that it was made for; `start` begins an episode.
"""

from __future__ import annotations

from typing import Protocol

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.wrappers import outer_action


class Policy(Protocol):
    """Anything that acts."""

    def start(self, seed: int) -> None:
        """Begin an episode."""

    def __call__(self, observation: dict) -> np.ndarray:
        """The action to take."""


class ExpertPolicy:
    """The task's scripted expert, through any wrappers; call `start` at every reset.

    It looks at the arm's state (and in the twin at the scene), not at the observation.

    Args:
        env: a `FrankaEnv` in any stack whose action wrappers can be undone.
    """

    def __init__(self, env: gymnasium.Env):
        if not isinstance(env.unwrapped, FrankaEnv):
            raise ConfigError(f"ExpertPolicy needs a FrankaEnv inside, got {env.unwrapped}")
        self._env = env
        self.start(0)

    def start(self, seed: int) -> None:
        self._expert = self._env.unwrapped.task.expert(_rng(seed))

    def __call__(self, observation: dict) -> np.ndarray:
        base = self._env.unwrapped
        action = outer_action(self._env, self._expert(base.robot_state, base.robot.scene))
        return action.astype(np.float32)


class RandomPolicy:
    """Uniform over the action space."""

    def __init__(self, env: gymnasium.Env):
        self._space = env.action_space
        self.start(0)

    def start(self, seed: int) -> None:
        self._rng = _rng(seed)

    def __call__(self, observation: dict) -> np.ndarray:
        return self._rng.uniform(self._space.low, self._space.high).astype(np.float32)


def _rng(seed: int) -> np.random.Generator:
    """Draws apart from the environment's, whose reset takes the same seed."""
    return np.random.default_rng([seed, 2])


POLICIES = {"expert": ExpertPolicy, "random": RandomPolicy}


def make_policy(name: str, env: gymnasium.Env) -> Policy:
    """The policy of that name for an environment.

    Raises:
        ConfigError: there is none.
    """
    return POLICIES[check_name(name, POLICIES, "policy")](env)
