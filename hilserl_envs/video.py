"""Videos from (height, width, 3) uint8 RGB frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from hilserl_envs.errors import ConfigError

SUFFIXES = (".mp4", ".mkv", ".mov")


class VideoWriter:
    """Writes frames of one size as H.264 as they come, cut to even sides as the codec needs.

    Args:
        path: ends in .mp4, .mkv or .mov.
        fps: frames a second.

    Raises:
        ConfigError: another ending.
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | Path, fps: float):
        if Path(path).suffix not in SUFFIXES:
            raise ConfigError(f"a video's name ends in {', '.join(SUFFIXES)}; got {path}")
        open(path, "wb").close()  # PyAV opens it at the first frame, and then does not name it
        self._container = av.open(str(path), "w")
        rate = Fraction(fps).limit_denominator(1000)
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20"})
        self._stream.pix_fmt = "yuv420p"
        self.frames = 0

    def add(self, frame: np.ndarray) -> None:
        """The next frame (height, width, 3) uint8 RGB."""
        height, width = (side - side % 2 for side in frame.shape[:2])
        if self.frames == 0:
            self._stream.width, self._stream.height = width, height
        cut = np.ascontiguousarray(frame[:height, :width])
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        if self._stream is not None:
            if self.frames:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            self._stream = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames of one size as H.264; see `VideoWriter`."""
    with VideoWriter(path, fps) as video:
        for frame in frames:
            video.add(frame)
