"""`Returns`: what a sum of rewards can come to, by the rewards seen so far."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Returns(NamedTuple):
    """Extremes of the rewards of steps after which an episode goes on, and of those that end it.

    Where nothing but success is rewarded, and ends the episode, no return is above 1: critics whose
    targets are kept to that cannot talk each other into more. Bounds like these, known
    beforehand, are those of Andrychowicz et al., "Hindsight Experience Replay" (2017).

    Args:
        least_on, most_on: of steps after which it goes on, at most and at least 0.
        least_end, most_end: of steps that end it, the same.
    """

    least_on: float = 0.0
    most_on: float = 0.0
    least_end: float = 0.0
    most_end: float = 0.0

    @classmethod
    def of(cls, rewards: np.ndarray, masks: np.ndarray) -> Returns:
        """By rewards (N,), and masks (N,) that are 0 where the episode ended."""
        on, end = rewards[masks > 0], rewards[masks == 0]
        return cls(
            float(on.min(initial=0.0)),
            float(on.max(initial=0.0)),
            float(end.min(initial=0.0)),
            float(end.max(initial=0.0)),
        )

    def __or__(self, other: Returns) -> Returns:
        """By both's rewards."""
        return Returns(
            min(self.least_on, other.least_on),
            max(self.most_on, other.most_on),
            min(self.least_end, other.least_end),
            max(self.most_end, other.most_end),
        )

    def bounds(self, discount: float) -> tuple[float, float]:
        """The least and the largest return; infinite where rewards go on and are not discounted."""

        def endless(reward: float) -> float:
            if reward == 0:
                return 0.0
            return reward / (1 - discount) if discount < 1 else math.copysign(math.inf, reward)

        return endless(self.least_on) + self.least_end, endless(self.most_on) + self.most_end
