"""JengaWhip: knock one block out of a tower with a whip, and leave the rest standing.

Numbers of the paper: one arm that is driven by Fx, Fz and tau_z as a feed-forward wrench,
20 steps of which every episode has all, joint positions and velocities in the observation,
judged by a person at the end. Ours: the rest. Blocks are those of the game (75 x 25 x 15 mm,
20 g); the whip is a stick across the fingers with 30 cm of thin cord and a ball of rubber
that is filled with tungsten, 25 g. A mat with a wall of felt catches what falls.

The equilibrium stays where the episode started. Fx swings the whip back and forth, Fz
lifts it to the height of the block, tau_z turns the stick to one side. The block is the
middle one of a level that lies along the swing, under at least three others: it leaves
through the far side, 54 mm of it against the friction of what lies on it. Too slow, and it
sticks out; 2 mm too high or too low, and the ball takes the level above or below along.
Which block it is, a policy sees: it is the red one.
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
from hilserl_envs.poses import compose, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera, Load
from hilserl_envs.tasks.task import Expert, Task
from hilserl_envs.twin.hand import FINGER_TRAVEL
from hilserl_envs.twin.props import (
    Tower,
    Whip,
    add_mat,
    add_tower,
    add_whip,
    block_names,
    hang_whip,
    stack_tower,
    stacked,
    weld_to_hand,
    whip_motion,
)

TOWER = Tower(levels=18, block=(0.075, 0.025, 0.015), mass=0.020, gap=0.0005, friction=0.20)
WHIP = Whip(
    stick=0.14, stick_radius=0.006, stick_mass=0.030, cord=0.30, links=6, cord_radius=0.0015, cord_mass=0.002,
    stiffness=2e-3, damping=5e-4, radius=0.008, mass=0.025, skin=0.0065, impact_time=0.0088,
    impact_damping=0.20, friction=0.3,
)  # fmt: skip
HOLE = 0.07  # half its side [m]: a tower shifted and turned as far as settings may stands clear of the felt
MAT = {"low": (0.40, -0.40), "high": (0.99, 0.40), "felt": 0.006, "wall": 0.20}  # catches what falls
TOWER_POSE = (0.64, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
LEVELS = (10, 12, 14)  # of 0 to 17; whoever hits level 16 takes the one that lies on it along
MIDDLE = 1  # its column
START = (0.30, 0.0, 0.53)  # of the TCP: the ball hangs 16 cm in front of the tower [m]
WHIP_IN_HAND = np.array([0.0, 0.0, PANDA.tcp_offset, 0.0, 0.0, 0.0, 1.0])
RED = (0.80, 0.10, 0.09, 1)
SETTLE_TIME = 0.2  # until a new tower sleeps [s]
TILTED = math.cos(math.radians(20.0))  # height of the top of an upright unit vector that does not stand


def _setup() -> ArmSetup:
    sides = [f"{side}{axis}" for side in ("", "neg_") for axis in "xyz"]
    clips = {f"{kind}_clip_{side}": 0.1 for kind in ("translational", "rotational") for side in sides}
    half = PANDA.hand_yaw / 2
    hand_in_flange = np.array([0.0, 0.0, 0.0, 0.0, 0.0, math.sin(half), math.cos(half)])
    balance = np.array([WHIP.balance, 0.0, PANDA.tcp_offset, 0.0, 0.0, 0.0, 1.0])
    return ArmSetup(
        reset_pose=(*START, 1.0, 0.0, 0.0, 0.0),
        limits=Limits(low=(0.10, -0.12, 0.38), high=(0.52, 0.12, 0.72), rotation=(0.5, 0.5, 0.5)),
        compliance=Compliance(
            translational_stiffness=300.0, translational_damping=20.0, rotational_stiffness=60.0,
            rotational_damping=4.0, **clips,
        ),
        wrench_axes=("fx", "fz", "tz"),
        force_scale=60.0,
        torque_scale=6.0,
        load=Load(mass=WHIP.total_mass, center=tuple(compose(hand_in_flange, balance)[:3])),
        gripper_at_reset=WHIP.stick_radius / FINGER_TRAVEL,
    )  # fmt: skip


@checked_names
@dataclass(frozen=True)
class JengaWhip(Task):
    """Settings of the task.

    Objects of the privileged state: the painted block `target`, and `place`, where it was put.
    Measures: `whip` (12,), position and velocity of the ball, then of the cord's middle, in
    the world, which is the arm's base frame here [m], [m/s]; `fallen` (1,), how many of the other
    blocks stand no more.

    Args:
        shift: of the tower, half-widths along x and y [m].
        turn: of the tower, half-range [rad].
        untidiness: how far each block is shifted along its length, half-width [m].
        skew: how far each block is turned, half-range [rad].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(
        default_factory=lambda: {
            "tower": Camera(position=(0.12, -0.50, 0.42), look_at=(0.63, 0.0, 0.205), fovy=20.0),
            "side": Camera(position=(0.45, 1.10, 0.40), look_at=(0.45, 0.0, 0.33), fovy=36.0),
        }
    )
    overview: Camera = Camera(position=(0.75, 1.25, 0.62), look_at=(0.40, 0.0, 0.30), fovy=42.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque", "q", "dq")
    objects: tuple[str, ...] = ("target", "place")
    measures: Mapping[str, int] = field(default_factory=lambda: {"whip": 12, "fallen": 1})
    horizon: int = 20
    judged_at_end: bool = True
    shift: tuple[float, float] = ranged((0.002, 0.006), 0.0, 0.02)
    turn: float = ranged(math.radians(1.0), 0.0, 0.1)
    untidiness: float = ranged(0.0005, 0.0, 0.003)
    skew: float = ranged(math.radians(0.2), 0.0, 0.03)

    def build(self, spec: mujoco.MjSpec) -> None:
        add_tower(spec, "tower", TOWER, "target", RED)
        add_mat(spec, "mat", hole=(*TOWER_POSE[:2], HOLE), **MAT)
        weld_to_hand(spec, add_whip(spec, "whip", WHIP), WHIP_IN_HAND)
        spec.worldbody.add_body(name="place", mocap=True)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        level = LEVELS[rng.integers(len(LEVELS))]
        shift, turn = rng.uniform(-1, 1, 2) * self.shift, rng.uniform(-1, 1) * self.turn
        nearby = np.array([*shift, 0.0, *rotvec_to_quat(np.array([0.0, 0.0, turn]))])
        pose = compose(np.array(TOWER_POSE), nearby)
        untidiness = (self.untidiness, self.skew)
        stack_tower(scene, _NAMES, TOWER, pose, (level, MIDDLE), untidiness, rng)
        scene.place("place", compose(pose, TOWER.place(level, MIDDLE)))
        hang_whip(scene, "whip", WHIP, compose(scene.pose("hand"), WHIP_IN_HAND))
        scene.refresh()
        scene.settle(SETTLE_TIME)

    def measure(self, scene) -> Mapping[str, np.ndarray]:
        return {"whip": whip_motion(scene, "whip", WHIP), "fallen": np.array([fallen(scene)])}

    def succeeded(self, state: RobotState, scene) -> bool:
        return scene is not None and knocked_out(scene) and fallen(scene) == 0

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert()

    def reset_path(self, state: RobotState, goals: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Back, away from the tower, before up or down: the cord may lie over it."""
        setup = self.arms["arm"]
        back = state.arms["arm"].tcp_pose.copy()
        back[0] = min(back[0], setup.reset_pose[0]) - self.reset_lift
        return [{"arm": back}, dict(goals)]


_NAMES = block_names("tower", TOWER, "target")


def target_level(scene) -> int:
    """The level of the painted block's place."""
    return round(scene.pose("place")[2] / TOWER.block[2] - 0.5)


def knocked_out(scene) -> bool:
    """Whether no part of the painted block is where it was."""
    return bool(np.linalg.norm(scene.pose("target")[:2] - scene.pose("place")[:2]) > TOWER.block[0])


def fallen(scene) -> int:
    """How many of the other blocks lie half a block's height lower than they were put, or tilted."""
    levels = [level for level, _ in stacked(TOWER, (target_level(scene), MIDDLE))]
    number = 0
    for name, level in zip(_NAMES[1:], levels[1:], strict=True):
        body = scene.data.body(name)
        number += bool(body.xpos[2] < level * TOWER.block[2] or body.xmat[8] < TILTED)
    return number


class _Expert:
    """A swing for the block's level, found by search, with the stick turned towards the block.

    Needs the scene: it looks at where the block is.
    """

    # Fx and Fz, step by step, until the ball arrives: by the cross-entropy method without a
    # tower, so that it arrives level with the block's middle, going straight ahead at 2.6 to
    # 2.75 m/s while the hand neither rises nor sinks, at no more than 0.93 of any joint's speed
    # limit. What follows holds the whip back, or it would swing into the tower once more.
    SWINGS = {
        10: (
            (-0.94, -0.31),
            (-0.97, 0.41),
            (0.09, 0.97),
            (0.81, 0.19),
            (0.81, 0.37),
            (0.39, -0.94),
            (-0.04, 0.6),
            (0.89, -0.034),
            (0.58, -0.524),
        ),
        12: (
            (-1.0, -0.07),
            (-0.95, 0.15),
            (0.1, 0.9),
            (0.97, 0.36),
            (0.55, 0.56),
            (0.48, -0.89),
            (-0.09, 0.67),
            (1.0, 0.13),
            (0.1, -0.17),
        ),
        14: (
            (-1.0, 0.36),
            (-0.98, -0.04),
            (0.16, 1.0),
            (0.87, 0.66),
            (0.51, 0.61),
            (0.42, -0.91),
            (0.06, 1.0),
            (0.95, 0.37),
            (-0.36, -0.05),
        ),
    }
    WITHDRAW = ((-1.0, -0.3), (-0.6, 0.0))  # the last to the end
    AIM = 30.0  # tau_z that moves the ball sideways, of an action of 1 [1/m]
    STRAY = 0.002  # how far to the side the ball goes by itself [m]

    def __init__(self):
        self._step = 0

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert of JengaWhip looks at where the block is: only the twin knows")
        swing = (*self.SWINGS[target_level(scene)], *self.WITHDRAW)
        force = swing[min(self._step, len(swing) - 1)]
        aside = scene.pose_in_base("place", "arm")[1] - self.STRAY
        self._step += 1
        return np.array([*force, self.AIM * aside])
