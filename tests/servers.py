"""Real robot servers for tests: waitress on a free port of this process, over the twin or over fakes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from hilserl_envs.cameras import Camera, FakeCamera
from hilserl_envs.kinematics import PANDA
from hilserl_envs.tasks import make_task
from robot_servers.backends import BackendSettings
from robot_servers.limits import GuardSettings
from robot_servers.parts import Clock, FakeArm, FakeGripper
from robot_servers.routes.own import ServerInfo
from robot_servers.serve import RobotServer, open_server
from robot_servers.station import Station


@contextlib.contextmanager
def twin_server(
    task: str = "RamInsertion",
    speed: float = 1.0,
    seed: int = 0,
    guard: GuardSettings | None = None,
    token: str | None = None,
    port: int = 0,
) -> Iterator[RobotServer]:
    """Serves a task's twin; `server.url`, `server.guard.station.world`."""
    settings = BackendSettings(task=make_task(task), speed=speed, seed=seed)
    server = open_server("twin", settings, guard, port=port, token=token)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def fake_server(
    arms: tuple[str, ...] = ("arm",),
    grippers: bool = True,
    cameras: Mapping[str, Camera] | None = None,
    clock: Clock | None = None,
    guard: GuardSettings | None = None,
    token: str | None = None,
    port: int = 0,
) -> Iterator[RobotServer]:
    """Serves fakes, which `server.guard.station` holds as `parts`, `grippers` and `eyes`."""
    station = Station(
        arms={name: FakeArm() for name in arms},
        grippers={name: FakeGripper() for name in arms} if grippers else {},
        cameras={"wrist_1": FakeCamera(), "wrist_2": FakeCamera()} if cameras is None else cameras,
        clock=clock,
    )
    info = ServerInfo("fake", {name: np.array(PANDA.ready) for name in arms})
    server = RobotServer(station, info, guard, port=port, token=token)
    try:
        yield server
    finally:
        server.close()
