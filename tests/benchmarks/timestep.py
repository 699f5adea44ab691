"""Whether what happens in a task is physics or its discretisation: the expert at half the timestep."""

from __future__ import annotations

import gymnasium

from hilserl_envs.tasks import TASKS
from hilserl_envs.twin.robot import TIMESTEP
from tests.benchmarks.episodes import expert, run_episode
from tests.benchmarks.measure import Result

EPISODES = 100
TARGET = 5.0  # points of the success rate


def run() -> list[Result]:
    """One result a task."""
    return [_compare(env_id) for env_id in TASKS]


def _compare(env_id: str) -> Result:
    rates = []
    for timestep in (TIMESTEP, TIMESTEP / 2):
        env = gymnasium.make(env_id, obs="state", timestep=timestep)
        rates.append(100 * sum(run_episode(env, seed, expert) for seed in range(EPISODES)) / EPISODES)
        env.close()
    name = env_id.partition("/")[2].rpartition("-v")[0]
    said = f"{rates[0]:.0f} % at {1e3 * TIMESTEP:g} ms, {rates[1]:.0f} % at {5e2 * TIMESTEP:g} ms"
    return Result(f"{name}: expert at half the timestep", abs(rates[1] - rates[0]), "pt", TARGET, False, said)
