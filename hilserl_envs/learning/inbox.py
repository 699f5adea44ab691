"""`Inbox`: takes in, beside a run's folder, what its actors record on other machines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hilserl_envs.errors import ConfigError, LearningError, check_name
from hilserl_envs.recording import EpisodeWriter
from hilserl_envs.recording.files import EPISODES, META, STEPS, AppendedFile, read_meta, sync_folder
from hilserl_envs.recording.lock import lock

HANDOVER = 30.0  # for a process that was killed, or lost its machine, to be gone [s]
_LOOK = 0.1  # between two looks whether it is [s]
_T = TypeVar("_T")

Piece = tuple[str, int, bytes]  # of a store: file, place in it, content
Version = tuple[int, int]  # of the policy's file: each has another


class Inbox:
    """The stores of a run's own experience, written by actors elsewhere (see `Mirror`).

    What comes in and goes out is bytes and plain values. What `append` has taken survives a kill of
    this process at any instant, and an episode that has ended a power failure; another inbox
    goes on where this one was.

    Args:
        stores: folder of each store, by the name of its robot.
        policy: file of the policy that acts now.
        steps: of each store so far, by name.
    """

    def __init__(self, stores: Mapping[str, str], policy: str, steps: Mapping[str, int]):
        self._folders, self._policy = {name: Path(folder) for name, folder in stores.items()}, Path(policy)
        self._steps = dict(steps)
        self._copies: dict[str, StoreCopy] = {}
        self._sessions: dict[str, str] = {}
        self._told = False

    def begin(self, name: str, session: str) -> dict[str, int]:
        """A new actor begins, and any other of that robot is no longer listened to.

        Returns:
            The size of each file that there is, without what a kill tore.

        Raises:
            LearningError: somebody else writes to the store.
            RecordingError: the store is damaged.
        """
        self._sessions[name] = session
        return self._copy(name, afresh=True).sizes

    def read(self, name: str, file: str, start: int, size: int) -> bytes:
        """A part of a file of a store."""
        return self._copy(name).read(file, start, size)

    def append(
        self, name: str, session: str, pieces: Sequence[Piece], steps: int | None
    ) -> tuple[dict[str, int], int]:
        """Take in what an actor recorded; what is there already may come again.

        Args:
            name: of its robot.
            session: with which it began.
            pieces: in the order in which they were written.
            steps: that the store has with them; None where its actor doesn't know yet.

        Returns:
            The size of each file, up to which all is here: less than was sent if something was
            lost here that comes before it. And the steps of all other robots.

        Raises:
            LearningError: another actor of the robot has begun since; what is here already is
                something else; or no room.
        """
        if self._sessions.setdefault(name, session) != session:  # after a kill, whoever comes first
            raise LearningError(f"another actor of {name or 'this run'} has begun; this one is not needed")
        copy = self._copy(name)
        for piece in pieces:
            if not copy.put(*piece):
                break
        if steps is not None:
            self._steps[name] = steps
        return copy.sizes, sum(made for other, made in self._steps.items() if other != name)

    def policy(self, version: Version | None) -> tuple[Version, bytes] | None:
        """The newest policy, unless it is of that version, or there is none yet."""
        try:
            with open(self._policy, "rb") as file:
                stat = os.fstat(file.fileno())
                newest = stat.st_ino, stat.st_mtime_ns
                return None if newest == version else (newest, file.read())
        except FileNotFoundError:
            return None

    def stop(self) -> None:
        """Tell the sides to stop, when they next ask."""
        self._told = True

    def told_to_stop(self) -> bool:
        """Whether they were."""
        return self._told

    def close(self) -> None:
        """Let go of the stores."""
        for name in list(self._copies):
            self._copies.pop(name).close()

    def _copy(self, name: str, afresh: bool = False) -> StoreCopy:
        if afresh and name in self._copies:
            self._copies.pop(name).close()
        if name not in self._copies:
            self._copies[name] = StoreCopy(self._folders[name])
        return self._copies[name]


class StoreCopy:
    """An episode store that another machine writes; what a kill tore is cut when it is opened.

    Args:
        folder: of the store; made where there is none.

    Raises:
        LearningError: somebody else writes to it, and goes on doing so.
        RecordingError: it is damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._files: dict[str, AppendedFile] = {}
        if (folder / META).exists():
            patiently(lambda: EpisodeWriter(folder)).close()
        self._release = patiently(lambda: lock(folder))
        self._open()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by file, of those that there are."""
        meta = {META: (self._folder / META).stat().st_size} if self._files else {}
        return meta | {name: file.size for name, file in self._files.items()}

    def read(self, file: str, start: int, size: int) -> bytes:
        """A part of a file, one of `sizes`."""
        with open(self._folder / check_name(file, self.sizes, "file of the store"), "rb") as opened:
            return os.pread(opened.fileno(), size, start)

    def put(self, file: str, start: int, data: bytes) -> bool:
        """Append what is not here yet of some bytes; returns False if what comes before them isn't.

        Raises:
            LearningError: what is here of them is something else, or there is no room.
        """
        try:
            if file == META:
                return self._put_meta(data)
            if file not in self._files:
                raise LearningError(f"{self._folder} has no file {file!r}; its actor is of another version")
            appended = self._files[file]
            if start > appended.size:
                return False
            known = appended.size - start
            if os.pread(appended.fd, min(known, len(data)), start) != data[:known]:
                raise LearningError(f"{self._folder / file} holds something else than its actor recorded")
            if rest := data[known:]:
                self._write(file, appended, rest)
            return True
        except OSError as error:
            raise LearningError(
                f"cannot write to {self._folder}: {error.strerror}; what was there before stays. Make room "
                "there and go on"
            ) from error

    def close(self) -> None:
        """Let go of it."""
        for file in self._files.values():
            os.close(file.fd)
        self._release()

    def _write(self, name: str, file: AppendedFile, data: bytes) -> None:
        if name == EPISODES:  # an episode's end promises that all of it is on the disk
            self._sync()
        file.write(data)
        file.size += len(data)
        if name == EPISODES:
            os.fsync(file.fd)

    def _sync(self) -> None:
        for file in self._files.values():
            os.fsync(file.fd)

    def _put_meta(self, data: bytes) -> bool:
        path = self._folder / META
        if path.exists():
            if path.read_bytes() != data:
                raise LearningError(f"{path} is of another store than its actor's")
            return True
        temporary = path.with_name(f"{META}.new")
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._open()
        return True

    def _open(self) -> None:
        if not (self._folder / META).exists():
            return
        schema = read_meta(self._folder)["schema"]
        for name in (STEPS, EPISODES, *(str(schema.blob(key)) for key in schema.images)):
            path = self._folder / name
            self._files[name] = AppendedFile(path, path.stat().st_size if path.exists() else 0, torn=0)
        for folder in {(self._folder / name).parent for name in self._files}:
            sync_folder(folder)


def patiently(take: Callable[[], _T]) -> _T:
    """Take what a process that is about to be gone may hold still.

    Raises:
        LearningError: it is not gone in time.
    """
    until = time.monotonic() + HANDOVER
    while True:
        try:
            return take()
        except ConfigError as error:
            if time.monotonic() > until:
                raise LearningError(str(error)) from None
        time.sleep(_LOOK)
