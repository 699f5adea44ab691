"""`Recropping`: new crops of frames whose features are stored, made while there is time for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilserl_envs.learning.replay import Replay


class Recropping:
    """Replaces the crops of one frame after the other, of several replays in turns.

    Within a replay it goes from the oldest frame to the newest and round again. Replays take turns,
    whatever their sizes: demonstrations are few, and drawn as often as all else together.

    Args:
        seed: of the crops.
    """

    def __init__(self, seed: Sequence[int]):
        self._rng = np.random.default_rng(seed)
        self._turn = self._renewed = self._updates = 0
        self._last: dict[Replay, int] = {}  # record renewed last

    def step(self, replays: Sequence[Replay], updates: int) -> bool:
        """Renew one frame; returns whether there was a use for it.

        Args:
            replays: with features.
            updates: made so far. Once all frames are renewed, there is no more to do until the next,
                which draws from them.

        Raises:
            LearningError: no room for features.
        """
        if updates != self._updates:
            self._updates, self._renewed = updates, 0
        replays = [replay for replay in replays if len(replay.frames)]
        if self._renewed >= sum(len(replay.frames) for replay in replays):
            return False
        self._renewed += 1
        self._turn += 1
        replay = replays[self._turn % len(replays)]
        after = np.searchsorted(replay.frames, self._last.get(replay, -1), "right")
        self._last[replay] = int(replay.frames[after % len(replay.frames)])
        replay.renew_crops(self._last[replay], self._rng)
        return True
