"""What a store hands out: episodes, their figures, and transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hilserl_envs.errors import check_name

if TYPE_CHECKING:
    from hilserl_envs.recording.store import EpisodeStore


@dataclass(frozen=True)
class EpisodeInfo:
    """One episode in figures.

    Args:
        number: in the store, from 0.
        seed: of its reset, if one was given.
        options: of its reset.
        first: record of its reset; step i is record first + i.
        steps: taken; there is one observation more.
        success: whether its last step says so.
        interventions: steps in which a person acted.
        total_reward: undiscounted sum.
        began: time of the reset [s since the epoch].
        finished: whether it ended; if not, it is in progress or its process died.
        kept: whether it is to be used.
        outcome: "success", "failure", "timeout" or "stopped"; "" while it is unfinished.
        why: in words, may be empty.
    """

    number: int
    seed: int | None
    options: Mapping
    first: int
    steps: int
    success: bool
    interventions: int
    total_reward: float
    began: float
    finished: bool
    kept: bool
    outcome: str
    why: str


def is_kept(info: EpisodeInfo) -> bool:
    """Which episodes are used where nothing else is said."""
    return info.kept


@dataclass(frozen=True)
class Transitions:
    """N transitions.

    Args:
        observations, next_observations: (N, ...) by key.
        actions: (N, n) float32.
        rewards: (N,) float32.
        terminated, truncated, intervened: (N,) bool.
        extras: (N, ...) by name, of the step.
    """

    observations: dict[str, np.ndarray]
    next_observations: dict[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    intervened: np.ndarray
    extras: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rewards)


class Episode:
    """One episode of T steps; what it hands out is fresh.

    `episode["state/tcp_pose"]` (T + 1, 7) and `episode["images/front"]` (T + 1, H, W, 3):
    one entry an observation, that of the reset first. All else has one entry a step:
    entry t is about the step from observation t to observation t + 1.

    Attributes:
        info: its figures.
        actions: (T, n) float32, as executed.
        rewards: (T,) float32.
        terminated, truncated, success, intervened: (T,) bool.
        extras: (T, ...) by name.
        times: of the observations (T + 1,) [s since the epoch].
    """

    def __init__(self, store: EpisodeStore, info: EpisodeInfo):
        self._store, self.info = store, info
        records = store.records[info.first : info.first + info.steps + 1]
        steps = records[1:]
        self.actions, self.rewards = np.array(steps["action"]), np.array(steps["reward"])
        self.terminated, self.truncated = np.array(steps["terminated"]), np.array(steps["truncated"])
        self.success, self.intervened = np.array(steps["success"]), np.array(steps["intervened"])
        self.extras = {name: np.array(steps["extras"][name]) for name in store.schema.extras}
        self.times = np.array(records["time"])

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the observation."""
        return self._store.keys

    def __len__(self) -> int:
        """Steps."""
        return self.info.steps

    def __getitem__(self, key: str) -> np.ndarray:
        """One key of all observations.

        Raises:
            ConfigError: it has no such key.
        """
        first = self.info.first
        check_name(key, self.keys, "key of the observation")
        return self._store.take(key, np.arange(first, first + self.info.steps + 1))
