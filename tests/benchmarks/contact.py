"""Whether an insertion has to be felt, and whether the fingers hold what they hold."""

from __future__ import annotations

import gymnasium
import numpy as np

import hilserl_envs  # noqa: F401  registers the tasks
from hilserl_envs.poses import compose
from hilserl_envs.tasks.insertion import axes_of
from hilserl_envs.tasks.task import expert_displacement
from tests.benchmarks.episodes import body_of, expert, run_episode
from tests.benchmarks.measure import Result

EPISODES = 100
STRAIGHT_TARGET = 0.5
SLIP_TARGET_MM = 0.1  # a third of the smallest clearance: more would decide on whether it jams
TASKS = ("RamInsertion", "SsdAssembly", "UsbPickupInsertion")
HELD = ("RamInsertion", "SsdAssembly")  # from the start


def run() -> list[Result]:
    """Success of going straight at the goal; with the expert, slip of a part that is held from the start."""
    return [_straight_on(name) for name in TASKS] + [_slip(name) for name in HELD]


def _straight_on(name: str) -> Result:
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    seated = sum(run_episode(env, seed, straight) for seed in range(EPISODES))
    env.close()
    said = f"{seated} of {EPISODES}"
    return Result(f"{name}: straight on seats", seated / EPISODES, "", STRAIGHT_TARGET, False, said)


def _slip(name: str) -> Result:
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    scene, part = env.unwrapped.robot.scene, env.unwrapped.task.objects[0]
    moved, turned = [], []
    for seed in range(EPISODES):
        grips: list[np.ndarray] = []
        run_episode(env, seed, expert, lambda grips=grips: grips.append(scene.pose_in_tcp(part, "arm")))
        along = np.array(grips) - grips[0]
        moved.append(float(1e3 * np.linalg.norm(along[:, :3], axis=1).max()))
        cosines = np.abs(np.array(grips)[:, 3:] @ grips[0][3:])
        turned.append(2 * np.degrees(np.arccos(np.minimum(1.0, cosines))).max())
    env.close()
    said = f"and {max(turned):.3f} degrees, in {EPISODES} episodes of the expert"
    return Result(f"{name}: worst slip in the fingers", max(moved), "mm", SLIP_TARGET_MM, False, said)


def straight(task, seed: int):
    """A policy: picks up as the expert does, then in front of the socket and in, whatever is felt."""
    setup, part = task.arms["arm"], task.objects[0]
    pick_up, goal = expert(task, seed), np.array(task.target_pose)
    inward = axes_of(compose(goal, np.array(task.grasp)))[2]
    picked_up = going_in = False

    def act(state, scene):
        nonlocal picked_up, going_in
        touching = [{body_of(scene, geom) for geom in contact.geom} for contact in scene.data.contact]
        fingers = {body for pair in touching if part in pair for body in pair if body.startswith("finger")}
        picked_up = picked_up or len(fingers) == 2
        if not picked_up:
            return pick_up(state, scene)
        pose = state.arms["arm"].tcp_pose
        ahead = inward @ (pose[:3] - goal[:3])
        going_in = going_in or np.linalg.norm(pose[:3] - goal[:3] - ahead * inward) < 0.001
        target = goal.copy()
        target[:3] += (ahead + 0.01 if going_in else min(ahead, -task.TOUCH.above)) * inward
        motion = expert_displacement(setup, pose, target)
        return np.append(motion, -1.0) if setup.gripper else motion

    return act
