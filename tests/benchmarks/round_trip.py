"""What a control step over HTTP costs besides waiting: server and client on this machine."""

from __future__ import annotations

from statistics import median, quantiles

import numpy as np

from hilserl_envs.http_robot import HttpRobot
from hilserl_envs.robot import ArmCommand
from tests.benchmarks.measure import Result, seconds
from tests.server_process import ServerProcess

STEPS = 1000
MEDIAN_TARGET_MS, TAIL_TARGET_MS = 8.0, 25.0


def run() -> list[Result]:
    """Milliseconds from a command to the state and the two images behind it, without a wait."""
    with ServerProcess("RamInsertion") as server:
        robot = HttpRobot(server.url)
        pose = robot.read().arms["arm"].tcp_pose
        robot.capture()
        times = [1e3 * seconds(lambda: control_step(robot, pose)) for _ in range(STEPS)]
        robot.close()
    tail = quantiles(times, n=100)[-1]
    detail = f"{STEPS} steps, two images, slowest {max(times):.1f} ms"
    return [
        Result("a control step over HTTP, median", median(times), "ms", MEDIAN_TARGET_MS, False, detail),
        Result("a control step over HTTP, 99 of 100 under", tail, "ms", TAIL_TARGET_MS, False, detail),
    ]


def control_step(robot: HttpRobot, pose: np.ndarray) -> None:
    """One request: command a pose (7,), get the state and all images."""
    robot.command({"arm": ArmCommand(pose=pose)})
    robot.wait(0.0)
    robot.read()
    robot.capture()
