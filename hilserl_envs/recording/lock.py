"""One writer a store: a lock that the system takes back from a dead process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording.files import LOCK

# Stores that a process has locked: its own locks don't stop it, and a fork does not inherit them.
_locked: dict[Path, int] = {}


def lock(folder: Path) -> Callable[[], None]:
    """Lock a store, whose folder is made where there is none; returns how to let go.

    Raises:
        ConfigError: somebody has it.
        RecordingError: there can be no such folder.
    """
    import fcntl  # reading a store takes none

    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve() / LOCK
        taken = _locked.get(path) == os.getpid()
        # Never opened twice: closing either would let go of both.
        fd = None if taken else os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RecordingError(f"cannot record into {folder}: {error.strerror}; name another folder") from error
    if not taken:
        try:
            # Not flock(): a forked child would go on holding it for a dead parent.
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            taken = True
    if taken:
        raise ConfigError(
            f"somebody is recording into {folder} already; one writer at a time, so stop it first"
        )
    _locked[path] = os.getpid()

    def release() -> None:
        os.close(fd)
        del _locked[path]

    return release
