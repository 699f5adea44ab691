"""Insertion of a rigid part into a socket: what RamInsertion, SsdAssembly and UsbPickupInsertion share.

A part has two ends of a leading edge (sites `{part}_edge_left` and `_right`), a socket a seat
in the middle of its floor (site `{socket}_seat`). Part and seat have their frames alike: x
along the edge, y through the part, z out of the socket, so a seated part's axes are the seat's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hilserl_envs.errors import checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import compose, displacement, invert, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.insertion_expert import InsertionExpert, Touch, axes_of
from hilserl_envs.tasks.setup import ArmSetup, Pose, Vector
from hilserl_envs.tasks.task import Expert, Task
from hilserl_envs.twin.props import Socket

HELD = 0.02  # middle of a part in the fingers to the TCP [m], at most: a pad's size
SETTLE_TIME = 0.15  # until the fingers hold a part still [s]
OFF_WALL = 0.0002  # a seated part may be this far in a wall that gives way [m]

# RAM insertion's COMPLIANCE_PARAM and PRECISION_PARAM in the public code (the clips of 0.5 of
# the latter end at 0.1, where the controller's own range does).
COMPLIANCE = Compliance(
    translational_stiffness=2000, translational_damping=89,
    rotational_stiffness=150, rotational_damping=7,
    translational_clip_x=0.0075, translational_clip_neg_x=0.002, translational_clip_y=0.0016,
    translational_clip_neg_y=0.0016, translational_clip_z=0.0055, translational_clip_neg_z=0.005,
    rotational_clip_x=0.01, rotational_clip_neg_x=0.01, rotational_clip_y=0.025,
    rotational_clip_neg_y=0.025, rotational_clip_z=0.005, rotational_clip_neg_z=0.005,
)  # fmt: skip
RESET_COMPLIANCE = Compliance(
    translational_stiffness=2000, translational_damping=89,
    rotational_stiffness=250, rotational_damping=9,
    **{
        f"{kind}_clip_{side}{axis}": 0.1
        for kind in ("translational", "rotational") for side in ("", "neg_") for axis in "xyz"
    },
)  # fmt: skip


def arm_above(target_pose: Pose, position_range: Vector, rotation_range: Vector) -> ArmSetup:
    """An arm that starts 4 cm above the TCP pose of a part that is seated from above, and holds it."""
    x, y, z = target_pose[:3]
    return ArmSetup(
        reset_pose=(x, y, z + 0.04, *target_pose[3:]),
        limits=Limits(
            low=(x - 0.04, y - 0.04, z - 0.012),
            high=(x + 0.04, y + 0.04, z + 0.09),
            rotation=(0.12, 0.12, 0.2),
        ),
        compliance=COMPLIANCE,
        reset_compliance=RESET_COMPLIANCE,
        position_range=position_range,
        rotation_range=rotation_range,
        translation_scale=0.01,
        rotation_scale=0.06,
        gripper_at_reset=0.0,
    )


@checked_names
@dataclass(frozen=True, kw_only=True)
class Insertion(Task):
    """Settings of an insertion by one arm; `objects` are the part and its socket, in this order.

    Args:
        grasp: nominal pose of the part in the TCP's frame.
        target_pose: TCP pose of a part so held when it is seated, in the arm's base frame.
        seated_gap: how far [m] an end of the edge may be above the socket's floor.
    """

    FIT: ClassVar[Socket]
    TOUCH: ClassVar[Touch]

    grasp: Pose
    target_pose: Pose
    seated_gap: float = ranged(0.0006, 0.0, 0.01)

    def gap(self, scene) -> float:
        """How far [m] the higher end of the part's edge is above the socket's floor.

        Infinite where the edge is not over the opening.
        """
        part, socket = self.objects
        seat = invert(scene.pose(f"{socket}_seat"))
        ends = np.array([compose(seat, scene.pose(f"{part}_edge_{side}"))[:3] for side in ("left", "right")])
        across, along = np.abs(ends[:, 1]).max(), abs(ends[:, 0].mean())
        beside = across > self.FIT.clearance + OFF_WALL or along > self.FIT.end_clearance
        return math.inf if beside else float(ends[:, 2].max())

    def held(self, scene) -> bool:
        """Whether the part is within the fingers' reach: within a pad's size of the TCP."""
        return bool(np.linalg.norm(scene.pose_in_tcp(self.objects[0], "arm")[:3]) < HELD)

    def succeeded(self, state: RobotState, scene) -> bool:
        return scene is not None and bool(self.gap(scene) < self.seated_gap)


@checked_names
@dataclass(frozen=True, kw_only=True)
class HeldInsertion(Insertion):
    """Settings of an insertion whose part is in the fingers from the start, not quite known how.

    Measure target_pose on the real robot; in the twin it follows from the socket.

    Args:
        grasp_shift: half-ranges of where the part sits in the fingers: along its edge, and
            towards the socket [m].
        grasp_tilt: half-range of its tilt in the fingers' plane [rad].
        target_tolerance: on a real robot, how far [m] the TCP may be from target_pose.
    """

    THICKNESS: ClassVar[float]  # of the part between the fingers [m]

    grasp_shift: tuple[float, float] = ranged((0.0025, 0.001), 0.0, 0.01)
    grasp_tilt: float = ranged(math.radians(2.0), 0.0, 0.2)
    target_tolerance: float = ranged(0.0015, 0.0, 0.05)

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        shift_along, shift_inward = rng.uniform(-1, 1, 2) * self.grasp_shift
        tilt = rng.uniform(-self.grasp_tilt, self.grasp_tilt)
        self.ready_socket(scene)
        scene.refresh()
        if in_motion and self.held(scene):
            return
        grasp = np.array(self.grasp)
        along, across, inward = axes_of(grasp)
        pose = grasp.copy()
        pose[:3] += shift_along * along + shift_inward * inward
        pose[3:] = compose(np.array([0, 0, 0, *rotvec_to_quat(tilt * across)]), grasp)[3:]
        scene.grip(self.objects[0], "arm", pose, self.THICKNESS)
        scene.settle(SETTLE_TIME)

    def ready_socket(self, scene) -> None:
        """Make the socket ready for a part, as by hand."""

    def succeeded(self, state: RobotState, scene) -> bool:
        if scene is not None:
            return super().succeeded(state, scene)
        missing = displacement(state.arms["arm"].tcp_pose, np.array(self.target_pose))
        return bool(np.linalg.norm(missing[:3]) < self.target_tolerance)

    def failed(self, state: RobotState, scene) -> bool:
        return scene is not None and not self.held(scene)

    def expert(self, rng: np.random.Generator) -> Expert:
        """It knows where the socket is, not how the part sits in the fingers; it runs on a real robot too."""
        insertion = InsertionExpert(self.arms["arm"], np.array(self.grasp), self.TOUCH, rng)
        goal = np.array(self.target_pose)
        return lambda state, scene: insertion.towards(state.arms["arm"], goal)
