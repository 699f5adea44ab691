"""An hour of control over HTTP: does memory grow, do control steps get slower?

A twin's server in a process of its own, the environment with all wrappers in this one, random
actions at 10 Hz. It takes a quarter of an hour, so it runs only where it is named.
"""

from __future__ import annotations

import time
from statistics import median

import gymnasium

import hilserl_envs
from hilserl_envs.http_robot import HttpRobot
from tests.benchmarks.measure import Result, median_ratio, seconds, take_turns
from tests.benchmarks.round_trip import control_step
from tests.server_process import ServerProcess

ROBOT_SECONDS = 3600.0
SPEED = 5.0  # times real time: a step has 20 ms for everything
PARTS = 10
WARM_UP = 20_000  # requests, until every thread of the server has its own pool of memory
GROWTH_TARGET_MB, SLOWER_TARGET = 8.0, 1.3


def run() -> list[Result]:
    """Megabytes that the hour adds after its first tenth; and slowness beyond a new server's."""
    with ServerProcess("RamInsertion", SPEED) as server:
        env = hilserl_envs.make_env("RamInsertion", robot=server.url)
        env.action_space.seed(0)
        step = _timed(env.unwrapped.robot)
        for _ in range(WARM_UP):
            step()
        env.reset(seed=0)
        began, start, steps = time.monotonic(), env.unwrapped.robot_state.time, 0
        memory: list[tuple[float, float]] = []  # of this process and of the server's
        for part in range(1, PARTS + 1):
            steps += _run_until(env, start + part * ROBOT_SECONDS / PARTS)
            memory.append((_megabytes("self"), _megabytes(server.pid)))
        detail = f"{steps} steps and the resets between, {(time.monotonic() - began) / 60:.1f} min"
        with ServerProcess("RamInsertion", SPEED) as new_server:
            new = HttpRobot(new_server.url)
            soaked, fresh = take_turns(_timed(env.unwrapped.robot), _timed(new), rounds=300)
            new.close()
        env.close()
    clients, servers = zip(*memory, strict=True)
    slower = median_ratio(soaked, fresh)
    times = f"{1e3 * median(soaked):.2f} against {1e3 * median(fresh):.2f} ms"
    return [
        _growth("client", clients, detail),
        _growth("server", servers, detail),
        Result("soak: a control step against a new server's", slower, "x", SLOWER_TARGET, False, times),
    ]


def _run_until(env: gymnasium.Env, robot_time: float) -> int:
    """Episodes until then; returns the steps taken."""
    steps = 0
    while env.unwrapped.robot_state.time < robot_time:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps


def _timed(robot: HttpRobot):
    """What takes the time [s] of a control step without its wait."""
    pose = robot.read().arms["arm"].tcp_pose
    robot.capture()
    return lambda: seconds(lambda: control_step(robot, pose))


def _growth(who: str, megabytes: tuple[float, ...], detail: str) -> Result:
    series = " ".join(f"{value:.0f}" for value in megabytes)
    grown = megabytes[-1] - megabytes[0]
    return Result(
        f"soak: memory of the {who}", grown, "MB", GROWTH_TARGET_MB, False, f"{series} MB; {detail}"
    )


def _megabytes(pid: int | str) -> float:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
