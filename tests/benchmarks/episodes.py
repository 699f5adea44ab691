"""Episodes of a policy on a twin, looked at from inside: at its contacts, many times in a control step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

LOOKS = 10  # in each control step


def expert(task, seed: int) -> Callable:
    """The task's scripted expert: called with the robot's state and the scene."""
    return task.expert(np.random.default_rng(seed))


def run_episode(env, seed: int, make_policy: Callable, look: Callable[[], None] | None = None) -> bool:
    """Run one seeded episode; whether it ended in success.

    Args:
        env: a `FrankaEnv` on a twin, with nothing but a time limit around it.
        seed: of the reset and the policy.
        make_policy: (task, seed) to a policy, called with the robot's state and the scene.
        look: called after the reset, and then every hundredth of a second.
    """
    env.reset(seed=seed)
    base = env.unwrapped
    policy, over = make_policy(base.task, seed), False
    with _looking(base.robot, look):
        while not over:
            _, _, terminated, truncated, info = env.step(policy(base.robot_state, base.robot.scene))
            over = terminated or truncated
    return info["is_success"]


@contextmanager
def _looking(robot, look: Callable[[], None] | None) -> Iterator[None]:
    if look is None:
        yield
        return
    wait = robot.wait

    def wait_and_look(seconds: float) -> None:
        for _ in range(LOOKS):
            wait(seconds / LOOKS)
            look()

    look()
    robot.wait = wait_and_look
    try:
        yield
    finally:
        robot.wait = wait


def body_of(scene, geom: int) -> str:
    """The name of the body that a geom is of."""
    return scene.model.body(scene.model.geom_bodyid[geom]).name
