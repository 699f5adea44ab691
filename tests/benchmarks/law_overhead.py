"""What the law costs on top of MuJoCo: a control step against as many bare steps."""

from __future__ import annotations

from statistics import median

import gymnasium
import mujoco
import numpy as np

import hilserl_envs  # noqa: F401  registers the tasks
from tests.benchmarks.measure import Result, median_ratio, seconds, take_turns

TARGET = 1.15


def run() -> list[Result]:
    """One result a task."""
    return [_compare(task) for task in ("PickCube", "RamInsertion")]


def _compare(task: str) -> Result:
    env = gymnasium.make(f"hilserl/{task}-v0", obs="state")
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(env.action_space.shape, np.float32))
    scene = env.unwrapped.robot.scene
    model, data, steps = scene.model, scene.data, round(0.1 / scene.model.opt.timestep)
    copy = mujoco.MjData(model)

    def bare() -> float:
        mujoco.mj_copyData(copy, model, data)
        return seconds(lambda: mujoco.mj_step(model, copy, nstep=steps))

    def with_law() -> float:
        return seconds(lambda: scene.physics.advance(0.1))

    without, with_it = take_turns(bare, with_law, rounds=60)
    env.close()
    detail = f"{1e3 * median(with_it):.2f} ms against {1e3 * median(without):.2f} ms for {steps} bare steps"
    return Result(
        f"{task}: control step / bare mj_step", median_ratio(with_it, without), "x", TARGET, False, detail
    )
