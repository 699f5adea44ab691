"""Two environments on two cores against one."""

from __future__ import annotations

from statistics import median

import gymnasium
import numpy as np

import hilserl_envs  # noqa: F401  registers the tasks
from tests.benchmarks.measure import Result, median_ratio, seconds, take_turns

TARGET = 1.6
STEPS = 50


def run() -> list[Result]:
    """Throughput of RamInsertion, both observation modes."""
    return [_compare(obs) for obs in ("state", "pixels")]


def _compare(obs: str) -> Result:
    envs = [gymnasium.make_vec("hilserl/RamInsertion-v0", num_envs=n, obs=obs) for n in (1, 2)]
    actions = [np.zeros(env.action_space.shape, np.float32) for env in envs]
    for env, action in zip(envs, actions, strict=True):
        env.reset(seed=0)
        env.step(action)

    def throughput(env, action):
        def step() -> None:
            for _ in range(STEPS):
                env.step(action)

        return lambda: env.num_envs * STEPS / seconds(step)

    one, two = take_turns(*map(throughput, envs, actions))
    for env in envs:
        env.close()
    detail = f"{median(two):.0f} env steps/s against {median(one):.0f}"
    return Result(
        f"RamInsertion, {obs}: vector of 2 / of 1", median_ratio(two, one), "x", TARGET, True, detail
    )
