"""RamInsertion: press a memory module, held in the gripper, into its slot.

Numbers of the paper and its public code: 4 cm and 6 degrees of randomisation (+-2 cm,
+-3 degrees of the reset pose), 100 steps, two wrist cameras, action scales, both
compliance sets. Sizes of the module are JEDEC's for a DDR4 DIMM (MO-309), the 0.3 mm
clearance, chamfers and contact settings are those that made the insertion stable
and jam when skewed. The slot is fixed and the arm starts anywhere above it, as on the
real robot; what differs between episodes and can't be known in advance is how the
module sits in the fingers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import checked_names
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import compose, displacement, invert, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.task import ArmSetup, Camera, Expert, Pose, Task, expert_displacement, wrist_cameras
from hilserl_envs.twin.props import LATCH_OPEN, Card, Slot, add_board, add_card, add_slot

MODULE = Card(
    length=0.13335, height=0.03125, thickness=0.0014, mass=0.035, contact_height=0.0075,
    key_offset=0.0135, key_width=0.0024, notch_height=0.012, notch_size=0.0045, notch_depth=0.0015,
)  # fmt: skip
SLOT = Slot(clearance=0.0003, end_clearance=0.0004, depth=0.0065)
BOARD_TOP = 0.010  # [m]
SLOT_POSE = (0.5, 0.0, BOARD_TOP, 0.0, 0.0, 0.0, 1.0)
# The fingers hold the module by its upper half: its middle is this far below the TCP [m].
GRIP_OFFSET = 0.006
SEATED_HEIGHT = BOARD_TOP + SLOT.floor + MODULE.height / 2 + GRIP_OFFSET  # of the TCP [m]
SETTLE_TIME = 0.15  # until the fingers hold the module still [s]


def _setup() -> ArmSetup:
    x, y = SLOT_POSE[:2]
    return ArmSetup(
        reset_pose=(x, y, SEATED_HEIGHT + 0.04, 1.0, 0.0, 0.0, 0.0),
        limits=Limits(
            low=(x - 0.04, y - 0.04, SEATED_HEIGHT - 0.012), high=(x + 0.04, y + 0.04, SEATED_HEIGHT + 0.09),
            rotation=(0.12, 0.12, 0.2),
        ),
        # The public code's COMPLIANCE_PARAM and PRECISION_PARAM (whose clips of 0.5 the
        # controller's own range ends at 0.1).
        compliance=Compliance(
            translational_stiffness=2000, translational_damping=89, rotational_stiffness=150, rotational_damping=7,
            translational_clip_x=0.0075, translational_clip_neg_x=0.002, translational_clip_y=0.0016,
            translational_clip_neg_y=0.0016, translational_clip_z=0.0055, translational_clip_neg_z=0.005,
            rotational_clip_x=0.01, rotational_clip_neg_x=0.01, rotational_clip_y=0.025,
            rotational_clip_neg_y=0.025, rotational_clip_z=0.005, rotational_clip_neg_z=0.005,
        ),
        reset_compliance=Compliance(
            translational_stiffness=2000, translational_damping=89, rotational_stiffness=250, rotational_damping=9,
            **{f"{kind}_clip_{side}{axis}": 0.1 for kind in ("translational", "rotational") for side in ("", "neg_") for axis in "xyz"},
        ),
        position_range=(0.02, 0.02, 0.0),
        rotation_range=(0.0, 0.0, math.radians(3)),
        translation_scale=0.01,
        rotation_scale=0.06,
        gripper_at_reset=0.0,
    )  # fmt: skip


@checked_names
@dataclass(frozen=True)
class RamInsertion(Task):
    """Settings of the task.

    Args:
        target_pose: TCP pose of a seated module in the arm's base frame; measure it on
            the real robot. In the twin it follows from the slot.
        seated_gap: how far [m] an end of the edge may be above the slot's floor.
        target_tolerance: on a real robot, how far [m] the TCP may be from target_pose.
        grasp_shift: half-range of where the module sits in the fingers, along it and up [m].
        grasp_tilt: half-range of its tilt in the fingers' plane [rad].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=wrist_cameras)
    overview: Camera = Camera(position=(0.86, -0.34, 0.30), look_at=(0.49, 0.0, 0.09), fovy=38.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque")
    objects: tuple[str, ...] = ("module", "slot")
    horizon: int = 100
    target_pose: Pose = (SLOT_POSE[0], SLOT_POSE[1], SEATED_HEIGHT, 1.0, 0.0, 0.0, 0.0)
    seated_gap: float = 0.0006
    target_tolerance: float = 0.0015
    grasp_shift: float = 0.001
    grasp_tilt: float = math.radians(1.0)

    def build(self, spec: mujoco.MjSpec) -> None:
        add_board(spec, "board", (0.12, 0.09, BOARD_TOP / 2), (SLOT_POSE[0], SLOT_POSE[1], BOARD_TOP / 2))
        add_slot(spec, "slot", MODULE, SLOT, np.array(SLOT_POSE))
        add_card(spec, "module", MODULE)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        shift_x, shift_z = rng.uniform(-self.grasp_shift, self.grasp_shift, 2)
        tilt = rng.uniform(-self.grasp_tilt, self.grasp_tilt)
        for side in ("left", "right"):
            scene.set_joint(f"slot_latch_{side}", LATCH_OPEN)
        scene.refresh()
        if in_motion and _held(scene):
            return
        # The TCP's z points down and its x along the slot: half a turn about x.
        upright = np.array([shift_x, 0.0, GRIP_OFFSET + shift_z, 1.0, 0.0, 0.0, 0.0])
        upright[3:] = compose(np.array([0, 0, 0, *rotvec_to_quat(np.array([0, tilt, 0]))]), upright)[3:]
        scene.grip("module", "arm", upright, MODULE.thickness)
        scene.settle(SETTLE_TIME)

    def succeeded(self, state: RobotState, scene) -> bool:
        if scene is None:
            missing = displacement(state.arms["arm"].tcp_pose, np.array(self.target_pose))
            return bool(np.linalg.norm(missing[:3]) < self.target_tolerance)
        return bool(seated_gap(scene) < self.seated_gap)

    def failed(self, state: RobotState, scene) -> bool:
        return scene is not None and not _held(scene)

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self, rng)


