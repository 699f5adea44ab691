"""`Supervisor`: actor and learner as two processes, watched until the run is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from hilserl_envs.errors import LearningError

SIDES = ("learner", "actor")
LOOK = 0.5  # between two looks at the processes [s]
PATIENCE = 60.0  # for a side to save what it has, once it is told to stop [s]
RESTARTS = 3  # of a side within the time below; more often, something is wrong with it
RESTARTS_WITHIN = 60.0  # [s]


class Supervisor:
    """Starts the sides, starts one again that was killed, and stops both.

    Args:
        commands: by side.
        tell: called with a line when something happened.
    """

    def __init__(self, commands: dict[str, Sequence[str]], tell: Callable[[str], None]):
        self._commands, self._tell = commands, tell
        self._processes: dict[str, subprocess.Popen] = {}
        self._deaths: dict[str, list[float]] = {side: [] for side in commands}

    def run(self, look: Callable[[], bool]) -> None:
        """Until both sides are done, or `look`, called again and again, answers that it is time to stop.

        Raises:
            LearningError: a side ended with an error, or was killed too often; the other was stopped.
        """
        try:
            for side in self._commands:
                self._start(side)
            while self._processes and not look():
                for side, process in list(self._processes.items()):
                    if (status := process.poll()) is not None:
                        del self._processes[side]
                        self._ended(side, status)
                time.sleep(LOOK)
        finally:
            self._stop()

    def _start(self, side: str) -> None:
        # Ctrl-C is for the supervisor, who tells the sides: a session of their own.
        self._processes[side] = subprocess.Popen(self._commands[side], start_new_session=True)

    def _ended(self, side: str, status: int) -> None:
        if status == 0:
            return
        if status > 0:
            raise LearningError(
                f"the {side} stopped with an error, see above; resume the run when it is mended"
            )
        now = time.monotonic()
        self._deaths[side] = [t for t in self._deaths[side] if now - t < RESTARTS_WITHIN] + [now]
        name = signal.Signals(-status).name
        if len(self._deaths[side]) > RESTARTS:
            raise LearningError(
                f"the {side} was killed {RESTARTS + 1} times in {RESTARTS_WITHIN:.0f} s, last by {name}; "
                "if it was the system, for want of memory, take a smaller batch_size"
            )
        self._tell(f"the {side} was killed ({name}) and is started again")
        self._start(side)

    def _stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        until = time.monotonic() + PATIENCE
        for side, process in self._processes.items():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(f"the {side} does not stop; it is killed. Its last checkpoint is good")
                process.kill()
                process.wait()


def side_command(side: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs one side of a run."""
    return [sys.executable, "-m", "hilserl_envs", "train", "--resume", "--side", side, *arguments]


@contextlib.contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """For a side: whether it was told to stop, or its supervisor is gone."""
    told, parent = [], os.getppid()
    before = signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    try:
        yield lambda: bool(told) or os.getppid() != parent
    finally:
        signal.signal(signal.SIGTERM, before)
