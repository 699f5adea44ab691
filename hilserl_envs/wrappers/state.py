"""What wrappers of the proprioceptive state share."""

from __future__ import annotations

import gymnasium
from gymnasium import spaces

from hilserl_envs.errors import ConfigError


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
