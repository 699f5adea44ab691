"""A robot server in a process of its own, for what a server in the test's own process can't show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ServerProcess:
    """`python -m robot_servers` with the twin; a context manager that ends it.

    Args:
        task: whose twin.
        speed: times real time.
        port: 0 takes a free one.

    Attributes:
        url: for clients.
        pid: of the process.
    """

    def __init__(self, task: str = "RamInsertion", speed: float = 1.0, port: int = 0):
        options = ["--task", task, "--speed", str(speed), "--port", str(port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robot_servers", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        told = self._process.stdout.readline()
        found = re.search(r"http://[\w.]+:\d+", told)
        if found is None:
            self.kill()
            raise RuntimeError(f"the robot server did not start: {told!r}")
        self.url = found[0]

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
