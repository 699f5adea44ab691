"""Two 128x128 camera images of RamInsertion, on one core."""

from __future__ import annotations

import os
from statistics import median

import gymnasium

import hilserl_envs  # noqa: F401  registers the tasks
from tests.benchmarks.measure import Result, seconds

TARGET_MS = 2.0


def run() -> list[Result]:
    """Milliseconds for both images."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        env = gymnasium.make("hilserl/RamInsertion-v0", obs="pixels")
        env.reset(seed=0)
        robot = env.unwrapped.robot
        times = [1e3 * seconds(robot.capture) for _ in range(200)]
        env.close()
    finally:
        os.sched_setaffinity(0, cores)
    detail = f"best {min(times):.2f} ms, worst {max(times):.2f} ms of {len(times)}"
    return [Result("RamInsertion: two 128x128 images", median(times), "ms", TARGET_MS, False, detail)]
