"""Memory of one environment, and how long a second start takes."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from tests.benchmarks.measure import Result

MEMORY_TARGET_MB, START_TARGET_S = 300.0, 2.0

_MEMORY = """
import gymnasium, hilserl_envs, hilserl_envs.twin.robot
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 1e6
before = resident()
env = gymnasium.make("hilserl/RamInsertion-v0", obs="both")
env.reset(seed=0)
for _ in range(50):
    env.step(env.action_space.sample())
print(resident() - before)
"""
_START = """
import gymnasium, hilserl_envs
env = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
env.reset(seed=0)
env.step(env.action_space.sample())
"""


def run() -> list[Result]:
    """Resident megabytes beyond the libraries; seconds from nothing to the first step."""
    memory = float(_python(_MEMORY))
    starts = []
    for _ in range(4):  # the first one fills the caches of compiled code and of the disk
        began = time.perf_counter()
        _python(_START)
        starts.append(time.perf_counter() - began)
    first, *later = starts
    return [
        Result(
            "RamInsertion: memory beyond libraries",
            memory,
            "MB",
            MEMORY_TARGET_MB,
            False,
            "two cameras, 50 steps",
        ),
        Result(
            "RamInsertion: second start to first step",
            median(later),
            "s",
            START_TARGET_S,
            False,
            f"first {first:.1f} s",
        ),
    ]


def _python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout
