"""`hilserl train` as processes that a test starts and kills.

`TrainProcesses` is the tests' side. The other side, run as a module, has imported all that
training needs, and forks a process for each command line, so that this is paid once.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


class TrainProcess:
    """One `hilserl train`.

    Attributes:
        pid: of the process.
        log: file of what it prints.
    """

    def __init__(self, processes: "TrainProcesses", pid: int, log: Path):
        self._processes, self.pid, self.log = processes, pid, log
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, -N for the signal N; None while it runs."""
        if self._status is None:
            self._status = self._processes.ask({"poll": self.pid})
        return self._status

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status, once it has ended."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                self.signal(signal.SIGKILL)
                raise TimeoutError(f"it did not end in {seconds} s: {self.log.read_text()}")
            time.sleep(0.01)
        return self._status

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()


class TrainProcesses:
    """Starts training again and again; a context manager."""

    def __enter__(self):
        self._started: list[TrainProcess] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.train_process"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        for process in self._started:
            if process.poll() is None:
                process.kill()
        self._process.communicate(timeout=10)

    def start(self, *arguments: str | Path, log: Path) -> TrainProcess:
        """`hilserl train` with those arguments; returns at once."""
        pid = self.ask({"start": ["train", *map(str, arguments)], "log": str(log)})
        self._started.append(TrainProcess(self, pid, log))
        return self._started[-1]

    def ask(self, question: dict) -> int | None:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _train(arguments: list[str], log: str) -> None:
    """In the forked process."""
    from hilserl_envs.cli import main

    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 1
    try:
        status = main(arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve() -> None:
    import matplotlib.backends.backend_agg  # noqa: F401 (paid before the forks, as all below)
    import torch

    import hilserl_envs.learning.loops  # noqa: F401
    import hilserl_envs.learning.supervisor  # noqa: F401
    import hilserl_envs.learning.watch  # noqa: F401
    from hilserl_envs.stack import make_env

    make_env("PickCube", obs="state", overseer={}).close()
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports a lot
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer = os.fork()
            if answer == 0:
                _train(question["start"], question["log"])
        else:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        os.write(1, f"{json.dumps(answer)}\n".encode())


if __name__ == "__main__":
    _serve()
