"""`hilserl serve`: the robot server."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command
from robot_servers.backends import BackendSettings
from robot_servers.limits import GuardSettings


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve a robot over HTTP: a real one, or the twin of a task as a rehearsal.

    Runs until Ctrl-C or SIGTERM, then stops the arms. The operator's page is at the address
    that it prints.
    """

    robot: str = "twin"
    """twin, libfranka or ros."""
    task: str | None = None
    """A task, such as RamInsertion (see `hilserl tasks`) or MODULE:NAME; the twin needs one."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own needs --token-file."""
    port: int = 5000
    """0 takes a free one."""
    token_file: Path | None = None
    """File with the token that every request must carry; made if it is not there."""
    backend: tyro.conf.OmitArgPrefixes[BackendSettings] = BackendSettings()
    """What the backend is told; each takes some of these."""
    guard: tyro.conf.OmitArgPrefixes[GuardSettings] = GuardSettings()
    """What is let through to the arms."""
    arm_model: str | None = None
    """panda or fr3: whose joint limits count; by default fr3 with libfranka, else the task's."""

    def run(self) -> dict:
        from hilserl_envs.tasks import make_task
        from robot_servers.auth import read_token
        from robot_servers.serve import check_address, open_server

        _share_pools_of_memory()
        _log_to_stderr()
        task = None if self.task is None else make_task(self.task)
        token = None if self.token_file is None else read_token(self.token_file)
        check_address(self.host, token)
        model = "fr3" if self.robot == "libfranka" else "panda" if task is None else task.arm_model
        guard = dataclasses.replace(self.guard, arm_model=self.arm_model or model)
        if task is not None:
            guard.check_task(task)
        settings = dataclasses.replace(self.backend, task=task)
        server = open_server(self.robot, settings, guard, self.host, self.port, token)
        try:
            with _end_asked_for() as asked:
                print(f"serving {self.robot} at {server.url}; Ctrl-C ends it", flush=True)
                if token is not None:
                    print(
                        f"in a browser: {server.url}/?token=TOKEN, with the token in {self.token_file}",
                        flush=True,
                    )
                asked.wait()
        finally:
            server.close()
        return {"url": server.url}


@contextlib.contextmanager
def _end_asked_for() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: with an arm in motion, neither may just end the process."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: asked.set())
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_to_stderr() -> None:
    """Say on stderr, with the time, what the server notices and who does what."""
    log, handler = logging.getLogger("robot_servers"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def _share_pools_of_memory() -> None:
    """Have the threads of this process share two pools: with one each, as glibc does it, memory
    that some thread needed once stays with it, and a server grows for hours."""
    arena_max = -8  # M_ARENA_MAX of glibc's malloc.h
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(arena_max, 2)
