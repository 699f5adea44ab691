"""SsdAssembly: press a solid state drive, held in the gripper, into its M.2 socket.

Numbers of the paper: 2 cm and 1 degree of randomisation (+-1 cm, +-0.5 degrees of the reset
pose), 100 steps. The drive is a 2280: 22 x 80 mm of 0.8 mm board, its edge 19.85 mm long,
key M as far from the middle as its pins (59 to 66 of 75, 0.25 mm apart) say. Ours: the
socket stands upright, as on risers and small boards, so the edge goes straight in; in a
socket that lies on the board the drive would then be pressed flat and screwed down, which is
left out, as are the springs of the contacts. As in RamInsertion nobody knows how the drive
sits in the fingers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import checked_names, ranged
from hilserl_envs.tasks.insertion import HeldInsertion, arm_above
from hilserl_envs.tasks.insertion_expert import Touch
from hilserl_envs.tasks.setup import ArmSetup, Camera, Pose, wrist_cameras
from hilserl_envs.twin.props import Card, Slot, add_board, add_card, add_slot

DRIVE = Card(
    length=0.022, height=0.080, thickness=0.0008, mass=0.008, shoulder=0.001075, edge_height=0.004,
    contact_height=0.0025, key_offset=0.006125, key_width=0.0012,
    chips=((0, -0.026, 0.0065, 0.0065), (0, -0.006, 0.0075, 0.0085), (0, 0.016, 0.0075, 0.0085)),
)  # fmt: skip
SOCKET = Slot(
    clearance=0.0002, end_clearance=0.0002, depth=0.003, lead_in=0.0006, tower_height=0.0001,
    end_lead_in=0.0005, key_width=0.0009, key_height=0.002,
)  # fmt: skip
BOARD_TOP = 0.010  # [m]
SOCKET_POSE = (0.5, 0.0, BOARD_TOP, 0.0, 0.0, 0.0, 1.0)
GRIP_OFFSET = 0.008  # the drive's middle is this far below the TCP [m]: its end stays clear of the palm
SEATED_HEIGHT = BOARD_TOP + SOCKET.floor + DRIVE.height / 2 + GRIP_OFFSET  # of the TCP [m]
TARGET_POSE = (*SOCKET_POSE[:2], SEATED_HEIGHT, 1.0, 0.0, 0.0, 0.0)


def _setup() -> ArmSetup:
    return arm_above(TARGET_POSE, (0.01, 0.01, 0.0), (0.0, 0.0, math.radians(0.5)))


@checked_names
@dataclass(frozen=True, kw_only=True)
class SsdAssembly(HeldInsertion):
    """Settings of the task; see `HeldInsertion`."""

    FIT, THICKNESS = SOCKET, DRIVE.thickness
    TOUCH = Touch(above=0.010, entered=0.0018, at_an_end=0.005, lever=0.048)

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {"arm": _setup()})
    cameras: Mapping[str, Camera] = field(default_factory=wrist_cameras)
    overview: Camera = Camera(position=(0.77, -0.30, 0.22), look_at=(0.495, 0.0, 0.064), fovy=33.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque")
    objects: tuple[str, ...] = ("drive", "socket")
    horizon: int = 100
    grasp: Pose = (0.0, 0.0, GRIP_OFFSET, 1.0, 0.0, 0.0, 0.0)
    target_pose: Pose = TARGET_POSE
    grasp_shift: tuple[float, float] = ranged((0.002, 0.0005), 0.0, 0.01)

    def build(self, spec: mujoco.MjSpec) -> None:
        add_board(spec, "board", (0.12, 0.09, BOARD_TOP / 2), (*SOCKET_POSE[:2], BOARD_TOP / 2))
        add_slot(spec, "socket", DRIVE, SOCKET, np.array(SOCKET_POSE))
        add_card(spec, "drive", DRIVE)
