"""ObjectFlip: toss a fried egg out of the pan that the hand holds, so that it lands in it on its other side.

The paper's: one arm, Fx, Fz and the torque about y as a feed-forward wrench over a soft
impedance, 100 steps, a discount of .985, `q` and `dq` in the observation, no randomisation
of the arm. An object that has left the pan ends the episode; one that has not turned over
may be tossed again.

Ours: a toy egg of silicone, 72 mm wide and 45 g, whose sides differ: yolk and white above,
browned below. It lies flat on one, and on yolk and edge on the other, 9 degrees tilted. A
light pan with a straight rim is welded to the hand, as if its handle were screwed to it; the
arm compensates the pan's weight, as a real one does when told its load, and nothing else of
it. Force and torque are what a robot server lets through by default
(`robot_servers.limits`). The egg starts within 15 mm of the pan's middle at any heading: a
person who puts it back looks where it lies, not how it is turned (`egg_range`, 0 for the
middle).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import PANDA
from hilserl_envs.poses import compose, invert, rotate, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera, Load
from hilserl_envs.tasks.task import Expert, Task
from hilserl_envs.twin.hand import FINGER_TRAVEL
from hilserl_envs.twin.props import Egg, Pan, add_egg, add_pan, weld_to_hand

PAN = Pan(
    radius=0.080, rim_height=0.032, rim_slope=math.radians(35), wall=0.005, handle=0.215,
    handle_size=(0.016, 0.010), mass=0.30, handle_mass=0.05,
)  # fmt: skip
EGG = Egg(radius=0.036, thickness=0.008, yolk_radius=0.013, yolk_height=0.005, mass=0.045, friction=0.25)
# The fingers hold the handle near its end; up in the pan is back along the hand.
PAN_IN_HAND = np.array([0.19, 0.0, PANDA.tcp_offset + PAN.handle_middle[2], 1.0, 0.0, 0.0, 0.0])
UP = np.array([0.0, 0.0, 1.0])
TURNED_OVER = -0.9  # height of the egg's z axis, of length 1, over the pan's floor: -0.99 where it lies
ON_FLOOR = 0.02  # height of the middle of an egg that lies in the pan, at most [m]
LOST_BELOW = 0.05  # over the rim [m]: an egg beside the pan that is not higher is not caught any more


def _load() -> Load:
    center_in_hand = compose(PAN_IN_HAND, np.array([*PAN.center_of_mass, 0.0, 0.0, 0.0, 1.0]))[:3]
    hand_in_flange = rotvec_to_quat(np.array([0.0, 0.0, PANDA.hand_yaw]))
    return Load(PAN.mass + PAN.handle_mass, tuple(rotate(hand_in_flange, center_in_hand).tolist()))


def _setup() -> ArmSetup:
    # Soft and hardly damped: what the wrench does is not taken back at once. The widest clips: a spring
    # everywhere in the box.
    clips = {
        f"{kind}_clip_{side}{axis}": 0.1
        for kind in ("translational", "rotational") for side in ("", "neg_") for axis in "xyz"
    }  # fmt: skip
    return ArmSetup(
        reset_pose=(0.42, 0.0, 0.15, 1.0, 0.0, 0.0, 0.0),
        limits=Limits(low=(0.30, -0.08, 0.08), high=(0.55, 0.08, 0.48), rotation=(0.3, 1.0, 0.3)),
        compliance=Compliance(
            translational_stiffness=150, translational_damping=10, rotational_stiffness=20,
            rotational_damping=0.7, **clips,
        ),
        wrench_axes=("fx", "fz", "ty"),
        force_scale=50.0,
        torque_scale=10.0,
        load=_load(),
        gripper_at_reset=PAN.handle_size[0] / (2 * FINGER_TRAVEL),
    )  # fmt: skip


def _cameras() -> dict[str, Camera]:
    """From the hand into the pan, and from the side where the egg flies."""
    return {
        "wrist": Camera(
            mount="hand", position=(0.055, 0.0, 0.0), look_at=(0.175, 0.0, 0.11), up=(1, 0, 0), fovy=75.0
        ),
        "side": Camera(position=(0.66, -0.80, 0.70), look_at=(0.60, 0.0, 0.32), fovy=46.0),
    }


@checked_names
@dataclass(frozen=True)
class ObjectFlip(Task):
    """Settings of the task.

    The privileged state is the egg's pose and `egg_vel` (6,), its linear and angular velocity along the
    base's axes [m/s, rad/s]; where the pan is follows from `tcp_pose`.

    Args:
        egg_range: how far from the pan's middle the egg starts at most [m].
        at_rest: speed of the egg's edge below which it and the pan are still [m/s].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=_cameras)
    overview: Camera = Camera(position=(1.30, -0.95, 0.80), look_at=(0.44, 0.0, 0.36), fovy=40.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "q", "dq")
    objects: tuple[str, ...] = ("egg",)
    measures: Mapping[str, int] = field(default_factory=lambda: {"egg_vel": 6})
    horizon: int = 100
    egg_range: float = ranged(0.015, 0.0, 0.04)
    at_rest: float = ranged(0.05, 0.0, 0.2)

    def build(self, spec: mujoco.MjSpec) -> None:
        weld_to_hand(spec, add_pan(spec, "pan", PAN), PAN_IN_HAND)
        add_egg(spec, "egg", EGG)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        if not in_motion:
            scene.place("pan", compose(scene.pose("hand"), PAN_IN_HAND))
            scene.refresh()
        distance = self.egg_range * math.sqrt(rng.uniform())
        direction, heading = rng.uniform(-math.pi, math.pi, 2)
        lying = [distance * math.cos(direction), distance * math.sin(direction), EGG.thickness / 2]
        turned = rotvec_to_quat(np.array([0.0, 0.0, heading]))
        scene.place("egg", compose(scene.pose("pan"), np.array([*lying, *turned])))
        scene.refresh()

    def measure(self, scene) -> Mapping[str, np.ndarray]:
        return {"egg_vel": _velocity(scene, "egg")}

    def succeeded(self, state: RobotState, scene) -> bool:
        return scene is not None and lies_turned_over(scene) and self.still(scene)

    def failed(self, state: RobotState, scene) -> bool:
        if scene is None:
            return False
        egg = egg_in_pan(scene)
        beside = np.hypot(*egg[:2]) > PAN.outer_radius + EGG.radius
        return bool(egg[2] < -PAN.wall or (beside and egg[2] < PAN.rim_height + LOST_BELOW))

    def still(self, scene) -> bool:
        """Whether neither egg nor pan moves."""
        return max(_edge_speed(scene, "egg"), _edge_speed(scene, "pan")) < self.at_rest

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self)

    def reset_path(self, state: RobotState, goals: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Level the pan where it is, so that what lies in it stays there; then straight over."""
        level = {n: np.concatenate([state.arms[n].tcp_pose[:3], goal[3:]]) for n, goal in goals.items()}
        return [level, dict(goals)]


def egg_in_pan(scene) -> np.ndarray:
    """The egg's pose (7,) in the pan's frame."""
    return compose(invert(scene.pose("pan")), scene.pose("egg"))


def lies_turned_over(scene) -> bool:
    """Whether the egg lies in the pan with its yolk down."""
    egg = egg_in_pan(scene)
    return PAN.holds(egg[:3]) and bool(egg[2] < ON_FLOOR and rotate(egg[3:], UP)[2] < TURNED_OVER)


def _velocity(scene, name: str) -> np.ndarray:
    """Linear and angular velocity (6,) of a free body, in the world."""
    velocity = scene.data.joint(name).qvel.copy()
    velocity[3:] = rotate(scene.pose(name)[3:], velocity[3:])  # MuJoCo's is along the body's axes
    return velocity


def _edge_speed(scene, name: str) -> float:
    """Of the egg's edge at most [m/s], if it moves as a body does."""
    motion = _velocity(scene, name)
    return float(np.linalg.norm(motion[:3]) + EGG.radius * np.linalg.norm(motion[3:]))


class _Expert:
    """Waits until pan and egg are still, tosses, brakes, looks; again if the egg has not turned over.

    Needs the scene.
    """

    # Force along x and z and torque about y, a row a step: up while the pan's far side rises and
    # the egg slides against the near rim, then forward and level under it, down as it lands. From
    # a search (the cross-entropy method) over tosses, with friction, masses and each number
    # randomised, that keep within the box and the joints' speed limits.
    TOSS = np.array([[-0.4, 0.95, -0.5], [-0.35, 0.95, -0.7], [1.0, 0.55, -0.4], [0.1, -0.4, 0.1]])
    BRAKES = np.array([40.0, 40.0, 0.5])  # damping of the pan's swing between tosses [Ns/m, Nms/rad]

    def __init__(self, task: ObjectFlip):
        self._task, self._setup = task, task.arms["arm"]
        self._tossed = len(self.TOSS)  # rows of the toss that are done: all, so that the first may begin

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert of ObjectFlip looks at how the egg lies: only the twin knows")
        velocity = state.arms["arm"].tcp_vel[[0, 2, 4]]
        if self._tossed == len(self.TOSS):
            if lies_turned_over(scene) or not self._task.still(scene):
                scale = [self._setup.force_scale, self._setup.force_scale, self._setup.torque_scale]
                return np.clip(-self.BRAKES * velocity / scale, -1, 1)
            self._tossed = 0
        self._tossed += 1
        return self.TOSS[self._tossed - 1].copy()