def seated_gap(scene) -> float:
    """How far [m] the higher end of the module's edge is above the slot's floor.

    Infinite where the edge is not over the slot.
    """
    seat = invert(scene.pose("slot_seat"))
    ends = np.array([compose(seat, scene.pose(f"module_edge_{side}"))[:3] for side in ("left", "right")])
    beside = np.abs(ends[:, 1]).max() > SLOT.clearance + 0.0002 or abs(ends[:, 0].sum()) > 2 * SLOT.end_clearance
    return math.inf if beside else float(ends[:, 2].max())


def _held(scene) -> bool:
    """Whether the module is still in the fingers: within a pad's size of its place."""
    return bool(np.linalg.norm(scene.pose_in_tcp("module", "arm")[:3]) < 0.02)


class _Expert:
    """Above the slot, down to contact, then press while searching in small circles.

    Acts on the TCP pose and force alone, so it runs on a real robot too: it knows where
    the slot is, not how the module sits in the fingers.
    """

    ABOVE = 0.016  # TCP over its seated height before going down [m]: just clear of the latches
    CONTACT_FORCE = 3.0  # pressing harder [N] than this is contact

    def __init__(self, task: RamInsertion, rng: np.random.Generator):
        self._setup, self._target = task.arms["arm"], np.array(task.target_pose)
        self._phase = rng.uniform(0, 2 * math.pi)
        self._searching = 0

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        pose, target = state.arms["arm"].tcp_pose, self._target.copy()
        off = displacement(pose, target)
        height = pose[2] - self._target[2]
        if not self._searching and (np.linalg.norm(off[:2]) > 0.0015 or abs(off[5]) > 0.01) and height > self.ABOVE - 0.004:
            target[2] += max(self.ABOVE, height - 0.01)
            return expert_displacement(self._setup, pose, target)
        target[2] -= 0.006  # press: the clip of the law bounds the force
        if self._searching or state.arms["arm"].tcp_force[2] > self.CONTACT_FORCE:
            self._searching += 1
            angle = self._phase + 0.9 * self._searching
            radius = 0.0012 * min(1.0, self._searching / 10)
            target[0] += radius * math.cos(angle)
            target[1] += 0.5 * radius * math.sin(angle)
            tilt = 0.03 * math.sin(0.7 * angle)
            target = compose(target, np.array([0, 0, 0, *rotvec_to_quat(np.array([0, tilt, 0]))]))
        return expert_displacement(self._setup, pose, target)
