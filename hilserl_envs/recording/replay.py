"""Playing recorded episodes back in the twin, and how far they drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.episode import Episode
from hilserl_envs.recording.schema import flatten


@dataclass(frozen=True)
class Replay:
    """One episode played back.

    Args:
        episode: its number.
        seed: of its reset.
        recorded_success, success: how it ended when it was recorded, and now.
        position_drift: distance of the TCP from where it was recorded, after the reset
            and after every step (T+1,) [m]; of the arm that is further off, with two.
        state_drift: largest difference of any number of the state, by key.
        recorded_steps: T is smaller where the episode ended sooner now.
    """

    episode: int
    seed: int
    recorded_success: bool
    success: bool
    position_drift: np.ndarray
    state_drift: dict[str, float]
    recorded_steps: int

    @property
    def same_outcome(self) -> bool:
        """Whether it ended as it did when it was recorded."""
        return self.success == self.recorded_success


def replay_episode(env: gymnasium.Env, episode: Episode, watch: Callable[[], None] = lambda: None) -> Replay:
    """Play one episode's actions from its seed on.

    An episode that ends sooner than it did is compared up to there.

    Args:
        env: of the recording's observations and actions, see `rebuild_env`.
        watch: called after the reset and every step.

    Raises:
        ConfigError: it was recorded without a seed, or holds no pose of the TCP.
    """
    info = episode.info
    if info.seed is None:
        raise ConfigError(
            f"episode {info.number} was reset without a seed, so nothing can start where it did; record with "
            "env.reset(seed=...)"
        )
    keys = [key for key in episode.keys if key.startswith("state/")]
    poses = [key for key in keys if key.rpartition("/")[2] == "tcp_pose"]
    if not poses:
        raise ConfigError("the recording holds no tcp_pose by key, so there is no drift to measure")
    observation, now = env.reset(seed=info.seed, options=info.options or None)
    played, success = [_by_key(env, observation, keys)], bool(now.get("is_success", False))
    watch()
    for action in episode.actions:
        observation, _, terminated, truncated, now = env.step(action)
        played.append(_by_key(env, observation, keys))
        success = bool(now.get("is_success", False))
        watch()
        if terminated or truncated:
            break
    off = {
        key: np.array([step[key] for step in played], np.float64) - episode[key][: len(played)]
        for key in keys
    }
    position = np.max([np.linalg.norm(off[key][:, :3], axis=1) for key in poses], axis=0)
    drift = {key: float(np.abs(values).max()) for key, values in off.items()}
    return Replay(info.number, info.seed, info.success, success, position, drift, info.steps)


def _by_key(env: gymnasium.Env, observation: dict, keys: list[str]) -> dict[str, np.ndarray]:
    """Arrays of the state, also out of a flattened one."""
    leaves = dict(flatten(observation))
    if env.has_wrapper_attr("slices"):
        parts = env.get_wrapper_attr("slices")
        leaves |= {f"state/{key}": leaves["state"][part] for key, part in parts.items()}
    return {key: leaves[key] for key in keys}
