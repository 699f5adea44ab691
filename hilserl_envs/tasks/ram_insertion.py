"""RamInsertion: press a memory module, held in the gripper, into its slot.

Numbers of the paper and its public code: 4 cm and 6 degrees of randomisation (+-2 cm,
+-3 degrees of the reset pose), 100 steps, two wrist cameras, action scales, both
compliance sets. Length, height and thickness of the module are JEDEC's for a DDR4 DIMM
(MO-309), its key lies where the published pin groups leave room. The slot is fixed and
the arm starts anywhere above it, as on the real robot; what differs between episodes and
can't be known in advance is how the module sits in the fingers. It may be off by more
than the slot guides in: then an end lands on a tower beside the slot, or one corner
reaches the floor and the press is too weak to turn the wrist. Straight down from above
the slot succeeds in one of four episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import compose, displacement, invert, quat_multiply, rotvec_to_quat
from hilserl_envs.robot import ArmState, RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera, Pose, wrist_cameras
from hilserl_envs.tasks.task import Expert, Task, expert_displacement
from hilserl_envs.twin.props import LATCH_OPEN, Card, Slot, add_board, add_card, add_slot

MODULE = Card(
    length=0.13335, height=0.03125, thickness=0.0014, mass=0.035, contact_height=0.0045,
    key_offset=0.0043, key_width=0.0025, notch_height=0.012, notch_size=0.0045, notch_depth=0.0015,
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
            translational_stiffness=2000, translational_damping=89,
            rotational_stiffness=150, rotational_damping=7,
            translational_clip_x=0.0075, translational_clip_neg_x=0.002, translational_clip_y=0.0016,
            translational_clip_neg_y=0.0016, translational_clip_z=0.0055, translational_clip_neg_z=0.005,
            rotational_clip_x=0.01, rotational_clip_neg_x=0.01, rotational_clip_y=0.025,
            rotational_clip_neg_y=0.025, rotational_clip_z=0.005, rotational_clip_neg_z=0.005,
        ),
        reset_compliance=Compliance(
            translational_stiffness=2000, translational_damping=89,
            rotational_stiffness=250, rotational_damping=9,
            **{
                f"{kind}_clip_{side}{axis}": 0.1
                for kind in ("translational", "rotational") for side in ("", "neg_") for axis in "xyz"
            },
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
        grasp_shift: half-ranges of where the module sits in the fingers: along it, and up [m].
        grasp_tilt: half-range of its tilt in the fingers' plane [rad].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=wrist_cameras)
    overview: Camera = Camera(position=(0.77, -0.30, 0.18), look_at=(0.495, 0.0, 0.064), fovy=33.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque")
    objects: tuple[str, ...] = ("module", "slot")
    horizon: int = 100
    target_pose: Pose = (SLOT_POSE[0], SLOT_POSE[1], SEATED_HEIGHT, 1.0, 0.0, 0.0, 0.0)
    seated_gap: float = ranged(0.0006, 0.0, SLOT.depth)
    target_tolerance: float = ranged(0.0015, 0.0, 0.05)
    grasp_shift: tuple[float, float] = ranged((0.0025, 0.001), 0.0, 0.01)
    grasp_tilt: float = ranged(math.radians(2.0), 0.0, 0.2)

    def build(self, spec: mujoco.MjSpec) -> None:
        add_board(spec, "board", (0.12, 0.09, BOARD_TOP / 2), (SLOT_POSE[0], SLOT_POSE[1], BOARD_TOP / 2))
        add_slot(spec, "slot", MODULE, SLOT, np.array(SLOT_POSE))
        add_card(spec, "module", MODULE)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        shift_x, shift_z = rng.uniform(-1, 1, 2) * self.grasp_shift
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
    across, along = np.abs(ends[:, 1]).max(), abs(ends[:, 0].mean())
    beside = across > SLOT.clearance + 0.0002 or along > SLOT.end_clearance
    return math.inf if beside else float(ends[:, 2].max())


def _held(scene) -> bool:
    """Whether the module is still in the fingers: within a pad's size of its place."""
    return bool(np.linalg.norm(scene.pose_in_tcp("module", "arm")[:3]) < 0.02)


class _Expert:
    """Down to contact, slide off the tower that an end lies on, then level and press.

    Acts on the TCP's pose, force and torque alone, so it runs on a real robot too: it
    knows where the slot is, not how the module sits in the fingers. Torque across the
    module over pressing force is how far along it the contact is.
    """

    ABOVE = 0.018  # TCP over its seated height before going down [m]: clear of the towers
    ALIGNED = 0.0006  # [m] and
    TURNED = 0.01  # [rad]: near enough to go down
    CONTACT_FORCE = 2.5  # pressing harder [N] than this is contact
    ENTERED = 0.006  # TCP over its seated height [m] when both ends are between the towers
    AT_AN_END = 0.03  # from the middle [m]
    LIGHTLY, FIRMLY = 0.003, 0.006  # equilibrium below the TCP [m]: 6 N, and all that the clip allows
    SLIDE = 0.0006  # along the slot [m] per step
    LEVELLING = 0.015  # turn [rad] per Nm and step

    def __init__(self, task: RamInsertion, rng: np.random.Generator):
        self._setup, self._target = task.arms["arm"], np.array(task.target_pose)
        self._direction = rng.choice([-1.0, 1.0])  # of sliding, when the torque does not tell
        self._above, self._shift, self._tilt = True, 0.0, 0.0

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        arm, target = state.arms["arm"], self._target.copy()
        height = arm.tcp_pose[2] - target[2]
        on_tower = False
        if not self._above and arm.tcp_force[2] > self.CONTACT_FORCE:
            on_tower = height > self.ENTERED
            self._feel(arm, on_tower)
        target[0] += self._shift
        target[3:] = quat_multiply(rotvec_to_quat(np.array([0, self._tilt, 0])), target[3:])
        off = displacement(arm.tcp_pose, target)
        if self._above and (np.abs(off[:2]).max() > self.ALIGNED or np.abs(off[3:]).max() > self.TURNED):
            target[2] += max(self.ABOVE, height - 0.01)
        else:
            self._above = False
            target[2] = arm.tcp_pose[2] - (self.LIGHTLY if on_tower else self.FIRMLY)
        return expert_displacement(self._setup, arm.tcp_pose, target)

    def _feel(self, arm: ArmState, on_tower: bool) -> None:
        """Change where and how level to press by what one contact tells."""
        if not on_tower:
            self._tilt += self.LEVELLING * arm.tcp_torque[1]
            return
        contact = -arm.tcp_torque[1] / arm.tcp_force[2]
        if abs(contact) > self.AT_AN_END:
            self._direction = -math.copysign(1.0, contact)
        self._shift += self._direction * self.SLIDE
