"""`CameraReader`: a camera that a thread of its own reads, and that survives being unplugged."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import Protocol

import numpy as np

from hilserl_envs.cameras.camera import Frame
from hilserl_envs.errors import CameraError, ConfigError

PATIENCE = 0.1  # for one read [s]
STALE = 0.5  # a picture older than this is not what is there now [s]
STALL = 3.0  # without a picture before the camera is opened anew [s]: most hiccups are shorter
RETRY = 1.0  # between two tries to open it [s]
START = 20.0  # for the first picture, beyond which its driver hangs [s]

# What a person must see goes out as a warning: Python shows those without any set-up.
log = logging.getLogger("hilserl_envs.cameras")


class Source(Protocol):
    """What a `CameraReader` reads. It is used by one thread only; its str() names it in errors.

    Attributes:
        size: (height, width) of its images.
    """

    size: tuple[int, int]

    def open(self) -> None:
        """Start it.

        Raises:
            CameraError: it is not there, or cannot do what is asked of it.
        """

    def read(self, timeout: float) -> tuple[np.ndarray, int] | None:
        """The newest image that was not read yet, and its number; None if none comes in time.

        The image, (height, width, 3) uint8 RGB, is the reader's own.

        Raises:
            CameraError: it is gone.
        """

    def close(self) -> None:
        """Stop it, open or not, whatever state it is in."""


class CameraReader:
    """The `Camera` of a `Source`: has the newest frame at once, and never waits for the camera.

    When the source stalls or is gone, `error` and `frame` say so, and it is opened anew in
    the background until it works. A warning says that it is lost, and that it is back.
    The constructor returns with the first picture.

    Args:
        source: what to read; the reader's from now on.
        stale_after: age [s] from which on a picture counts as none.

    Raises:
        ConfigError: stale_after is not above 0.
        CameraError: the source does not open, or gives no picture.
    """

    def __init__(self, source: Source, stale_after: float = STALE):
        if not stale_after > 0:
            raise ConfigError(f"stale_after is a time above 0 s, got {stale_after!r}")
        self.size = source.size
        self._source, self._stale_after = source, stale_after
        self._lock, self._closing, self._started = threading.Lock(), threading.Event(), threading.Event()
        self._newest: Frame | None = None
        self._problem: str | None = None  # not the error itself: it would keep the driver's objects alive
        self._thread = threading.Thread(target=self._run, name=str(source), daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that the end of Python finds in a driver aborts the process
        self._started.wait(START)
        if self._newest is None:
            hangs = f"{source} does not answer: unplug it and plug it in again, or try another port"
            problem = self._problem or hangs
            self.close()
            raise CameraError(problem)

    def frame(self) -> Frame:
        error = self.error()
        if error is not None:
            raise CameraError(error)
        newest = self._newest
        return Frame(newest.image.copy(), newest.time, newest.number)

    def error(self) -> str | None:
        with self._lock:
            newest, problem = self._newest, self._problem
        if self._closing.is_set():
            return f"{self._source} is closed"
        if problem is not None:
            return problem
        age = time.monotonic() - newest.time
        if age > self._stale_after:
            return f"{self._source} is frozen: its newest picture is {age:.1f} s old"
        return None

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._session()
            except Exception as error:  # a thread that died would leave a picture standing
                self._lose(error)
                self._started.set()
            self._source.close()
            self._closing.wait(RETRY)

    def _session(self) -> None:
        """Open the source and read it until it is lost, or the reader is closed."""
        self._source.open()
        last, heard = None, time.monotonic()
        while not self._closing.is_set():
            picture, now = self._source.read(PATIENCE), time.monotonic()
            if picture is not None and picture[1] != last:
                image, number = picture
                # Cameras count from their own start, anew whenever they are opened.
                lost = 0 if last is None else max(0, number - last - 1)
                self._keep(image, now, lost)
                last, heard = number, now
            elif now - heard > STALL:
                raise CameraError(f"{self._source} gives no pictures: is its cable firm, at both ends?")

    def _keep(self, image: np.ndarray, now: float, lost: int) -> None:
        with self._lock:
            number = 0 if self._newest is None else self._newest.number + 1 + lost
            self._newest, problem, self._problem = Frame(image, now, number), self._problem, None
        self._started.set()
        if problem is not None:
            log.warning("%s is back", self._source)

    def _lose(self, error: Exception) -> None:
        foreseen = isinstance(error, CameraError)
        problem = str(error) if foreseen else f"{self._source} fails: {type(error).__name__}: {error}"
        with self._lock:
            known, self._problem = self._problem, problem
        if known is None and self._newest is not None:
            log.warning("%s (tried again every %g s)", problem, RETRY, exc_info=None if foreseen else error)
