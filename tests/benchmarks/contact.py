"""How honest the contact of RamInsertion is, and whether it has to be felt."""

from __future__ import annotations

import gymnasium
import numpy as np

import hilserl_envs  # noqa: F401  registers the tasks
from hilserl_envs.tasks.task import expert_displacement
from tests.benchmarks.measure import Result

EPISODES = 100
PENETRATION_TARGET_MM, STRAIGHT_TARGET = 0.3, 0.5
LOOKS = 10  # at the contacts in each control step


def run() -> list[Result]:
    """Penetration and slip with the expert, success of going straight down."""
    env = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
    watch = _Watch(env.unwrapped.robot)
    successes = sum(_episode(env, seed, _expert, watch) for seed in range(EPISODES))
    env.close()
    env = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
    straight = sum(_episode(env, seed, _straight, watch=None) for seed in range(EPISODES))
    env.close()
    seen = f"slot {watch.slot:.3f} mm, pads {watch.pads:.3f} mm; expert seats {successes} of {EPISODES}"
    slip = f"worst slip in the fingers {watch.slip_mm:.3f} mm, {watch.slip_degrees:.3f} degrees"
    return [
        Result(
            "RamInsertion: deepest penetration",
            max(watch.slot, watch.pads),
            "mm",
            PENETRATION_TARGET_MM,
            False,
            seen,
        ),
        Result("RamInsertion: straight down seats", straight / EPISODES, "", STRAIGHT_TARGET, False, slip),
    ]


class _Watch:
    """Looks at the contacts while a robot waits."""

    def __init__(self, robot):
        self._scene, self._wait = robot.scene, robot.wait
        self.slot = self.pads = self.slip_mm = self.slip_degrees = 0.0
        self._grip: np.ndarray | None = None
        robot.wait = self._look

    def begin(self) -> None:
        """An episode begins: remember how the module sits in the fingers."""
        self._grip = self._scene.pose_in_tcp("module", "arm")

    def _look(self, seconds: float) -> None:
        for _ in range(LOOKS):
            self._wait(seconds / LOOKS)
            model, data = self._scene.model, self._scene.data
            for contact in data.contact:
                bodies = {model.body(model.geom_bodyid[geom]).name for geom in contact.geom}
                if "module" not in bodies:
                    continue
                depth = -1e3 * contact.dist
                if any(body.startswith("finger") for body in bodies):
                    self.pads = max(self.pads, depth)
                else:
                    self.slot = max(self.slot, depth)
        grip = self._scene.pose_in_tcp("module", "arm")
        self.slip_mm = max(self.slip_mm, 1e3 * np.linalg.norm(grip[:3] - self._grip[:3]))
        turn = 2 * np.degrees(np.arccos(min(1.0, abs(float(grip[3:] @ self._grip[3:])))))
        self.slip_degrees = max(self.slip_degrees, turn)


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


def _straight(task, seed: int):
    """Above the slot, then down, whatever is felt."""
    down = False

    def act(state, scene):
        nonlocal down
        pose, target = state.arms["arm"].tcp_pose, np.array(task.target_pose)
        down = down or np.linalg.norm(pose[:2] - target[:2]) < 0.001
        target[2] = pose[2] - 0.01 if down else max(pose[2], target[2] + 0.018)
        return expert_displacement(task.arms["arm"], pose, target)

    return act
