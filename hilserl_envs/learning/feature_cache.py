"""`FeatureCache`: what a frozen encoder sees in each frame of a store, computed once, on disk."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.batch import Packed
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.features import encode_crops, pack


class FeatureCache:
    """Packed features of a few random crops of every frame, in a file read through memory maps.

    A row belongs to one record of an episode store: it carries that record's checksum, and
    one of its own. What is torn by a kill, damaged, or of another record is seen and made
    again. There are `capacity` places, which the newest records take; the file grows only
    where it was written.

    Args:
        path: of the file; made where there is none.
        encoder: of the images.
        cameras: (height, width, 3) by key.
        crops: of each frame.
        capacity: rows.
        seed: of the crops.

    Raises:
        LearningError: there can be no such file.
    """

    def __init__(
        self,
        path: str | Path,
        encoder: ImageEncoder,
        cameras: Mapping[str, tuple[int, int, int]],
        crops: int,
        capacity: int,
        seed: int,
    ):
        self.path, self.capacity, self._crops, self._seed = Path(path), capacity, crops, seed
        self._encoder, self._cameras = encoder, list(cameras)
        shapes = {key: encoder.feature_shape(*shape[:2]) for key, shape in cameras.items()}
        fields = [
            (key, [("values", "i1", (crops, *shape)), ("scale", "<f2", (crops, shape[0]))])
            for key, shape in shapes.items()
        ]
        self._row = np.dtype([("record", "<u4"), *fields, ("crc", "<u4")])
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Not to append: such a file ignores the place of a write.
            self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
            os.ftruncate(self._file.fileno(), capacity * self._row.itemsize)
        self._rows = np.memmap(self.path, self._row, "r", shape=(capacity,))

    def holds(self, records: np.ndarray, checksums: np.ndarray) -> np.ndarray:
        """Whether the rows of some records (N,) are there, whole: (N,) bool."""
        places = records % self.capacity
        held = self._rows["record"][places] == checksums
        for number in np.flatnonzero(held):
            row = self._rows[places[number]]
            held[number] = zlib.crc32(row.tobytes()[:-4]) == row["crc"]
        return held

    def write(self, record: int, checksum: int, images: Mapping[str, np.ndarray], ordinal: int) -> None:
        """Make a frame's row.

        Args:
            record: of the store.
            checksum: of that record.
            images: (height, width, 3) by key.
            ordinal: which frame of the run it is; with the seed it decides on the crops.

        Raises:
            LearningError: no room on the disk.
        """
        row = np.zeros((), self._row)
        row["record"] = checksum
        for number, key in enumerate(self._cameras):
            rng = np.random.default_rng([self._seed, ordinal, number])
            values, scale = pack(encode_crops(self._encoder, images[key][None], self._crops, rng)[0])
            row[key]["values"], row[key]["scale"] = values.cpu().numpy(), scale.cpu().numpy()
        row["crc"] = zlib.crc32(row.tobytes()[:-4])
        at, rest = record % self.capacity * self._row.itemsize, memoryview(row.tobytes())
        with self._explained():
            while rest:  # a disk that fills up takes part of it, and then raises
                done = os.pwrite(self._file.fileno(), rest, at)
                at, rest = at + done, rest[done:]

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

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LearningError(
                f"cannot write features to {self.path}: {error.strerror}. Make room, and resume the run"
            ) from error
