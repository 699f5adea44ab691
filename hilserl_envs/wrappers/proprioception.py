"""`FlattenProprioception`: the state as one vector."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.wrappers.state import state_space


class FlattenProprioception(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Concatenate chosen keys of the state, in the order given.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import FlattenProprioception
        >>> env = FlattenProprioception(gym.make("hilserl/PickCube-v0"), ["tcp_pose", "gripper_pose"])
        >>> env.slices
        {'tcp_pose': slice(0, 7, None), 'gripper_pose': slice(7, 8, None)}

    Args:
        env: whose observation holds a dictionary `state`.
        keys: which, and their order; None takes all, in the alphabetical order of the
            observation space.

    Attributes:
        slices: where each key's numbers are.

    Raises:
        ConfigError: an unknown key, one given twice, or none.
    """

    def __init__(self, env: gymnasium.Env, keys: Sequence[str] | None = None):
        RecordConstructorArgs.__init__(self, keys=keys)
        super().__init__(env)
        state = state_space(env, self)
        keys = list(state) if keys is None else [check_name(key, state, "state key") for key in keys]
        if not keys or len(set(keys)) < len(keys):
            raise ConfigError(
                f"FlattenProprioception needs different keys, at least one; got {keys}, known: {list(state)}"
            )
        self.slices: dict[str, slice] = {}
        size = 0
        for key in keys:
            self.slices[key] = slice(size, size + state[key].shape[0])
            size += state[key].shape[0]
        low, high = (np.concatenate([getattr(state[key], end) for key in keys]) for end in ("low", "high"))
        self.observation_space = spaces.Dict(
            {**env.observation_space, "state": spaces.Box(low, high, dtype=np.float32)}
        )

    def observation(self, observation: dict) -> dict:
        state = observation["state"]
        return {**observation, "state": np.concatenate([state[key] for key in self.slices])}
