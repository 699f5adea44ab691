"""What wrappers of the proprioceptive state share."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium import spaces

from hilserl_envs.errors import ConfigError, check_name


def state_space(env: gymnasium.Env, wrapper: gymnasium.Wrapper) -> spaces.Dict:
    """The space of the observation's `state`.

    Raises:
        ConfigError: the observation has no `state` addressed by key.
    """
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or not isinstance(space.spaces.get("state"), spaces.Dict):
        raise ConfigError(
            f"{type(wrapper).__name__} needs observations with a dictionary `state`; got {space}. "
            "Put it before FlattenProprioception and before flattening wrappers"
        )
    return space["state"]


def pose_keys(env: gymnasium.Env, wrapper: gymnasium.Wrapper) -> list[str]:
    """Keys of the state that are poses: `..._pose` of seven numbers, xyz + quat_xyzw."""
    space = state_space(env, wrapper)
    return [key for key, box in space.items() if key.endswith("_pose") and box.shape == (7,)]


def state_reader(
    env: gymnasium.Env, wrapper: gymnasium.Wrapper, key: str
) -> tuple[int, Callable[[dict], np.ndarray]]:
    """Size of one key of the state, and how to read it from an observation.

    The state may be flattened, and stacked in time: then the newest counts.

    Raises:
        ConfigError: there is no such key, or no state addressed by key.
    """
    space, what = env.observation_space, f"state key of {type(wrapper).__name__}"
    flat = space.spaces.get("state") if isinstance(space, spaces.Dict) else None
    if isinstance(flat, spaces.Box) and env.has_wrapper_attr("slices"):
        slices = env.get_wrapper_attr("slices")
        part = slices[check_name(key, slices, what)]
        if flat.shape[-1] != max(other.stop for other in slices.values()):
            raise ConfigError(
                f"{type(wrapper).__name__}: the flattened state {flat.shape} was changed after that: "
                "put this wrapper inside of the one that did so"
            )
        return part.stop - part.start, lambda observation: _newest(observation["state"])[part]
    state = state_space(env, wrapper)
    box = state[check_name(key, state, what)]
    return box.shape[-1], lambda observation: _newest(observation["state"][key])


def _newest(value: np.ndarray) -> np.ndarray:
    return value[-1] if value.ndim == 2 else value
