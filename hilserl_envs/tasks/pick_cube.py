"""PickCube: grasp a cube that lies somewhere on the table and lift it. The starter task.

Our own numbers: a 4 cm cube, anywhere in a 20 cm square at any heading, to be lifted by
8 cm within 10 s; about what gym-hil's PandaPickCube asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import quat_multiply, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera
from hilserl_envs.tasks.task import Expert, Task, expert_displacement
from hilserl_envs.twin.props import add_block

CENTER = (0.5, 0.0)  # of the square that the cube starts in [m]
HALF_SIZE = 0.02  # [m]
MASS = 0.06  # [kg]: beech wood
RESET_HEIGHT = 0.18  # of the TCP [m]


def _setup() -> ArmSetup:
    return ArmSetup(
        reset_pose=(*CENTER, RESET_HEIGHT, 1.0, 0.0, 0.0, 0.0),
        limits=Limits(low=(0.34, -0.18, 0.012), high=(0.66, 0.18, 0.35), rotation=(0.3, 0.3, 1.2)),
        compliance=Compliance(
            translational_clip_x=0.02, translational_clip_y=0.02, translational_clip_z=0.02,
            translational_clip_neg_x=0.02, translational_clip_neg_y=0.02, translational_clip_neg_z=0.02,
        ),
        position_range=(0.02, 0.02, 0.02),
        rotation_range=(0.0, 0.0, 0.1),
        translation_scale=0.03,
        rotation_scale=0.2,
        gripper=True,
    )  # fmt: skip


@checked_names
@dataclass(frozen=True)
class PickCube(Task):
    """Settings of the task.

    Args:
        cube_range: half-width of the square that the cube starts in [m].
        cube_yaw_range: half-range of its heading [rad]; a cube looks the same at pi/2.
        lift_height: how far the cube must be off the table [m].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(
        default_factory=lambda: {
            "front": Camera(position=(1.00, 0.0, 0.46), look_at=(0.50, 0.0, 0.065), fovy=37.0),
            "wrist_1": Camera(
                mount="hand",
                position=(0.078, 0.0, 0.030),
                look_at=(0.027, 0.0, 0.130),
                up=(0, 0, -1),
                fovy=58.0,
            ),
        }
    )
    overview: Camera = Camera(position=(1.25, -0.75, 0.75), look_at=(0.40, 0.0, 0.20), fovy=42.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque", "gripper_pose")
    objects: tuple[str, ...] = ("cube",)
    horizon: int = 100
    cube_range: float = ranged(0.10, 0.0, 0.15)
    cube_yaw_range: float = ranged(math.pi / 4, 0.0, math.pi)
    lift_height: float = ranged(0.08, 0.0, 0.3)

    def build(self, spec: mujoco.MjSpec) -> None:
        add_block(spec, "cube", (HALF_SIZE,) * 3, MASS, (0.80, 0.20, 0.16, 1))

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        x, y = np.array(CENTER) + rng.uniform(-self.cube_range, self.cube_range, 2)
        yaw = rng.uniform(-self.cube_yaw_range, self.cube_yaw_range)
        scene.place("cube", np.array([x, y, HALF_SIZE, *rotvec_to_quat(np.array([0, 0, yaw]))]))
        scene.refresh()

    def succeeded(self, state: RobotState, scene) -> bool:
        return scene is not None and bool(scene.pose("cube")[2] - HALF_SIZE > self.lift_height)

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self.arms["arm"])


class _Expert:
    """Above the cube and turned to its nearest face, down, close, up. Needs the scene."""

    ABOVE = 0.07  # the cube's middle [m]
    ALIGNED = 0.008  # [m] and
    TURNED = 0.1  # [rad]: near enough to go on
    GRASP_STEPS = 5  # until the fingers hold
    HELD = 0.015  # cube's middle to the TCP [m], at most, in closed fingers
    HELD_OPENING = 0.6  # gripper_pose of fingers around the cube, at most

    def __init__(self, setup: ArmSetup):
        self._setup, self._closing = setup, 0
        self._descending = self._started = False

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert of PickCube looks at where the cube is, which only the twin knows")
        arm, cube = state.arms["arm"], scene.pose("cube")
        if not self._started:
            # It may take over from somebody who has the cube in hand already.
            self._started = True
            near = np.linalg.norm(cube[:3] - arm.tcp_pose[:3]) < self.HELD
            if near and arm.gripper_pose < self.HELD_OPENING:
                self._closing = self.GRASP_STEPS
        face = rotvec_to_quat(np.array([0, 0, _heading(cube)]))
        target = np.concatenate([cube[:3], quat_multiply(face, np.array(self._setup.reset_pose[3:]))])
        off = np.linalg.norm(target[:2] - arm.tcp_pose[:2])
        turned = abs(expert_displacement(self._setup, arm.tcp_pose, target)[5]) * self._setup.rotation_scale
        gripper = 1.0
        if self._closing or (self._descending and arm.tcp_pose[2] - cube[2] < 0.008):
            self._closing += 1
            gripper = -1.0
            if self._closing > self.GRASP_STEPS:
                target[2] = RESET_HEIGHT
        elif self._descending or (off < self.ALIGNED and turned < self.TURNED):
            self._descending = True
        else:
            target[2] = cube[2] + self.ABOVE
        return np.append(expert_displacement(self._setup, arm.tcp_pose, target), gripper)


def _heading(cube: np.ndarray) -> float:
    """Heading of the cube's nearest face to straight [rad], in [-pi/4, pi/4]."""
    yaw = 2 * math.atan2(cube[5], cube[6])
    return (yaw + math.pi / 4) % (math.pi / 2) - math.pi / 4
