"""`RowCache`: what is kept of each record of an episode store, in a file read through memory maps."""

from __future__ import annotations

import contextlib
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.batch import Images


def row_type(fields: list[tuple]) -> np.dtype:
    """The layout of a row that holds those fields."""
    return np.dtype([("record", "<u4"), *fields, ("crc", "<u4")])


class RowCache(ABC):
    """A row for each record that is in use, made when the record arrives, read again and again.

    A row carries its record's checksum, and one of its own. What is torn by a kill, damaged, or
    of another record is seen and made again. There are `capacity` places, which the newest
    records take; the file grows only where it was written.

    Args:
        path: of the file; made where there is none.
        fields: of a row, as of a numpy type.
        capacity: rows.

    Raises:
        LearningError: there can be no such file.
    """

    kind: str  # what the rows are, in the plural

    def __init__(self, path: str | Path, fields: list[tuple], capacity: int):
        self.path, self.capacity, self._row = Path(path), capacity, row_type(fields)
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Not to append: such a file ignores the place of a write.
            self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
            os.ftruncate(self._file.fileno(), capacity * self._row.itemsize)
        self._rows = np.memmap(self.path, self._row, "r", shape=(capacity,))

    @abstractmethod
    def write(self, record: int, checksum: int, images: Mapping[str, np.ndarray], ordinal: int) -> None:
        """Make a record's row.

        Args:
            record: of the store.
            checksum: of that record.
            images: (height, width, 3) uint8 by key.
            ordinal: which frame of the run it is; whatever is random in a row depends on it.

        Raises:
            LearningError: no room on the disk.
        """

    @abstractmethod
    def gather(self, records: np.ndarray, rng: np.random.Generator) -> Images:
        """What the rows of some records (N,) hold, by camera; `rng` chooses where they hold several."""

    def holds(self, records: np.ndarray, checksums: np.ndarray) -> np.ndarray:
        """Whether the rows of some records (N,) are there, whole: (N,) bool."""
        places = records % self.capacity
        held = self._rows["record"][places] == checksums
        for number in np.flatnonzero(held):
            row = self._rows[places[number]]
            held[number] = zlib.crc32(row.tobytes()[:-4]) == row["crc"]
        return held

    def _put(self, record: int, checksum: int, values: Mapping[str, Any]) -> None:
        """Write the row of a record, which has these values by field."""
        row = np.zeros((), self._row)
        row["record"] = checksum
        for name, value in values.items():
            row[name] = value
        row["crc"] = zlib.crc32(row.tobytes()[:-4])
        at, rest = record % self.capacity * self._row.itemsize, memoryview(row.tobytes())
        with self._explained():
            while rest:  # a disk that fills up takes part of it, and then raises
                done = os.pwrite(self._file.fileno(), rest, at)
                at, rest = at + done, rest[done:]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LearningError(
                f"cannot write {self.kind} to {self.path}: {error.strerror}. Make room, and resume the run"
            ) from error
