"""`Frame` and `Camera`: the seam to whatever takes pictures, with a fake for unit tests."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hilserl_envs.errors import CameraError


@dataclass(frozen=True)
class Frame:
    """One picture.

    Args:
        image: (height, width, 3) uint8 RGB, the reader's own.
        time: when it was taken, or came, on `time.monotonic`'s clock [s].
        number: counts the camera's frames; gaps are frames that were lost.
    """

    image: np.ndarray
    time: float
    number: int


@runtime_checkable
class Camera(Protocol):
    """Something that takes pictures by itself. Methods may be called by several threads at once.

    Attributes:
        size: (height, width) of its images.
    """

    size: tuple[int, int]

    def frame(self) -> Frame:
        """The newest frame, at once.

        Raises:
            CameraError: there is none, or the newest is too old; says why, as far as known.
        """

    def error(self) -> str | None:
        """What is wrong with it now, None where nothing is."""

    def close(self) -> None:
        """Stop it; safe to call twice."""


class FakeCamera:
    """Shows one grey, a little brighter with every frame. For unit tests.

    Attributes:
        trouble: what is wrong with it; while something is, there are no frames.
    """

    def __init__(self, size: tuple[int, int] = (128, 128)):
        self.size = size
        self.trouble: str | None = None
        self._number = 0
        self._lock = threading.Lock()

    def frame(self) -> Frame:
        if self.trouble is not None:
            raise CameraError(self.trouble)
        with self._lock:
            self._number += 1
            number = self._number
        return Frame(np.full((*self.size, 3), number % 256, np.uint8), time.monotonic(), number)

    def error(self) -> str | None:
        return self.trouble

    def close(self) -> None:
        self.trouble = "closed"
