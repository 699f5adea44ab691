"""`FrameCache`: each frame of a store as it is, decoded once, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hilserl_envs.learning.row_cache import RowCache


class FrameCache(RowCache):
    """The images of every frame, for whoever crops and encodes them anew each time.

    Args:
        path, capacity: as of `RowCache`.
        cameras: (height, width, 3) by key.

    Raises:
        LearningError: there can be no such file.
    """

    kind = "frames"

    def __init__(self, path: str | Path, cameras: Mapping[str, tuple[int, int, int]], capacity: int):
        super().__init__(path, self.fields(cameras), capacity)
        self._cameras = list(cameras)

    @staticmethod
    def fields(cameras: Mapping[str, tuple[int, int, int]]) -> list[tuple]:
        """Of a row, see `row_type`."""
        return [(key, "u1", tuple(shape)) for key, shape in cameras.items()]

    def write(self, record: int, checksum: int, images: Mapping[str, np.ndarray], ordinal: int) -> None:
        """Keep a frame's images; nothing about them is random.

        Raises:
            LearningError: no room on the disk.
        """
        self._put(record, checksum, {key: images[key] for key in self._cameras})

    def gather(self, records: np.ndarray, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
        """The images (height, width, 3) uint8 of some frames (N,), by camera; nothing is drawn.

        As they lie in the file, read-only: to copy them takes longer than to crop them. They hold
        until their places go to other frames.
        """
        rows, places = np.asarray(self._rows), (records % self.capacity).tolist()
        return {key: list(map(rows[key].__getitem__, places)) for key in self._cameras}
