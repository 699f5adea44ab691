"""UsbPickupInsertion: pick up a USB stick from the table and insert it in a port.

Numbers of the paper and its public code: 2 cm and 10 degrees of randomisation, 120 steps, two
cameras on the wrist and one at the side; the stick lies where it was let go, the port opens to
the side, success is a seated plug, whether or not the fingers still hold it. We take the 2 cm and
10 degrees as half-ranges of where the stick lies, and half of both for where the arm starts.
The shell is the standard's for a plug A: 12.0 x 4.5 mm, 11.75 mm long.

Ours: the port is 0.3 mm wider and higher than the shell (the standard's 0.5 and 0.6 mm leave
room for its springs on all sides), flared by 0.6 mm, with a sprung tab above and below that
takes some 8 N to get past and holds the plug (the standard allows 35 N). Its tongue is only
seen: inside the shell nothing else meets it. Its case is put back by hand in each episode,
within 3 mm and 2 degrees; scales and compliance. The two wrist cameras look from ahead of the
fingers and from behind them.

The stick may be dropped and picked up again; out of the arm's reach it is lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, checked_names, ranged
from hilserl_envs.poses import compose, displacement, invert, matrix_to_quat, quat_multiply, rotvec_to_quat
from hilserl_envs.robot import ArmState, RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.insertion import COMPLIANCE, RESET_COMPLIANCE, Insertion
from hilserl_envs.tasks.insertion_expert import InsertionExpert, Touch
from hilserl_envs.tasks.setup import ArmSetup, Camera, Pose
from hilserl_envs.tasks.task import Expert, expert_displacement
from hilserl_envs.twin.props import Plug, Port, add_plug, add_port

PLUG = Plug(width=0.012, thickness=0.0045, length=0.01175, body=(0.016, 0.009, 0.032), mass=0.012)
PORT = Port(
    clearance=0.0003, end_clearance=0.0003, depth=0.0102, lead_in=0.0006, tower_height=0.0, end_lead_in=0.0006
)
# The port opens towards the arm: x of port and plug to its right, y up, z out.
FACING = tuple(matrix_to_quat(np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])).tolist())
PORT_HEIGHT = 0.022  # of its middle [m]
CASE = (0.030, PORT_HEIGHT, 0.012, 0.040)  # half-width, below and above the port, depth [m]
LYING = (0.45, 0.0, PLUG.body[1] / 2, *FACING)  # the plug, in the middle of where it starts
GRIP_OFFSET = 0.006  # the fingers reach to 1 mm over the table: the plug is this far below the TCP [m]
# The TCP's x points ahead, its z down.
GRASP = (0.0, 0.0, GRIP_OFFSET, *compose(np.array([0, 0, 0, 1.0, 0, 0, 0]), np.array(LYING))[3:].tolist())
LOWEST = LYING[2] + GRIP_OFFSET  # TCP that picks up [m]


def _setup() -> ArmSetup:
    return ArmSetup(
        reset_pose=(LYING[0], LYING[1], 0.10, 1.0, 0.0, 0.0, 0.0),
        limits=Limits(low=(0.39, -0.06, LOWEST), high=(0.53, 0.06, 0.16), rotation=(0.12, 0.12, 0.8)),
        compliance=replace(
            COMPLIANCE, translational_clip_neg_x=0.0075, translational_clip_y=0.004,
            translational_clip_neg_y=0.004, rotational_clip_z=0.02, rotational_clip_neg_z=0.02,
        ),
        reset_compliance=RESET_COMPLIANCE,
        position_range=(0.01, 0.01, 0.0),
        rotation_range=(0.0, 0.0, math.radians(5)),
        translation_scale=0.015,
        rotation_scale=0.1,
        gripper=True,
    )  # fmt: skip


def _cameras() -> dict[str, Camera]:
    def on_wrist(side: float) -> Camera:
        return Camera("hand", (side * 0.078, 0.0, 0.030), (side * 0.015, 0.0, 0.115), (0, 0, -1), 58.0)

    side = Camera(position=(0.42, -0.20, 0.09), look_at=(0.478, 0.0, 0.028), fovy=43.0)
    return {"side": side, "wrist_1": on_wrist(1), "wrist_2": on_wrist(-1)}


@checked_names
@dataclass(frozen=True, kw_only=True)
class UsbPickupInsertion(Insertion):
    """Settings of the task; see `Insertion`. Around target_pose the port stands.

    Args:
        plug_range, plug_yaw_range: half-ranges of where the plug starts along x and y [m],
            and of its heading [rad].
        port_range, port_yaw_range: the same of the port.
    """

    FIT = PORT
    # The expert sees where the port is: nothing to search for.
    TOUCH = Touch(above=0.018, entered=0.010, at_an_end=1.0, slide=0.0, levelling=0.0)

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=_cameras)
    overview: Camera = Camera(position=(0.34, -0.40, 0.22), look_at=(0.49, 0.0, 0.05), fovy=36.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque", "gripper_pose")
    objects: tuple[str, ...] = ("plug", "port")
    horizon: int = 120
    grasp: Pose = GRASP
    target_pose: Pose = (0.51, 0.0, PORT_HEIGHT + GRIP_OFFSET, 1.0, 0.0, 0.0, 0.0)
    plug_range: float = ranged(0.02, 0.0, 0.025)
    plug_yaw_range: float = ranged(math.radians(10), 0.0, 0.6)
    port_range: float = ranged(0.003, 0.0, 0.005)
    port_yaw_range: float = ranged(math.radians(2), 0.0, 0.1)

    def _port_pose(self) -> np.ndarray:
        """Where the port (7,) stands on average."""
        seated = compose(np.array(self.target_pose), np.array(self.grasp))
        return compose(seated, np.array([0, 0, -PLUG.reach - PORT.floor, 0, 0, 0, 1.0]))

    def build(self, spec: mujoco.MjSpec) -> None:
        add_port(spec, "port", PLUG, PORT, CASE, self._port_pose())
        add_plug(spec, "plug", PLUG)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        scene.place("port", _strewn(self._port_pose(), self.port_range, self.port_yaw_range, rng))
        scene.place("plug", _strewn(np.array(LYING), self.plug_range, self.plug_yaw_range, rng))
        scene.refresh()

    def failed(self, state: RobotState, scene) -> bool:
        if scene is None:
            return False
        place, limits = scene.pose_in_base("plug", "arm")[:3], self.arms["arm"].limits
        return bool((place[:2] < limits.low[:2]).any() or (place[:2] > limits.high[:2]).any() or place[2] < 0)

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self, rng)

    def reset_path(self, state: RobotState, goals: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Back along the plug while the fingers open, then up and over."""
        back = {name: state.arms[name].tcp_pose.copy() for name in goals}
        for pose in back.values():
            pose[0] -= PLUG.body[2]
        lifted = {name: pose + np.array([0, 0, self.reset_lift, 0, 0, 0, 0]) for name, pose in back.items()}
        return [back, lifted, dict(goals)]


