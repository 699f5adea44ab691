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

from hilserl_envs.errors import checked_names
from hilserl_envs.tasks.insertion import HeldInsertion, arm_above
from hilserl_envs.tasks.insertion_expert import Touch
from hilserl_envs.tasks.setup import ArmSetup, Camera, Pose, wrist_cameras
from hilserl_envs.twin.props import LATCH_OPEN, Card, Notch, Slot, add_board, add_card, add_slot

MODULE = Card(
    length=0.13335, height=0.03125, thickness=0.0014, mass=0.035, edge_height=0.012, contact_height=0.0045,
    key_offset=0.0043, key_width=0.0025, notch=Notch(height=0.012, size=0.0045, depth=0.0015),
    chips=tuple((x, 0.0039, 0.0047, 0.0055) for x in (-0.0533, -0.032, 0.032, 0.0533)),
)  # fmt: skip
SLOT = Slot(clearance=0.0003, end_clearance=0.0004, depth=0.0065)
BOARD_TOP = 0.010  # [m]
SLOT_POSE = (0.5, 0.0, BOARD_TOP, 0.0, 0.0, 0.0, 1.0)
# The fingers hold the module by its upper half: its middle is this far below the TCP [m].
GRIP_OFFSET = 0.006
SEATED_HEIGHT = BOARD_TOP + SLOT.floor + MODULE.height / 2 + GRIP_OFFSET  # of the TCP [m]
TARGET_POSE = (SLOT_POSE[0], SLOT_POSE[1], SEATED_HEIGHT, 1.0, 0.0, 0.0, 0.0)


def _setup() -> ArmSetup:
    return arm_above(TARGET_POSE, (0.02, 0.02, 0.0), (0.0, 0.0, math.radians(3)))


@checked_names
@dataclass(frozen=True, kw_only=True)
class RamInsertion(HeldInsertion):
    """Settings of the task; see `HeldInsertion`."""

    FIT, THICKNESS = SLOT, MODULE.thickness
    TOUCH = Touch(above=0.018, entered=0.006, at_an_end=0.03)

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=wrist_cameras)
    overview: Camera = Camera(position=(0.77, -0.30, 0.18), look_at=(0.495, 0.0, 0.064), fovy=33.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque")
    objects: tuple[str, ...] = ("module", "slot")
    horizon: int = 100
    grasp: Pose = (0.0, 0.0, GRIP_OFFSET, 1.0, 0.0, 0.0, 0.0)
    target_pose: Pose = TARGET_POSE

    def build(self, spec: mujoco.MjSpec) -> None:
        add_board(spec, "board", (0.12, 0.09, BOARD_TOP / 2), (SLOT_POSE[0], SLOT_POSE[1], BOARD_TOP / 2))
        add_slot(spec, "slot", MODULE, SLOT, np.array(SLOT_POSE))
        add_card(spec, "module", MODULE)

    def ready_socket(self, scene) -> None:
        for side in ("left", "right"):
            scene.set_joint(f"slot_latch_{side}", LATCH_OPEN)
