"""What lies where in a store's folder, and how much of it is whole.

    meta.json       written once: schema, environment, versions
    steps.bin       records of a fixed size, one per reset and step, appended
    images/*.bin    one file a camera, appended before the record that points into it
    episodes.jsonl  a line per session, begin, end and mark of an episode, appended
    lock            held by the one writer

Every line of `episodes.jsonl` says how many records there were before it.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording.schema import Schema

log = logging.getLogger("hilserl_envs.recording")

FORMAT = 1
META, STEPS, EPISODES, LOCK = "meta.json", "steps.bin", "episodes.jsonl", "lock"


def read_meta(folder: Path) -> dict:
    """The meta data of a store, its schema made.

    Raises:
        RecordingError: there is no store, or one of a newer format, or it is damaged.
    """
    try:
        meta = json.loads((folder / META).read_text())
        number = int(meta["format"])
        if number <= FORMAT:
            return {**meta, "schema": Schema.from_json(meta["schema"])}
    except (FileNotFoundError, NotADirectoryError):
        inner = [path.parent for path in sorted(folder.glob(f"*/{META}"))]  # a training run's, maybe
        raise RecordingError(
            f"{folder} holds no episodes: it has no {META}; name a folder that was recorded into"
            + (f", such as {' or '.join(map(str, inner))}" if inner else "")
        ) from None
    except OSError as error:
        raise RecordingError(f"cannot read {folder / META}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise RecordingError(f"{folder / META} is not the description of an episode store: {error}") from None
    raise RecordingError(f"{folder} has format {number}, this version reads up to {FORMAT}; update it")


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Make a folder a store; at every instant its meta data is there whole, or not at all.

    Raises:
        RecordingError: the folder holds something else.
    """
    temporary = folder / (META + ".new")
    if others := sorted({path.name for path in folder.iterdir()} - {LOCK, temporary.name}):
        raise RecordingError(f"{folder} holds {others[:3]} and no {META}; record into a folder of its own")
    with open(temporary, "w") as file:
        json.dump({"format": FORMAT, **meta}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / META)


def sync_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_events(folder: Path, start: int = 0) -> tuple[list[dict], list[int]]:
    """The lines of `episodes.jsonl` from a byte on, and the byte where each ends.

    A torn last line, with no end, is left out: its writer is writing it, or was killed.

    Raises:
        RecordingError: a line is damaged.
    """
    try:
        with open(folder / EPISODES, "rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], []
    events, ends = [], []
    for line in lines:
        try:
            event = json.loads(line)
            if not (isinstance(event["event"], str) and isinstance(event["records"], int)):
                raise ValueError("not an event")
        except (ValueError, TypeError, KeyError):
            raise RecordingError(
                f"{folder / EPISODES} is damaged: {line[:80]!r} is not an event, and whole lines follow it; "
                "mend or delete that line"
            ) from None
        events.append(event)
        start += len(line) + 1
        ends.append(start)
    return events, ends


def map_records(folder: Path, record: np.dtype) -> np.ndarray:
    """All whole records (N,), as a read-only view of the file."""
    try:
        count = (folder / STEPS).stat().st_size // record.itemsize
    except FileNotFoundError:
        count = 0
    if count == 0:
        return np.empty(0, record)
    return np.asarray(np.memmap(folder / STEPS, record, "r", shape=(count,)))


def blob_sizes(folder: Path, schema: Schema) -> dict[str, int]:
    """Bytes of images by camera."""
    paths = {key: folder / schema.blob(key) for key in schema.images}
    return {key: path.stat().st_size if path.exists() else 0 for key, path in paths.items()}


def map_blob(folder: Path, schema: Schema, key: str) -> np.ndarray:
    """A camera's file as bytes (N,) uint8, a read-only view."""
    path = folder / schema.blob(key)
    if not path.exists() or path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))


def sound_records(records: np.ndarray, start: int, sizes: Mapping[str, int]) -> int:
    """How many records are whole, counted from the first, those before `start` taken to be.

    A record is whole if its CRC-32 holds and its images lie inside their files.
    """
    tail = records[start:]
    inside = np.ones(len(tail), bool)
    for key, size in sizes.items():
        image = tail["images"][key]
        inside &= image["offset"] + image["length"].astype(np.uint64) <= size
    for number, record in enumerate(tail):
        if not inside[number] or zlib.crc32(record.tobytes()[:-4]) != record["crc"]:
            return start + number
    return len(records)


def image_bytes(reference: np.void, blob: np.ndarray) -> np.ndarray:
    """The encoded image that a record points to."""
    offset = int(reference["offset"])
    return blob[offset : offset + int(reference["length"])]


def sound_images(records: np.ndarray, start: int, key: str, blob: np.ndarray) -> int:
    """How many records have their image of a camera as it was written; see `sound_records`."""
    for number in range(start, len(records)):
        reference = records["images"][key][number]
        data = image_bytes(reference, blob)
        if len(data) != reference["length"] or zlib.crc32(data) != reference["crc"]:
            return number
    return len(records)


def whole(folder: Path, schema: Schema, events: Sequence[Mapping]) -> tuple[int, dict[PurePath, int]]:
    """How many records to go on from after a kill or a power failure, and where each blob ends.

    What came before the last episode's end is taken to be whole: it was waited for.
    """
    records = map_records(folder, schema.record)
    ends = [e["records"] for e in events if e["event"] == "end" and e["records"] <= len(records)]
    start = max(ends, default=0)
    count = sound_records(records, start, blob_sizes(folder, schema))
    for key in schema.images:
        count = sound_images(records[:count], start, key, map_blob(folder, schema, key))
    said = [e for e in events if e["records"] <= count]
    begun = {e["episode"] for e in said if e["event"] == "begin"}
    ended = {e["episode"] for e in said if e["event"] == "end"}
    for number in range(start, count):
        if records["episode"][number] not in begun - ended:
            count = number
            break
    last = records[count - 1]["images"] if count else None
    return count, {
        schema.blob(key): 0 if last is None else int(last[key]["offset"]) + int(last[key]["length"])
        for key in schema.images
    }


class AppendedFile:
    """A file that is written at its own idea of its end; what lies beyond is cut when it is opened.

    Args:
        path: of the file.
        size: where its end is.
        torn: how much beyond it [bytes] a kill can leave. More than that was lost in another
            way: it is put beside the file, under its name with `.lost`, before it is cut.

    Raises:
        RecordingError: it is shorter than its size.
    """

    def __init__(self, path: Path, size: int, torn: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self.size = size
        if (there := os.fstat(self.fd).st_size) < size:
            os.close(self.fd)
            raise RecordingError(f"{path} lost its end: {there} bytes of {size} are left; restore the file")
        if there - size > torn:
            lost = path.with_name(path.name + ".lost")
            with open(lost, "ab") as file:
                file.write(os.pread(self.fd, there - size, size))
            log.warning(
                "%s: %d bytes that belong to no whole episode are put into %s", path, there - size, lost
            )
        os.ftruncate(self.fd, size)

    def cut(self) -> None:
        """Take away what a write that failed left beyond the end."""
        os.ftruncate(self.fd, self.size)

    def write(self, data: bytes) -> None:
        at, rest = self.size, memoryview(data)
        while rest:  # a disk that fills up takes part of it, and then raises
            done = os.pwrite(self.fd, rest, at)
            at, rest = at + done, rest[done:]
