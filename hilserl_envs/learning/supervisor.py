"""`Supervisor`: actor and learner as two processes, watched until the run is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from hilserl_envs.errors import LearningError

LOOK = 0.5  # between two looks at the processes [s]
PATIENCE = 60.0  # for a side to save what it has, once it is told to stop [s]
RESTARTS = 3  # of a side within the time below; more often, something is wrong with it
RESTARTS_WITHIN = 60.0  # [s]
WANT_OF_MEMORY = (
    "if it was the system, for want of memory, go on with a smaller batch: --resume --set batch_size=64"
)
_SUPERVISOR = "HILSERL_SUPERVISOR"  # environment variable of a side: process id of its supervisor


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
        except BaseException:
            self._stop()
            raise
        if failed := [side for side, status in self._stop().items() if status > 0]:
            raise LearningError(f"the {' and the '.join(failed)} stopped with an error, see above")

    def _start(self, side: str) -> None:
        # Ctrl-C is for the supervisor, who tells the sides: a session of their own.
        environment = os.environ | {_SUPERVISOR: str(os.getpid())}
        self._processes[side] = subprocess.Popen(
            self._commands[side], env=environment, start_new_session=True
        )

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
                f"{WANT_OF_MEMORY}"
            )
        self._tell(f"the {side} was killed ({name}) and is started again")
        self._start(side)

    def _stop(self) -> dict[str, int]:
        """Have the sides stop; returns how each ended."""
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
        return {side: process.returncode for side, process in self._processes.items()}


def side_command(side: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs one side of a run."""
    return [sys.executable, "-m", "hilserl_envs", "train", "--resume", "--side", side, *arguments]


def is_supervised() -> bool:
    """Whether this process is a side that a supervisor started, who speaks for it."""
    return _SUPERVISOR in os.environ


@contextlib.contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """For a side: whether it was told to stop (SIGTERM, Ctrl-C), or its supervisor is gone.

    Once it has stopped, the signal that told it takes its usual effect: a supervisor sees that
    it was not done. A second signal takes it at once.
    """
    told: list[int] = []
    parent = os.environ.get(_SUPERVISOR)

    def note(number: int, _: FrameType | None) -> None:
        told.append(number)
        signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(told) or (parent is not None and str(os.getppid()) != parent)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        signal.raise_signal(told[0])
