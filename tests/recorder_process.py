"""A process that records as fast as it can until it is killed, for tests of stores.

`RecorderProcess` is the tests' side. The other side, run as a module, forks a recorder for
each line "folder seed" on its input, so that imports are paid once; it says "pid N", "step
EPISODE STEP" whenever one is recorded, and "dead".
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class RecorderProcess:
    """Records into a folder between `start` and `kill`; a context manager."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.recorder_process"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.communicate(timeout=10)

    def start(self, folder: Path, seed: int) -> None:
        """Start recording; returns at once."""
        self._recorded: set[tuple[int, int]] = set()
        self._process.stdin.write(f"{folder} {seed}\n")
        self._process.stdin.flush()
        self._pid = int(self._read_until("pid"))

    def wait_for_a_step(self) -> None:
        """Return once something is recorded."""
        while not self._recorded:
            self._note(self._process.stdout.readline().split())

    def kill(self) -> set[tuple[int, int]]:
        """SIGKILL; returns the episodes and steps whose recording had returned."""
        os.kill(self._pid, signal.SIGKILL)
        self._read_until("dead")
        return self._recorded

    def _read_until(self, word: str) -> str:
        while (words := self._process.stdout.readline().split())[0] != word:
            self._note(words)
        return words[-1]

    def _note(self, words: list[str]) -> None:
        assert words[0] == "step"
        self._recorded.add((int(words[1]), int(words[2])))


def record(folder: str, seed: int) -> None:
    """Episodes of a few steps; each action says which step it is."""
    import numpy as np
    from gymnasium.wrappers import TimeLimit

    from hilserl_envs.recording import RecordEpisodes
    from tests.generic_env import GenericEnv

    rng = np.random.default_rng(seed)
    env = RecordEpisodes(TimeLimit(GenericEnv(), 6), folder, keep="all", sync=seed % 2 == 0)
    while True:
        env.reset(seed=int(rng.integers(2**31)))
        episode, over, step = env.recorded - 1, False, 0
        os.write(1, f"step {episode} 0\n".encode())
        while not over:
            step += 1
            *_, over, _ = env.step(np.array([episode, step, 0, 0, 0, 0, 0], np.float32))
            os.write(1, f"step {episode} {step}\n".encode())


def serve() -> None:
    import hilserl_envs.recording  # noqa: F401 (paid before the forks)
    import tests.generic_env  # noqa: F401

    for line in sys.stdin:
        folder, seed = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                record(folder, int(seed))
            finally:
                os._exit(1)
        os.write(1, f"pid {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    serve()
