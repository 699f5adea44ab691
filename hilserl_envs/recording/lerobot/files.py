"""Tables and videos of a LeRobot dataset: several episodes a file, the next file when one is full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hilserl_envs.errors import RecordingError
from hilserl_envs.recording.lerobot import layout

# A key frame every second frame, as LeRobot's own videos have, so that any frame is decoded fast.
# "zerolatency" hands out every frame's bytes at once: the size of the file is known.
_CODEC = {"crf": "18", "g": "2", "tune": "zerolatency"}
VIDEO_FACTS = {
    "video.codec": "h264",
    "video.pix_fmt": "yuv420p",
    "video.is_depth_map": False,
    "video.channels": 3,
    "has_audio": False,
}


class _Series:
    """Numbered files of one kind; the next one starts when one has reached its size."""

    def __init__(self, root: Path, pattern: str, megabytes: float, **names: str):
        self._root, self._pattern, self._names = root, pattern, names
        self._limit = megabytes * 2**20
        self.chunk, self.file = 0, -1
        self.size = 0  # bytes written to the file

    @property
    def full(self) -> bool:
        return self.file < 0 or self.size >= self._limit

    def next(self) -> Path:
        self.file, self.size = self.file + 1, 0
        if self.file == layout.CHUNK_SIZE:
            self.chunk, self.file = self.chunk + 1, 0
        name = self._pattern.format(chunk_index=self.chunk, file_index=self.file, **self._names)
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class TableWriter:
    """The frames' table, an episode at a time."""

    def __init__(self, root: Path, schema: Any):
        self._series, self._schema = _Series(root, layout.DATA, layout.DATA_MB), schema
        self._writer = None

    def add(self, table: Any) -> dict[str, int]:
        """Write an episode's frames; returns where they are, as `meta/episodes` says it."""
        if self._series.full:
            self.close()
            self._writer = layout.pyarrow().parquet.ParquetWriter(self._series.next(), self._schema)
        self._writer.write_table(table)
        self._series.size += table.nbytes
        return {"data/chunk_index": self._series.chunk, "data/file_index": self._series.file}

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class VideoWriter:
    """One camera's videos, an episode at a time.

    Args:
        feature: of the camera.
        fps: frames a second.
        size: (height, width), both even.
    """

    def __init__(self, root: Path, feature: str, fps: int, size: tuple[int, int]):
        self._series = _Series(root, layout.VIDEO, layout.VIDEO_MB, video_key=feature)
        self._feature, self._fps, self._size = feature, fps, size
        self._container = None
        self._frames = 0

    def add(self, images: np.ndarray) -> dict[str, float]:
        """Write an episode's frames (T, H, W, 3); returns where they are, as `meta/episodes` says it."""
        if self._series.full:
            self.close()
            self._container, self._frames = av.open(str(self._series.next()), "w"), 0
            self._stream = self._container.add_stream("libx264", rate=self._fps, options=_CODEC)
            self._stream.height, self._stream.width = self._size
            self._stream.pix_fmt = VIDEO_FACTS["video.pix_fmt"]
        first = self._frames
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = self._frames, Fraction(1, self._fps)
            packets = self._stream.encode(frame)
            self._series.size += sum(packet.size for packet in packets)
            self._container.mux(packets)
            self._frames += 1
        place = {
            "chunk_index": self._series.chunk,
            "file_index": self._series.file,
            "from_timestamp": first / self._fps,
            "to_timestamp": self._frames / self._fps,
        }
        return {f"videos/{self._feature}/{name}": value for name, value in place.items()}

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()


class VideoReader:
    """Frames of one camera's videos, fastest in the order in which they were written."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._container = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._at = 0

    def read(self, path: Path, first: int, count: int, fps: float) -> np.ndarray:
        """Frames (count, H, W, 3) uint8 of a file from number `first` on.

        Raises:
            RecordingError: the file is not there, or ends before.
        """
        if path != self._path or first < self._at:
            self.close()
            try:
                self._container = av.open(str(path))
            except (OSError, av.FFmpegError) as error:
                raise RecordingError(f"cannot read the video {path}: {error}") from None
            self._path, self._frames = path, self._container.decode(video=0)
        images = []
        for frame in self._frames:
            self._at = round(frame.time * fps) + 1
            if self._at > first:
                images.append(frame.to_ndarray(format="rgb24"))
            if len(images) == count:
                return np.stack(images)
        raise RecordingError(f"{path} ends before frame {first + count}; is the dataset complete?")

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._path, self._container, self._at = None, None, 0


def write_json(path: Path, value: Any) -> None:
    """Write JSON; numpy's arrays as lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4, default=np.ndarray.tolist))


def write_tasks(path: Path, task: str) -> None:
    """The table of tasks: a pandas table whose index is the task's text."""
    arrow = layout.pyarrow()
    columns = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in columns
        ],
        "pandas_version": "2.0.0",
    }
    table = arrow.table({"task_index": arrow.array([0], arrow.int64()), "task": [task]})
    arrow.parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
