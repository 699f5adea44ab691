"""`FeatureCache`: what a frozen encoder sees in each frame of a store, computed once, on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hilserl_envs.learning.batch import Packed
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.features import encode_crops, pack
from hilserl_envs.learning.row_cache import RowCache


class FeatureCache(RowCache):
    """Packed features of a few random crops of every frame.

    Args:
        path, capacity: as of `RowCache`.
        encoder: of the images.
        cameras: (height, width, 3) by key.
        crops: of each frame.
        seed: of the crops.

    Raises:
        LearningError: there can be no such file.
    """

    kind = "features"

    def __init__(
        self,
        path: str | Path,
        encoder: ImageEncoder,
        cameras: Mapping[str, tuple[int, int, int]],
        crops: int,
        capacity: int,
        seed: int,
    ):
        super().__init__(path, self.fields(encoder, cameras, crops), capacity)
        self._encoder, self._cameras, self._crops, self._seed = encoder, list(cameras), crops, seed

    @staticmethod
    def fields(encoder: ImageEncoder, cameras: Mapping[str, tuple[int, int, int]], crops: int) -> list[tuple]:
        """Of a row, see `row_type`."""
        shapes = {key: encoder.feature_shape(*shape[:2]) for key, shape in cameras.items()}
        return [
            (key, [("values", "i1", (crops, *shape)), ("scale", "<f2", (crops, shape[0]))])
            for key, shape in shapes.items()
        ]

    def write(self, record: int, checksum: int, images: Mapping[str, np.ndarray], ordinal: int) -> None:
        """Make a frame's row; its crops are those that `ordinal` and the seed decide on.

        Raises:
            LearningError: no room on the disk.
        """
        numbers = range(len(self._cameras))
        rngs = [np.random.default_rng([self._seed, ordinal, number]) for number in numbers]
        self._encode(record, checksum, images, rngs)

    def renew(
        self, record: int, checksum: int, images: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> None:
        """Make a frame's row again, of crops that `rng` draws.

        A kill on the way leaves a row that is seen to be torn, as with `write`.

        Raises:
            LearningError: no room on the disk.
        """
        self._encode(record, checksum, images, [rng] * len(self._cameras))

    def gather(self, records: np.ndarray, rng: np.random.Generator) -> dict[str, Packed]:
        """Features of one crop, drawn at random, of each of some frames (N,), by camera."""
        places = records % self.capacity
        features = {}
        for key in self._cameras:
            chosen = rng.integers(self._crops, size=len(places))
            part = self._rows[key]
            features[key] = Packed(
                torch.from_numpy(part["values"][places, chosen]),
                torch.from_numpy(part["scale"][places, chosen]),
            )
        return features

    def _encode(
        self,
        record: int,
        checksum: int,
        images: Mapping[str, np.ndarray],
        rngs: Sequence[np.random.Generator],
    ) -> None:
        row = {}
        for key, rng in zip(self._cameras, rngs, strict=True):
            packed = pack(encode_crops(self._encoder, images[key][None], self._crops, rng)[0])
            row[key] = tuple(part.cpu().numpy() for part in packed)
        self._put(record, checksum, row)
