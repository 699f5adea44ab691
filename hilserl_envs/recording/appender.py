"""`StoreAppender`: the files of a store, appended to so that a kill at any instant leaves them whole."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hilserl_envs.errors import RecordingError
from hilserl_envs.recording import files
from hilserl_envs.recording.describe import check_same, json_value, versions
from hilserl_envs.recording.lock import lock
from hilserl_envs.recording.schema import Schema

_STEPS, _EPISODES = PurePath(files.STEPS), PurePath(files.EPISODES)
_LONGEST_LINE = 4096  # of those that begin and end an episode [bytes]


class StoreAppender:
    """Appends records and events to a store; knows nothing of what makes an episode.

    Opening it makes the store where there is none, and cuts off what a kill left torn.

    Args:
        folder: of the store.
        schema: of the records.
        description: of the environment; kept when the store is made, compared when it is there.
        session: anything worth keeping about this session.
        sync: put a new store's folders on the disk at once.

    Attributes:
        kept: by number, whether an episode that ended is kept.
        next: number of the next episode.

    Raises:
        ConfigError: the store has another schema or environment, or somebody writes to it.
        RecordingError: the store is damaged.
    """

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        description: Mapping[str, Any],
        session: Mapping[str, Any],
        sync: bool,
    ):
        self._folder, self._schema = folder, schema
        self._closed = False
        self._files: dict[PurePath, files.AppendedFile] = {}
        self._release = lock(folder)
        try:
            with self._explained():
                self._open(dict(description), {"session": json_value(dict(session))}, sync)
        except BaseException:
            self.close()
            raise

    def _open(self, description: dict, session: dict, sync: bool) -> None:
        session |= {"opened": datetime.now(timezone.utc).isoformat(), "versions": versions()}
        appending = (self._folder / files.META).exists()
        if appending:
            check_same(files.read_meta(self._folder), self._schema, description)
        else:
            files.write_meta(self._folder, {**session, **description, "schema": self._schema.to_json()})
        events, lines = files.read_events(self._folder)
        told = max((event["records"] for event in events if event["event"] == "end"), default=0)
        there = len(files.map_records(self._folder, self._schema.record))
        if there < told:
            raise RecordingError(
                f"{self._folder / files.STEPS} lost its end: {there} records are left of {told} in episodes "
                "that ended; restore the file"
            )
        self._count, sizes = files.whole(self._folder, self._schema, events)
        # After a power failure a line may be there whose records are not.
        while events and events[-1]["records"] > self._count:
            events.pop()
        # What a step in flight can leave behind; an image is smaller than its pixels, or little larger.
        torn = {self._schema.blob(key): 2 * int(np.prod(shape)) for key, shape in self._schema.images.items()}
        torn |= {_STEPS: self._schema.record.itemsize, _EPISODES: _LONGEST_LINE}
        sizes[_STEPS] = self._count * self._schema.record.itemsize
        sizes[_EPISODES] = lines[len(events) - 1] if events else 0
        self.kept = {event["episode"]: event["kept"] for event in events if "kept" in event}
        self.next = 1 + max((event["episode"] for event in events if "episode" in event), default=-1)
        for name, size in sizes.items():
            self._files[name] = files.AppendedFile(self._folder / name, size, torn[name])
        if sync:
            for folder in {file.parent for file in self._files}:
                files.sync_folder(self._folder / folder)
        if appending and (description or session["session"]):
            self.say("session", **session)

    def append(self, record: np.ndarray, images: Mapping[str, bytes]) -> None:
        """Append a record, whose images' places and CRC are filled in here, and its encoded images.

        Raises:
            RecordingError: it cannot be written; what is there before it is whole.
        """
        # Places are counted on only once the record is there: what an exception leaves behind is
        # written over by the next step.
        blobs = {key: self._files[self._schema.blob(key)] for key in images}
        steps = self._files[_STEPS]
        for key, data in images.items():
            record["images"][key] = (blobs[key].size, len(data), zlib.crc32(data))
        record["crc"] = zlib.crc32(record.tobytes()[:-4])
        with self._explained():
            for key, data in images.items():
                blobs[key].write(data)
            steps.write(record.tobytes())
        for key, data in images.items():
            blobs[key].size += len(data)
        steps.size += record.itemsize
        self._count += 1

    def say(self, event: str, **content: Any) -> None:
        """Append an event, which counts from the records that are there.

        Raises:
            RecordingError: it cannot be written.
        """
        line = json.dumps({"event": event, "records": self._count, **content}).encode() + b"\n"
        with self._explained():
            self._files[_EPISODES].write(line)
        self._files[_EPISODES].size += len(line)

    def cut(self) -> None:
        """Take off what a step that failed left behind."""
        with self._explained():
            for file in self._files.values():
                file.cut()

    def sync(self) -> None:
        """Wait until everything written so far is on the disk, images before what points to them."""
        with self._explained():
            for file in self._files.values():
                os.fsync(file.fd)

    def close(self) -> None:
        """Let go of the store; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for file in self._files.values():
            os.close(file.fd)
        self._release()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        if self._closed:
            raise RecordingError(f"the store {self._folder} is closed; open it again to go on")
        try:
            yield
        except OSError as error:
            raise RecordingError(
                f"cannot write to {self._folder}: {error.strerror}; what was in flight is not recorded, all "
                "before it is. Make room and begin another episode, or open the store again later"
            ) from error
