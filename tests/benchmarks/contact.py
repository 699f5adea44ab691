"""How honest the contact of the insertions is, and whether it has to be felt."""

from __future__ import annotations

import gymnasium
import numpy as np

import hilserl_envs  # noqa: F401  registers the tasks
from hilserl_envs.poses import compose
from hilserl_envs.tasks.insertion import axes_of
from hilserl_envs.tasks.task import expert_displacement
from tests.benchmarks.measure import Result

EPISODES = 100
PENETRATION_TARGET_MM, STRAIGHT_TARGET = 0.3, 0.5
LOOKS = 10  # at the contacts in each control step


TASKS = ("RamInsertion", "SsdAssembly", "UsbPickupInsertion")


def run() -> list[Result]:
    """Penetration and slip with the expert, success of going straight at the goal."""
    return [result for name in TASKS for result in _measure(name)]


def _measure(name: str) -> list[Result]:
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    watch = _Watch(env.unwrapped)
    successes = sum(_episode(env, seed, _expert, watch) for seed in range(EPISODES))
    env.close()
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    straight_on = sum(_episode(env, seed, straight, watch=None) for seed in range(EPISODES))
    env.close()
    seen = f"socket {watch.socket:.3f} mm, pads {watch.pads:.3f} mm; expert seats {successes} of {EPISODES}"
    slip = f"worst slip of a held part {watch.slip_mm:.3f} mm, {watch.slip_degrees:.3f} degrees"
    deepest = max(watch.socket, watch.pads)
    return [
        Result(f"{name}: deepest penetration", deepest, "mm", PENETRATION_TARGET_MM, False, seen),
        Result(f"{name}: straight on seats", straight_on / EPISODES, "", STRAIGHT_TARGET, False, slip),
    ]


class _Watch:
    """Looks at the contacts while an env's robot waits."""

    def __init__(self, env):
        self._task, self._scene, self._wait = env.task, env.robot.scene, env.robot.wait
        self.socket = self.pads = self.slip_mm = self.slip_degrees = 0.0
        self._grip: np.ndarray | None = None
        env.robot.wait = self._look

    def begin(self) -> None:
        """An episode begins: remember how a part that is held sits in the fingers."""
        held = self._task.held(self._scene)
        self._grip = self._scene.pose_in_tcp(self._task.objects[0], "arm") if held else None

    def _look(self, seconds: float) -> None:
        part = self._task.objects[0]
        for _ in range(LOOKS):
            self._wait(seconds / LOOKS)
            for other, depth in _contacts(self._scene, part):
                if other.startswith("finger"):
                    self.pads = max(self.pads, 1e3 * depth)
                else:
                    self.socket = max(self.socket, 1e3 * depth)
        if self._grip is None:
            return
        grip = self._scene.pose_in_tcp(part, "arm")
        self.slip_mm = max(self.slip_mm, 1e3 * np.linalg.norm(grip[:3] - self._grip[:3]))
        turn = 2 * np.degrees(np.arccos(min(1.0, abs(float(grip[3:] @ self._grip[3:])))))
        self.slip_degrees = max(self.slip_degrees, turn)


def _contacts(scene, part: str) -> list[tuple[str, float]]:
    """What touches a part, and how deep [m] it is in it."""
    touching = []
    for contact in scene.data.contact:
        bodies = [scene.model.body(scene.model.geom_bodyid[geom]).name for geom in contact.geom]
        if part in bodies:
            bodies.remove(part)
            touching.append((bodies[0], -contact.dist))
    return touching


def _episode(env, seed: int, make_policy, watch: _Watch | None) -> bool:
    env.reset(seed=seed)
    if watch is not None:
        watch.begin()
    base = env.unwrapped
    policy, over = make_policy(base.task, seed), False
    while not over:
        _, _, terminated, truncated, info = env.step(policy(base.robot_state, base.robot.scene))
        over = terminated or truncated
    return info["is_success"]


def _expert(task, seed: int):
    return task.expert(np.random.default_rng(seed))


def straight(task, seed: int):
    """A policy: picks up as the expert does, then in front of the socket and in, whatever is felt."""
    setup, part = task.arms["arm"], task.objects[0]
    pick_up, goal = _expert(task, seed), np.array(task.target_pose)
    inward = axes_of(compose(goal, np.array(task.grasp)))[2]
    picked_up = going_in = False

    def act(state, scene):
        nonlocal picked_up, going_in
        fingers = {other for other, _ in _contacts(scene, part) if other.startswith("finger")}
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
