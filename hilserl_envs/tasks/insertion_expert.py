"""The scripted expert of insertions: above the socket, down to contact, search by touch, press."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hilserl_envs.poses import displacement, quat_multiply, rotate, rotvec_to_quat
from hilserl_envs.robot import ArmState
from hilserl_envs.tasks.setup import ArmSetup
from hilserl_envs.tasks.task import expert_displacement


@dataclass(frozen=True)
class Touch:
    """How to go by touch with one part and socket. TCP heights are over the seated one, out of the socket.

    Args:
        above: TCP height [m] before going in: clear of the socket.
        entered: TCP height [m] when both ends are in the opening.
        at_an_end: a contact farther than this [m] from the edge's middle tells which end it is.
        slide: along the edge [m] per step, off the tower that an end lies on.
        levelling: turn [rad] per Nm and step, while pressing.
        lever: how far ahead of the TCP [m] torques are taken, where forces along a short edge
            would hide those that tell where a contact is.
    """

    above: float
    entered: float
    at_an_end: float
    slide: float = 0.0006
    levelling: float = 0.015
    lever: float = 0.0


def axes_of(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors (3,) along a part's edge, across its plane, and into the socket.

    Args:
        part: its pose (7,), in whose parent frame the vectors are.
    """
    along, inward = rotate(part[3:], np.array([1.0, 0, 0])), rotate(part[3:], np.array([0, 0, -1.0]))
    return along, np.cross(inward, along), inward


class InsertionExpert:
    """Moves an arm that holds a part until the part is seated.

    Acts on the TCP's pose, force and torque, and on where the TCP is to be when the part is
    seated, as far as the caller knows. Torque across the part over pressing force is how far
    along the edge a contact is.
    """

    ALIGNED = 0.0006  # [m] and
    TURNED = 0.01  # [rad]: near enough to go in
    CONTACT_FORCE = 2.5  # pressing harder [N] than this is contact
    LIGHTLY, FIRMLY = 0.003, 0.006  # equilibrium ahead of the TCP [m]: 6 N, and all that clips allow

    def __init__(self, setup: ArmSetup, grasp: np.ndarray, touch: Touch, rng: np.random.Generator):
        self._setup, self._touch = setup, touch
        self._axes_in_tcp = axes_of(grasp)
        self._direction = rng.choice([-1.0, 1.0])  # of sliding, when the torque does not tell
        self.begin()

    def begin(self) -> None:
        """Start over: a part that was lost is in the fingers again."""
        self._above, self._shift, self._tilt = True, 0.0, 0.0

    def towards(self, arm: ArmState, goal: np.ndarray) -> np.ndarray:
        """Action part (6,) for this step; `goal` (7,) is the TCP pose of the seated part."""
        touch, target = self._touch, goal.copy()
        along, across, inward = (rotate(goal[3:], axis) for axis in self._axes_in_tcp)
        height = inward @ goal[:3] - inward @ arm.tcp_pose[:3]
        on_tower = False
        if not self._above and self._axes_in_tcp[2] @ arm.tcp_force > self.CONTACT_FORCE:
            on_tower = height > touch.entered
            self._feel(arm, on_tower)
        target[:3] += self._shift * along
        target[3:] = quat_multiply(rotvec_to_quat(self._tilt * across), target[3:])
        off = displacement(arm.tcp_pose, target)
        beside = off[:3] - (inward @ off[:3]) * inward
        if self._above and (np.abs(beside).max() > self.ALIGNED or np.abs(off[3:]).max() > self.TURNED):
            target[:3] -= max(touch.above, height - 0.01) * inward
        else:
            self._above = False
            ahead = arm.tcp_pose[:3] + (self.LIGHTLY if on_tower else self.FIRMLY) * inward
            target[:3] = target[:3] - (inward @ target[:3]) * inward + (inward @ ahead) * inward
        return expert_displacement(self._setup, arm.tcp_pose, target)

    def _feel(self, arm: ArmState, on_tower: bool) -> None:
        """Change where and how level to press by what one contact tells."""
        along, across, inward = self._axes_in_tcp
        torque = across @ arm.tcp_torque - self._touch.lever * (along @ arm.tcp_force)
        if not on_tower:
            self._tilt -= self._touch.levelling * torque
            return
        contact = -torque / (inward @ arm.tcp_force)
        if abs(contact) > self._touch.at_an_end:
            self._direction = -math.copysign(1.0, contact)
        self._shift += self._direction * self._touch.slide
