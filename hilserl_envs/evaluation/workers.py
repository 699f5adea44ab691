"""`evaluate`: seeded episodes on several cores, the same to the bit as one after another."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

import gymnasium

from hilserl_envs.errors import ConfigError, HilserlError, LearningError
from hilserl_envs.evaluation.candidate import Candidate
from hilserl_envs.evaluation.episodes import Episode, run_episodes

# What a caller may want to tell from a bug: it comes out of a worker as it is.
_EXPECTED = (HilserlError, gymnasium.error.Error, OSError, ImportError)


def default_workers(candidate: Candidate, episodes: int) -> int:
    """How many processes are worth their start for so many episodes on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if candidate.only_here else max(1, min(cores, episodes // candidate.worth_a_worker))


def evaluate(candidate: Candidate, seeds: Sequence[int], workers: int = 1) -> Iterator[Episode]:
    """Run one episode per seed; yields them in the order of the seeds, whichever is over first.

    Args:
        candidate: what acts, and where.
        seeds: of the episodes.
        workers: processes; 1 is this one alone. More import the script that called this, which
            therefore stands under `if __name__ == "__main__"`.

    Raises:
        ConfigError: no worker, or several for episodes that belong in this process.
        LearningError: a worker died.
        HilserlError: whatever else a worker ran into. All have stopped then.
    """
    if workers < 1:
        raise ConfigError(f"evaluation needs at least 1 worker, got {workers}")
    if workers == 1:
        with candidate.open() as (env, policy):
            yield from run_episodes(env, policy, seeds)
        return
    if candidate.only_here:
        raise ConfigError(f"{candidate.name} cannot run in {workers} workers: {candidate.only_here}; take 1")
    yield from _side_by_side(candidate, seeds, min(workers, len(seeds)))


def _side_by_side(candidate: Candidate, seeds: Sequence[int], workers: int) -> Iterator[Episode]:
    team: list[_Worker] = []
    try:
        with _interrupts_held_back():
            team += [_Worker() for _ in range(workers)]
        for worker in team:
            worker.send(candidate)
        idle, working = list(team), {}
        waiting, done = list(enumerate(seeds))[::-1], {}
        for number in range(len(seeds)):
            while number not in done:
                while idle and waiting:
                    worker = idle.pop()
                    worker.begin(*waiting.pop())
                    working[worker.connection] = worker
                for connection in wait(list(working)):
                    worker = working.pop(connection)
                    done[worker.number] = worker.result()
                    idle.append(worker)
            yield done.pop(number)
    finally:
        for worker in team:
            worker.stop()


class _Worker:
    """A process that runs one episode after another for this one.

    It is sent its candidate, then one seed after another.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork lacks OpenGL's and PyTorch's threads
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # with the process, the other end is gone

    def send(self, what: Candidate | int) -> None:
        with contextlib.suppress(OSError):  # it is dead, which `result` tells
            self.connection.send(what)

    def begin(self, number: int, seed: int) -> None:
        """Begin the episode of that number, which `result` hands out."""
        self.number, self._seed = number, seed
        self.send(seed)

    def result(self) -> Episode:
        try:
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise LearningError(
                f"the evaluation stopped: a worker {_end(self._process.exitcode)} in the episode of seed "
                f"{self._seed}. If that was for want of memory, take fewer workers"
            ) from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self.connection.close()


def _end(status: int) -> str:
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"


def _work(connection: Connection) -> None:
    """Run the episodes whose seeds come, until nobody is there any more."""
    try:
        with connection.recv().open() as (env, policy):
            while True:
                connection.send(*run_episodes(env, policy, [connection.recv()]))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except _EXPECTED as error:
        connection.send(error)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes that start in here never hear Ctrl-C; this one, which stops them, does so afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else the first process starts it, and it lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
