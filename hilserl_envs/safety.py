"""The workspace box: every pose that an environment commands passes it, resets included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import ActionError, ConfigError, check_array, checked_names
from hilserl_envs.poses import (
    quat_conjugate,
    quat_multiply,
    quat_normalize,
    quat_to_rotvec,
    rotvec_to_quat,
)

# Slack [m, rad] of `contains`: what a round trip through a quaternion can lose.
TOLERANCE = 1e-9


@checked_names
@dataclass(frozen=True)
class Limits:
    """How far an arm may go.

    Args:
        low, high: corners of the box of positions, xyz [m] in the base frame.
        rotation: largest turn [rad] about each base axis, as components of the rotation
            vector from the reset orientation: with |v| <= rotation per component there
            is no Euler angle to wrap, and its length stays below pi.

    Raises:
        ConfigError: an empty box, or rotations that could reach pi.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    rotation: tuple[float, float, float]

    def __post_init__(self) -> None:
        low, high = check_array(self.low, (3,), "Limits.low"), check_array(self.high, (3,), "Limits.high")
        rotation = check_array(self.rotation, (3,), "Limits.rotation")
        if not (low < high).all():
            raise ConfigError(f"Limits: low {low.tolist()} must be below high {high.tolist()} on every axis")
        if not (rotation >= 0).all() or np.linalg.norm(rotation) >= math.pi:
            raise ConfigError(
                f"Limits.rotation must be >= 0 with a norm below pi, got {rotation.tolist()} rad; "
                "beyond half a turn a rotation vector is ambiguous"
            )
        for name, value in (("low", low), ("high", high), ("rotation", rotation)):
            object.__setattr__(self, name, tuple(value.tolist()))


class WorkspaceBox:
    """`Limits` about one reset orientation, ready to clip poses.

    Args:
        limits: the box.
        reset_quat_xyzw: orientation (4,) that rotations are measured from.
    """

    def __init__(self, limits: Limits, reset_quat_xyzw: np.ndarray):
        quat = check_array(reset_quat_xyzw, (4,), "WorkspaceBox: reset_quat_xyzw")
        if abs(np.linalg.norm(quat) - 1) > 1e-3:
            raise ConfigError(f"WorkspaceBox: reset_quat_xyzw must have length 1, got {quat.tolist()}")
        self.limits = limits
        self._reset_quat = quat_normalize(quat)
        self._low, self._high = np.array(limits.low), np.array(limits.high)
        self._rotation = np.array(limits.rotation)
        self._low6 = np.concatenate([self._low, -self._rotation])
        self._high6 = np.concatenate([self._high, self._rotation])

    def turn(self, pose: np.ndarray) -> np.ndarray:
        """Rotation vector (3,) [rad], base frame, from the reset orientation to `pose`."""
        return quat_to_rotvec(quat_multiply(pose[3:], quat_conjugate(self._reset_quat)))

    def contains(self, pose: np.ndarray) -> bool:
        """Whether `pose` (7,) is inside, up to rounding.

        Raises:
            ActionError: as `clip`.
        """
        _check_pose(pose)
        position, turn = pose[:3], self.turn(pose)
        return bool(
            (position >= self._low - TOLERANCE).all()
            and (position <= self._high + TOLERANCE).all()
            and (np.abs(turn) <= self._rotation + TOLERANCE).all()
        )

    def clip(self, pose: np.ndarray) -> np.ndarray:
        """The pose (7,) of the box nearest per axis; one that is inside is unchanged.

        Raises:
            ActionError: the pose is not finite, or its quaternion is not of length 1.
        """
        _check_pose(pose)
        clipped = pose.copy()
        np.minimum(np.maximum(pose[:3], self._low), self._high, out=clipped[:3])
        turn = self.turn(pose)
        inside = np.minimum(np.maximum(turn, -self._rotation), self._rotation)
        if not np.array_equal(inside, turn):
            clipped[3:] = quat_multiply(rotvec_to_quat(inside), self._reset_quat)
        return clipped

    def restrain(self, pose: np.ndarray, wrench: np.ndarray) -> np.ndarray:
        """The wrench (6,) without what pushes or turns an arm at `pose` (7,) further out of the box.

        Args:
            pose: measured.
            wrench: force, then torque, that the arm is to exert, along the base's axes.
        """
        where = np.concatenate([pose[:3], self.turn(pose)])
        outwards = np.where(where > self._high6, wrench > 0, (where < self._low6) & (wrench < 0))
        return np.where(outwards, 0.0, wrench)


def _check_pose(pose: np.ndarray) -> None:
    unit = np.isfinite(pose).all() and np.abs(pose[3:]).max() < 2 and abs(np.linalg.norm(pose[3:]) - 1) < 1e-3
    if not unit:
        raise ActionError(f"a pose is finite numbers xyz and a quat_xyzw of length 1, got {pose.tolist()}")
