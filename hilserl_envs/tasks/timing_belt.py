"""TimingBelt: put a timing belt round two pulleys while the other arm holds the tensioner back.

Numbers of the paper: two arms, twelve-dimensional action without grippers, 200 steps, 2 cm
of randomisation (+-1 cm of both arms' reset poses; the drive is bolted down, as on the real
robot's board, and the arms start anywhere over it). Ours: everything about the drive and
the belt, which are those of a small desktop machine: 5 mm pitch, 342 mm around, 5.5 N of
tension.

Without a gripper in the action the belt has to leave the fingers by itself. The left
fingers stand a little closer than the belt is thick: enough to carry it level, so little
that it slips out upwards when the hand goes up from a belt that its flanges hold; or
earlier, when the belt is pulled or catches. The right fingers are closed and push the
tensioner's handle. Its travel is just enough for the belt to pass both flanges, with 3 mm
to spare at each end; how the belt sits in the fingers differs between episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import compose, invert, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera, wrist_cameras
from hilserl_envs.tasks.task import Expert, Task, expert_displacement
from hilserl_envs.twin.hand import FINGER_TRAVEL
from hilserl_envs.twin.props import Belt, Drive, Pulley, add_belt, add_drive, lay_belt, winding

PULLEY = Pulley(radius=0.020, groove=0.0070, flange_radius=0.0235)
DRIVE = Drive(distance=0.100, height=0.045, travel=(-0.020, 0.010), stiffness=500.0, spring_at_rest=0.022)
BELT = Belt(
    length=0.342, end_radius=0.030, thickness=0.0044, width=0.0060, mass=0.012, links=32,
    bending=4.5e-5, edge_bending=2.8e-3,
)  # fmt: skip
DRIVE_POSE = (0.40, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
BASES = {"left": (-0.06, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), "right": (0.96, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)}
# In the middle between the pulleys with the tensioner held back, where the belt goes over both.
THREADING_X = DRIVE_POSE[0] + DRIVE.travel[0] / 2  # [m]
HANDLE_X = DRIVE_POSE[0] + DRIVE.distance / 2 + DRIVE.handle_offset  # with the tensioner at 0 [m]
# Fingers that aim this much closer than the belt is thick pinch it with about 1 N each [m].
PINCH = 0.0004
FINGERTIP = 0.0095  # below the TCP [m]
FINGER_HALF_DEPTH = 0.0085  # of a pad, along the hand's x [m]
SETTLE_TIME = 0.5  # until the belt hangs still [s]
STILL = 0.002  # speed [m/s] below which belt and tensioner rest


def _setup(name: str, start: tuple, low: tuple, high: tuple, gripper: float) -> ArmSetup:
    """An arm by where its TCP starts, and may go, in the world."""
    base = BASES[name]
    start, *corners = (
        compose(invert(np.array(base)), np.array([*point, 0.0, 0.0, 0.0, 1.0]))[:3]
        for point in (start, low, high)
    )
    clips = {f"translational_clip_{side}{axis}": 0.015 for side in ("", "neg_") for axis in "xyz"}
    return ArmSetup(
        reset_pose=(*start.tolist(), 1.0, 0.0, 0.0, 0.0),
        limits=Limits(
            low=tuple(np.min(corners, axis=0)),
            high=tuple(np.max(corners, axis=0)),
            rotation=(0.25, 0.25, 0.25),
        ),
        compliance=Compliance(**clips),
        reset_compliance=Compliance(**clips),
        position_range=(0.01, 0.01, 0.0),
        translation_scale=0.015,
        rotation_scale=0.1,
        gripper_at_reset=gripper,
        base_pose=base,
    )


def _arms() -> dict[str, ArmSetup]:
    x, y, z = THREADING_X, -BELT.end_radius, DRIVE.height
    low, high = z - 0.012, z + 0.12
    pinching = (BELT.thickness - PINCH) / (2 * FINGER_TRAVEL)
    return {
        "left": _setup(
            "left", (x, y, z + 0.055), (x - 0.05, y - 0.05, low), (x + 0.05, y + 0.06, high), pinching
        ),
        "right": _setup(
            "right", (HANDLE_X + 0.04, 0.0, z + 0.055), (HANDLE_X - 0.025, -0.06, low),
            (HANDLE_X + 0.09, 0.06, high), 0.0,
        ),
    }  # fmt: skip


def _cameras() -> dict[str, Camera]:
    return {
        "left_wrist": wrist_cameras("left/")["left/wrist_1"],
        "right_wrist": wrist_cameras("right/")["right/wrist_2"],
        "side": Camera(position=(0.43, 0.42, 0.22), look_at=(0.43, 0.0, 0.065), fovy=34.0),
    }


@checked_names
@dataclass(frozen=True)
class TimingBelt(Task):
    """Settings of the task.

    Objects of the privileged state: four points of the belt (`belt_at_0` where it is held at
    reset, the others a quarter of the belt farther each, counter-clockwise from above), and
    the tensioner's handle.

    Args:
        least_tension: of a mounted belt [N].
        withdrawal: how far [m] the fingertips must be off belt and handle.
        grasp_shift: half-range of where the belt sits in the fingers, along it [m].
        grasp_tilt: half-range of its tilt in the fingers' plane [rad].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=_arms)
    cameras: Mapping[str, Camera] = field(default_factory=_cameras)
    overview: Camera = Camera(position=(0.53, 0.66, 0.36), look_at=(0.43, 0.0, 0.10), fovy=33.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque")
    objects: tuple[str, ...] = (
        *(f"belt_at_{i}" for i in range(0, BELT.links, BELT.links // 4)),
        "drive_handle",
    )
    horizon: int = 200
    reset_lift: float = ranged(0.06, 0.0, 0.3)
    least_tension: float = ranged(4.0, 0.0, 20.0)
    withdrawal: float = ranged(0.015, 0.0, 0.05)
    grasp_shift: float = ranged(0.003, 0.0, 0.01)
    grasp_tilt: float = ranged(math.radians(2.0), 0.0, 0.2)

    def build(self, spec: mujoco.MjSpec) -> None:
        # A link's motion depends on that of few others, which halves the time of a step.
        spec.option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
        add_drive(spec, "drive", PULLEY, DRIVE, np.array(DRIVE_POSE))
        add_belt(spec, "belt", BELT)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        shift = rng.uniform(-self.grasp_shift, self.grasp_shift)
        tilt = rng.uniform(-self.grasp_tilt, self.grasp_tilt)
        if in_motion and _as_at_reset(scene):
            return
        scene.set_joint("drive_tension", DRIVE.travel[1])
        # The TCP's z points down and its x along the belt: half a turn about x.
        flat = np.array([shift, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
        flat[3:] = compose(np.array([0, 0, 0, *rotvec_to_quat(np.array([0, tilt, 0]))]), flat)[3:]
        lay_belt(scene, "belt", BELT, compose(scene.pose("left/tcp"), flat))
        scene.refresh()
        scene.settle(SETTLE_TIME)

    def succeeded(self, state: RobotState, scene) -> bool:
        return scene is not None and (
            mounted(belt_points(scene), tensioner(scene))
            and DRIVE.spring_force(tensioner(scene)) / 2 > self.least_tension
            and self._withdrawn(scene)
            and _at_rest(scene)
        )

    def _withdrawn(self, scene) -> bool:
        """Whether the spring alone pulls at the belt: both hands are off."""
        over_belt = scene.pose("left/tcp")[2] - FINGERTIP - DRIVE.height - BELT.width / 2
        right, handle = scene.pose("right/tcp"), scene.pose("drive_handle")
        behind = right[0] - FINGER_HALF_DEPTH - handle[0]
        over_handle = right[2] - FINGERTIP - DRIVE.handle_top
        return bool(min(over_belt, max(behind, over_handle)) > self.withdrawal)

    def failed(self, state: RobotState, scene) -> bool:
        """The belt is out of the fingers and not where they could press it on."""
        if scene is None or _held(scene):
            return False
        points = belt_points(scene)
        below = points[:, 2].min() < DRIVE.height - PULLEY.groove / 2 - PULLEY.flange_thickness
        return bool(below or not round_both(points, tensioner(scene)))

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self, rng)


def belt_points(scene) -> np.ndarray:
    """Middles (links, 3) of the belt's links in the drive's frame [m]."""
    drive = np.array(DRIVE_POSE[:3])
    return np.array([scene.pose(f"belt_at_{i}")[:3] for i in range(BELT.links)]) - drive


def tensioner(scene) -> float:
    """Position [m] of the tensioner, 0 where the belt is taut."""
    return float(scene.pose("drive_sprung")[0] - DRIVE_POSE[0] - DRIVE.distance / 2)


def round_both(points: np.ndarray, tensioner: float) -> bool:
    """Whether a belt through points (links, 3) goes once round each pulley's axis, seen from above."""
    axes = (-DRIVE.distance / 2, DRIVE.distance / 2 + tensioner)
    return all(abs(winding(points[:, :2], np.array([x, 0.0]))) == 1 for x in axes)


def mounted(points: np.ndarray, tensioner: float) -> bool:
    """Whether the belt is round both pulleys, all of it between their flanges."""
    off = np.abs(points[:, 2] - DRIVE.height).max()
    return bool(off < PULLEY.groove / 2 and round_both(points, tensioner))


def _at_rest(scene) -> bool:
    speeds = [*scene.data.joint("belt").qvel[:3], *scene.data.joint("drive_tension").qvel]
    return bool(np.abs(speeds).max() < STILL)


def _held(scene) -> bool:
    """Whether some part of the belt is between the left fingers."""
    tcp = scene.pose("left/tcp")
    points = belt_points(scene) + DRIVE_POSE[:3]
    return bool(np.linalg.norm(points - tcp[:3], axis=1).min() < FINGERTIP + BELT.width / 2)


def _as_at_reset(scene) -> bool:
    """Whether the belt is in the left fingers as it was put there, neither slipped nor bent aside."""
    in_tcp = [scene.pose_in_tcp(f"belt_at_{i}", "left") for i in (0, BELT.links // 2)]
    far_side = np.array([0.0, -2 * BELT.end_radius, 0.0])
    return bool(np.linalg.norm(in_tcp[0][:3]) < 0.008 and np.linalg.norm(in_tcp[1][:3] - far_side) < 0.015)


class _Expert:
    """Left over the pulleys, right holds the tensioner back, left down, right lets go, left up.

    Needs the scene: it sees where the belt hangs.
    """

    AHEAD = 0.005  # of the handle's face: fingers this far have to go back over it [m]
    BEHIND = 0.012  # between fingers and handle before pushing [m]
    OVER = 0.030  # belt above the grooves while the tensioner goes back [m]
    ALIGNED = 0.001  # [m] and
    HELD_BACK = 0.001  # from the end of the tensioner's travel [m]: go down
    PATIENCE = 25  # steps going down until it must have caught
    LET_GO = 0.010  # between fingers and handle, when the left hand may go [m]

    def __init__(self, task: TimingBelt, rng: np.random.Generator):
        self._task, self._rng = task, rng
        self._pushing, self._going_down, self._on, self._off = False, 0, False, False
        self._nudge = np.zeros(2)

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert of TimingBelt looks at where the belt hangs: only the twin knows")
        points, back = belt_points(scene), tensioner(scene)
        self._on = self._on or mounted(points, back)
        drive = np.array(DRIVE_POSE[:3])
        poses = {name: scene.pose(f"{name}/tcp") for name in BASES}
        positions = {name: pose[:3] - drive for name, pose in poses.items()}
        gap = positions["right"][0] - FINGER_HALF_DEPTH - (back + HANDLE_X - drive[0])
        self._off = self._off or (self._on and gap > self.LET_GO)
        goals = {
            "left": self._left(positions["left"], points, back),
            "right": self._right(positions["right"], gap),
        }
        action = []
        for name, setup in self._task.arms.items():
            world_in_base = invert(np.array(BASES[name]))
            goal = compose(world_in_base, np.array([*(goals[name] + drive), 0, 0, 0, 1.0]))
            goal[3:] = setup.reset_pose[3:]
            action.append(expert_displacement(setup, compose(world_in_base, poses[name]), goal))
        return np.concatenate(action)

    def _left(self, tcp: np.ndarray, points: np.ndarray, back: float) -> np.ndarray:
        """Where the left TCP goes next, in the drive's frame."""
        if self._on:
            # The span that the fingers hold straightens as the belt tightens.
            up = 0.02 if self._off else 0.0
            return np.array([tcp[0], -PULLEY.radius - BELT.thickness / 2, tcp[2] + up])
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        off = np.array([DRIVE.travel[0] / 2, 0.0]) + self._nudge - middle[:2]
        ready = back < DRIVE.travel[0] + self.HELD_BACK and np.abs(off).max() < self.ALIGNED
        low = DRIVE.height + (0.0 if self._going_down else self.OVER)
        if self._going_down:
            self._going_down += 1
            if self._going_down > self.PATIENCE:
                self._going_down, self._nudge = 0, self._rng.uniform(-0.002, 0.002, 2)
        elif ready and abs(middle[2] - low) < 0.005:
            self._going_down = 1
        return np.array([*(tcp[:2] + off), tcp[2] + np.clip(low - points[:, 2].mean(), -0.006, 0.015)])

    def _right(self, tcp: np.ndarray, gap: float) -> np.ndarray:
        """Where the right TCP goes next, in the drive's frame."""
        low, high = DRIVE.height, DRIVE.height + 0.05
        if self._on:
            if gap < self.LET_GO:
                return np.array([tcp[0] + 0.008, 0.0, low])
            return np.array([tcp[0] + self.BEHIND - gap, 0.0, high])
        if self._pushing:
            return np.array([tcp[0] - 1.0, 0.0, low])
        over = tcp[2] > DRIVE.handle_top + FINGERTIP
        if gap < -self.AHEAD and not over:
            return np.array([tcp[0], tcp[1], high])
        astray = abs(gap - self.BEHIND) > 0.006 or abs(tcp[1]) > 0.006
        self._pushing = not astray and tcp[2] < low + 0.004
        return np.array([tcp[0] + self.BEHIND - gap, 0.0, high if astray and over else low])
