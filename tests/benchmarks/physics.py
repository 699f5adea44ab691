"""Whether the physics of every task is honest, and how fast it is: the promises of each task in one table."""

from __future__ import annotations

import time
from collections import defaultdict

import gymnasium
import mujoco
import numpy as np

from hilserl_envs.errors import DivergedError
from hilserl_envs.tasks import TASKS
from tests.benchmarks.episodes import body_of, expert, run_episode
from tests.benchmarks.measure import Result

EPISODES, SPEED_EPISODES = 100, 10  # of the expert
RANDOM_EPISODES = 1000  # over all tasks together
PENETRATION_TARGET_MM = 0.3
SPEED_TARGETS = {"TimingBelt": 3.0, "JengaWhip": 2.5}  # times real time on one core; else...
SPEED_TARGET = 10.0
SETTLE = 10.0  # until an arm on a soft spring has swung out [s]
UNTOUCHED, LOOK = 10.0, 1.0  # how long a scene is left alone then, and how often its energy is looked at [s]
# As much as a Jenga block (20 g) that has sunk by 0.5 mm.
DRIFT_TARGET_MJ = 0.1


def run() -> list[Result]:
    """Four results a task."""
    return [result for env_id in TASKS for result in _measure(env_id)]


def _measure(env_id: str) -> list[Result]:
    env = gymnasium.make(env_id, obs="state")
    name = env_id.partition("/")[2].rpartition("-v")[0]
    scene = env.unwrapped.robot.scene
    try:
        return [
            _speed(env, name),
            _penetration(env, name, scene),
            _drift(env, name, scene),
            _divergence(env, name),
        ]
    finally:
        env.close()


def _speed(env, name: str) -> Result:
    """Simulated time over this thread's time in the env's steps, so that other work does not count."""
    base, spent, simulated = env.unwrapped, 0.0, 0.0
    run_episode(env, 0, expert)  # compiles
    for seed in range(SPEED_EPISODES):
        env.reset(seed=seed)
        act, over = expert(base.task, seed), False
        while not over:
            action = act(base.robot_state, base.robot.scene)
            began, then = time.thread_time(), base.robot_state.time
            _, _, terminated, truncated, _ = env.step(action)
            spent += time.thread_time() - began
            simulated += base.robot_state.time - then
            over = terminated or truncated
    said = f"{simulated:.0f} s in {spent:.1f} s, {SPEED_EPISODES} episodes of the expert"
    target = SPEED_TARGETS.get(name, SPEED_TARGET)
    return Result(f"{name}: real-time factor", simulated / spent, "x", target, True, said)


def _penetration(env, name: str, scene) -> Result:
    """Of any two geoms of the scene, a hundred times a second."""
    deepest: dict[str, float] = defaultdict(float)

    def look() -> None:
        for contact in scene.data.contact:
            pair = " on ".join(sorted(body_of(scene, geom).split("_")[0] for geom in contact.geom))
            deepest[pair] = max(deepest[pair], -1e3 * contact.dist)

    successes = sum(run_episode(env, seed, expert, look) for seed in range(EPISODES))
    worst = sorted(deepest, key=deepest.get, reverse=True)[:3]
    said = "; ".join(f"{pair} {deepest[pair]:.3f}" for pair in worst)
    return Result(
        f"{name}: deepest penetration",
        max(deepest.values(), default=0.0),
        "mm",
        PENETRATION_TARGET_MM,
        False,
        f"{said}; expert {successes} of {EPISODES}",
    )


def _drift(env, name: str, scene) -> Result:
    """Of the energy of a scene in which the arms hold still."""
    env.reset(seed=0)
    env.unwrapped.robot.wait(SETTLE)
    before, drift = _energy(scene), 0.0
    for _ in range(round(UNTOUCHED / LOOK)):
        env.unwrapped.robot.wait(LOOK)
        drift = max(drift, abs(_energy(scene) - before))
    said = f"at most, in {UNTOUCHED:.0f} s of holding still"
    return Result(f"{name}: energy drift untouched", 1e3 * drift, "mJ", DRIFT_TARGET_MJ, False, said)


def _energy(scene) -> float:
    """Potential (of springs too) and kinetic, of everything [J]."""
    mujoco.mj_energyPos(scene.model, scene.data)
    mujoco.mj_energyVel(scene.model, scene.data)
    return float(scene.data.energy.sum())


def _divergence(env, name: str) -> Result:
    """Episodes of random actions in which anything became NaN or infinite, or the simulation gave up."""
    episodes, bad = -(-RANDOM_EPISODES // len(TASKS)), 0
    for seed in range(episodes):
        bad += not _stays_finite(env, seed)
    said = f"of {episodes} episodes of random actions"
    return Result(f"{name}: episodes with a NaN", bad, "", 0, False, said)


def _stays_finite(env, seed: int) -> bool:
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    over = False
    try:
        while not over:
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
            numbers = [reward, *observation["state"].values()]
            if not all(np.isfinite(number).all() for number in numbers):
                return False
    except DivergedError:
        return False
    return True
