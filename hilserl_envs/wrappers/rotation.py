"""`RotationRepresentation`: poses of the state without quaternions."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from scipy.spatial.transform import Rotation

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.poses import quat_to_matrix, quat_to_rotvec
from hilserl_envs.wrappers.state import pose_keys, state_space


def _euler(quat_xyzw: np.ndarray) -> np.ndarray:
    return Rotation.from_quat(quat_xyzw).as_euler("xyz")


def _six(quat_xyzw: np.ndarray) -> np.ndarray:
    return quat_to_matrix(quat_xyzw)[:, :2].T.ravel()


_REPRESENTATIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "rotvec": (quat_to_rotvec, 3),
    "euler": (_euler, 3),
    "6d": (_six, 6),
}


class RotationRepresentation(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Every pose xyz + quat_xyzw (7,) of the state becomes xyz + another rotation.

    - `rotvec`: rotation vector [rad], (6,) in all. Smooth around no rotation, so use it
      behind `RelativeFrame`.
    - `euler`: angles [rad] about the fixed axes x, y, z, as the public code has them; they
      jump at half a turn. (6,) in all.
    - `6d`: the first two columns of the rotation matrix, one after the other; never
      jumps (Zhou et al., "On the Continuity of Rotation Representations", 2019). (9,).

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import RotationRepresentation
        >>> env = RotationRepresentation(gym.make("hilserl/PickCube-v0", obs="state"), "6d")
        >>> env.observation_space["state"]["tcp_pose"].shape
        (9,)

    Args:
        env: whose state holds poses.
        representation: "rotvec", "euler" or "6d".
        objects: the same for all but the `tcp_pose` of an arm. Seen from a hand that points
            down, what stands upright is half a turn away, where the others jump.
    """

    def __init__(self, env: gymnasium.Env, representation: str = "rotvec", objects: str = "6d"):
        RecordConstructorArgs.__init__(self, representation=representation, objects=objects)
        super().__init__(env)
        for name in (representation, objects):
            check_name(name, _REPRESENTATIONS, "rotation representation")
        keys = pose_keys(env, self)
        if not keys:
            raise ConfigError(
                f"RotationRepresentation finds no pose in the state {list(state_space(env, self))}"
            )
        named = {key: representation if key.endswith("tcp_pose") else objects for key in keys}
        self._conversions = {key: _REPRESENTATIONS[name] for key, name in named.items()}
        changed = {
            key: spaces.Box(-np.inf, np.inf, (3 + size,), np.float32)
            for key, (_, size) in self._conversions.items()
        }
        state = spaces.Dict({**state_space(env, self), **changed})
        self.observation_space = spaces.Dict({**env.observation_space, "state": state})

    def observation(self, observation: dict) -> dict:
        state = dict(observation["state"])
        for key, (convert, _) in self._conversions.items():
            pose = state[key].astype(np.float64)
            state[key] = np.concatenate([pose[:3], convert(pose[3:])]).astype(np.float32)
        return {**observation, "state": state}
