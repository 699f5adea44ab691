"""`Mirror`: a run's folder on an actor's machine, in step with the one of the learner."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.inbox import Inbox, Piece, Version, patiently
from hilserl_envs.learning.run_folder import FILES, RunFolder
from hilserl_envs.learning.tensor_files import write_atomically
from hilserl_envs.recording.files import EPISODES, META, STEPS, map_records, read_events, read_meta
from hilserl_envs.recording.lock import lock
from hilserl_envs.recording.schema import Schema

AT_ONCE = 4_000_000  # about what is sent in one message [bytes]
ASK_AGAIN = 0.1  # how old what the inbox said last may be, where there is nothing to send [s]


class Mirror:
    """A folder that is a run to its actor: settings, the policy of now, and its own recording.

    What the actor appends to the recording is sent to the run's inbox. The learner's copy is the
    one that counts: a new mirror begins with it, less the images of episodes that are over,
    which no actor looks at (in their place is a hole that takes no room).

    Args:
        folder: where the mirror is; what an earlier one left there is deleted.
        inbox: of the run, or what stands for it on another machine.
        name: of the robot's store there.
        files: it begins with, see `actor_files`.

    Attributes:
        run: the folder as a run.

    Raises:
        LearningError: another actor has the mirror, and goes on having it; or no room.
    """

    def __init__(self, folder: str | Path, inbox: Inbox, name: str, files: Mapping[str, bytes]):
        self._inbox, self._name, self._session = inbox, name, uuid.uuid4().hex
        self._steps: int | None = None
        self._elsewhere, self._asked = 0, 0.0
        self._version: Version | None = None
        self._schema: Schema | None = None
        self._release = patiently(lambda: lock(Path(folder)))
        try:
            path = Path(folder) / "run"
            shutil.rmtree(path, ignore_errors=True)
            for file, content in files.items():
                write_atomically(path / file, content, durable=False)
            self.run = RunFolder(path)
            self._fetched = self._there = self._fetch()
        except OSError as error:
            self.close()
            raise LearningError(f"cannot write to {folder}: {error.strerror}; make room there") from error
        except BaseException:
            self.close()
            raise

    def ship(self) -> None:
        """Send what was appended since the last time; returns once it is safe with the run.

        Raises:
            LearningError: the run's copy is not what this mirror began with, another actor writes to
                it, or there is no room for it.
        """
        pieces = self._batch()
        if not pieces and time.monotonic() - self._asked < ASK_AGAIN:
            return
        while True:
            before = self._there
            self._there, self._elsewhere = self._inbox.append(self._name, self._session, pieces, self._steps)
            self._asked = time.monotonic()
            lost = [name for name, size in self._fetched.items() if self._there.get(name, 0) < size]
            if lost or (pieces and self._there == before):
                raise LearningError(
                    f"the run lost a part of {', '.join(lost) or STEPS} that it had: start the actor again"
                )
            if not (pieces := self._batch()):
                return

    def steps_of_all(self, own: int) -> int:
        """Steps that all actors of the run have made, given those of this one."""
        self._steps = own
        return own + self._elsewhere

    def refresh_policy(self) -> None:
        """Put the newest policy in its place."""
        if newest := self._inbox.policy(self._version):
            self._version, content = newest
            write_atomically(self.run.policy, content, durable=False)

    def close(self) -> None:
        """Delete the mirror."""
        if hasattr(self, "run"):
            shutil.rmtree(self.run.path, ignore_errors=True)
        self._release()

    def _fetch(self) -> dict[str, int]:
        """Begin with the run's copy; returns the size of each file."""
        folder, sizes = self.run.replay, self._inbox.begin(self._name, self._session)
        if not sizes:
            return sizes
        for file in (META, STEPS, EPISODES):
            self._fetch_file(file, 0, sizes[file])
        schema = read_meta(folder)["schema"]
        records = map_records(folder, schema.record)
        ends = [event["records"] for event in read_events(folder)[0] if event["event"] == "end"]
        for key in schema.images:
            file, going_on = str(schema.blob(key)), records[max(ends, default=0) :]
            start = int(going_on["images"][key]["offset"][0]) if len(going_on) else sizes[file]
            self._fetch_file(file, start, sizes[file])
        return sizes

    def _fetch_file(self, file: str, start: int, size: int) -> None:
        path = self.run.replay / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as opened:
            opened.truncate(start)
            opened.seek(start)
            while (at := opened.tell()) < size:
                opened.write(self._inbox.read(self._name, file, at, min(AT_ONCE, size - at)))

    def _batch(self) -> list[Piece]:
        """The next pieces that the inbox has not, not many more bytes than go into a message."""
        pieces, total = [], 0
        for piece in self._pieces():
            pieces.append(piece)
            total += len(piece[2])
            if total >= AT_ONCE:
                break
        return pieces

    def _pieces(self) -> Iterator[Piece]:
        """What the inbox has not, whole records and lines, as they were written one after the other.

        What is torn, or left by a write that failed, is none of it: another write goes over it.
        """
        folder = self.run.replay
        if not (folder / META).exists():
            return
        if not self._there.get(META):
            yield META, 0, (folder / META).read_bytes()
        if self._schema is None:
            self._schema = read_meta(folder)["schema"]
        record = self._schema.record
        records = map_records(folder, record)
        sent, lines = self._there.get(STEPS, 0) // record.itemsize, self._there.get(EPISODES, 0)
        events, ends = read_events(folder, lines)
        with open(folder / EPISODES, "rb") as file:
            for event, (start, end) in zip(events, pairwise([lines, *ends]), strict=True):
                yield from self._records(records[: event["records"]], sent)
                sent = max(sent, event["records"])
                yield EPISODES, start, os.pread(file.fileno(), end - start, start)
        yield from self._records(records, sent)

    def _records(self, records: np.ndarray, start: int) -> Iterator[Piece]:
        """Records from one on, each after its images."""
        for number in range(start, len(records)):
            for key in self._schema.images:
                blob, image = str(self._schema.blob(key)), records["images"][key][number]
                offset, length = int(image["offset"]), int(image["length"])
                with open(self.run.replay / blob, "rb") as file:
                    yield blob, offset, os.pread(file.fileno(), length, offset)
            yield STEPS, number * records.itemsize, records[number].tobytes()


def actor_files(run: RunFolder, name: str, robot: str | None) -> dict[str, bytes]:
    """What an actor needs of the run's folder, by path in it: the files that its settings name, and those.

    As the actor on one robot has them: it makes episodes of its own, on that robot.

    Args:
        run: its folder.
        name: of the robot, "" where there is only one; decides on the seeds of its episodes.
        robot: as `make_env` takes it; None leaves the run's.
    """
    config = json.loads((run.path / "config.json").read_text())
    settings = config["settings"]
    if robot is not None:
        settings["env"]["robot"] = robot
    if name:
        sequence = np.random.SeedSequence([settings["seed"], zlib.crc32(name.encode())])
        settings["seed"] = int(sequence.generate_state(1)[0]) >> 1
    named = [path for path in (run.path / FILES).glob("*") if path.suffix != ".tmp"]
    files = {f"{FILES}/{path.name}": path.read_bytes() for path in named}
    return files | {"config.json": json.dumps(config).encode()}
