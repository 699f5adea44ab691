"""An environment without a simulator, and a small two-arm task, for tests of what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import gymnasium
import numpy as np
from gymnasium import spaces
from scipy.spatial.transform import Rotation

from hilserl_envs.robot import ARM_NAMES, key_prefix
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmAction, ArmSetup, Camera
from hilserl_envs.tasks.task import Task
from hilserl_envs.twin.props import add_block

UNBOUNDED = spaces.Box(-np.inf, np.inf, (7,), np.float32)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """Pose (7,) float32 within a metre, any orientation with w >= 0."""
    quat = Rotation.random(rng=rng).as_quat(canonical=True)
    return np.concatenate([rng.uniform(-1, 1, 3), quat]).astype(np.float32)


class GenericEnv(gymnasium.Env):
    """Spaces and layout of a `FrankaEnv`; what reset and step return is up to the test.

    Attributes:
        actions: every action that reached it.
    """

    def __init__(
        self,
        arms: int = 1,
        gripper: bool = True,
        state: Callable[[], dict] | None = None,
        info: Callable[[np.ndarray], dict] = lambda action: {},
        image_size: tuple[int, int] = (12, 16),
    ):
        names = ARM_NAMES[arms]
        size = 7 if gripper else 6
        self.action_layout = tuple(
            ArmAction(key_prefix(n, names), size * i, gripper) for i, n in enumerate(names)
        )
        self.action_space = spaces.Box(-1, 1, (size * arms,), np.float32)
        boxes = {}
        for arm in self.action_layout:
            boxes |= {f"{arm.prefix}tcp_pose": UNBOUNDED, f"{arm.prefix}thing_pose": UNBOUNDED}
            boxes[f"{arm.prefix}tcp_vel"] = spaces.Box(-np.inf, np.inf, (6,), np.float32)
            boxes[f"{arm.prefix}gripper_pose"] = spaces.Box(0, 1, (1,), np.float32)
        images = {"front": spaces.Box(0, 255, (*image_size, 3), np.uint8)}
        self.observation_space = spaces.Dict({"state": spaces.Dict(boxes), "images": spaces.Dict(images)})
        self._state, self._info = state or self._random_state, info
        self.actions: list[np.ndarray] = []

    def _random_state(self) -> dict:
        rng, state = self.np_random, {}
        for arm in self.action_layout:
            state |= {f"{arm.prefix}tcp_pose": random_pose(rng), f"{arm.prefix}thing_pose": random_pose(rng)}
            state[f"{arm.prefix}tcp_vel"] = rng.normal(size=6).astype(np.float32)
            state[f"{arm.prefix}gripper_pose"] = rng.uniform(size=1).astype(np.float32)
        return state

    def _observe(self) -> dict:
        image = self.np_random.integers(0, 256, self.observation_space["images"]["front"].shape, np.uint8)
        return {"state": self._state(), "images": {"front": image}}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        self.actions.append(np.array(action))
        return self._observe(), 0.0, False, False, self._info(np.array(action))


def _facing_arms() -> dict[str, ArmSetup]:
    limits = Limits(low=(0.3, -0.2, 0.05), high=(0.6, 0.2, 0.4), rotation=(0.3, 0.3, 0.5))
    common = {
        "reset_pose": (0.4, 0.0, 0.25, 1.0, 0.0, 0.0, 0.0),
        "limits": limits,
        "position_range": (0.01, 0.01, 0.01),
    }
    return {
        "left": ArmSetup(**common, gripper=True),
        "right": ArmSetup(**common, base_pose=(1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
    }


@dataclass(frozen=True)
class TwoArms(Task):
    """Two arms that face each other over a block; the left one has a gripper."""

    arms: dict = field(default_factory=_facing_arms)
    cameras: dict = field(
        default_factory=lambda: {"front": Camera(position=(0.5, -1.2, 0.6), look_at=(0.5, 0.0, 0.2))}
    )
    overview: Camera = Camera(position=(0.5, -1.2, 0.8), look_at=(0.5, 0.0, 0.2))
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "q")
    objects: tuple[str, ...] = ("block",)
    horizon: int = 20

    def build(self, spec):
        add_block(spec, "block", (0.02, 0.02, 0.02), 0.05, (0.2, 0.3, 0.8, 1))

    def arrange(self, scene, rng, in_motion):
        scene.place("block", np.array([0.5, rng.uniform(-0.1, 0.1), 0.02, 0, 0, 0, 1]))
        scene.refresh()

    def succeeded(self, state, scene):
        return False

    def expert(self, rng):
        return lambda state, scene: np.zeros(13)