def _strewn(pose: np.ndarray, reach: float, yaw_range: float, rng: np.random.Generator) -> np.ndarray:
    """`pose` (7,) moved on the table and turned about the vertical at random."""
    x, y = rng.uniform(-reach, reach, 2)
    turn = rotvec_to_quat(np.array([0, 0, rng.uniform(-yaw_range, yaw_range)]))
    return np.concatenate([pose[:3] + np.array([x, y, 0]), quat_multiply(turn, pose[3:])])


class _Expert:
    """Above the plug, down, close; then as every insertion. Looks at where plug and port are.

    Opens and starts over when the plug is not in the fingers where it was.
    """

    ABOVE = 0.05  # TCP over its height at the plug [m]
    ALIGNED = 0.002  # [m] and
    TURNED = 0.03  # [rad]: near enough to go down
    DOWN = 0.001  # [m]: near enough to close
    CLOSED = 0.003  # change of gripper_pose in a step of fingers that have closed
    EMPTY = 0.05  # gripper_pose of fingers that hold nothing

    def __init__(self, task: UsbPickupInsertion, rng: np.random.Generator):
        self._task, self._setup = task, task.arms["arm"]
        self._insertion = InsertionExpert(self._setup, np.array(task.grasp), task.TOUCH, rng)
        self._opening = 1.0  # at the step before
        self._descending = self._closing = self._holding = False

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert looks at where the plug is, which only the twin knows")
        arm = state.arms["arm"]
        still, self._opening = abs(arm.gripper_pose - self._opening) < self.CLOSED, arm.gripper_pose
        within = self._task.held(scene) and arm.gripper_pose > self.EMPTY
        self._holding = within and (self._holding or (self._closing and still))
        if not self._holding:
            return self._pick_up(arm, scene.pose_in_base("plug", "arm"), still)
        seated = compose(scene.pose_in_base("port_seat", "arm"), np.array([0, 0, PLUG.reach, 0, 0, 0, 1.0]))
        goal = compose(seated, invert(scene.pose_in_tcp("plug", "arm")))
        return np.append(self._insertion.towards(arm, goal), -1.0)

    def _pick_up(self, arm: ArmState, plug: np.ndarray, closed: bool) -> np.ndarray:
        self._insertion.begin()
        if self._closing and closed:  # on nothing
            self._closing = self._descending = False
        target = compose(plug, invert(np.array(self._task.grasp)))
        off = displacement(arm.tcp_pose, target)
        beside, turned = np.linalg.norm(off[:2]), np.linalg.norm(off[3:])
        self._descending = self._descending or (beside < self.ALIGNED and turned < self.TURNED)
        self._closing = self._closing or (self._descending and abs(off[2]) < self.DOWN)
        if not self._descending:
            target[2] += self.ABOVE
        gripper = -1.0 if self._closing else 1.0
        return np.append(expert_displacement(self._setup, arm.tcp_pose, target), gripper)
