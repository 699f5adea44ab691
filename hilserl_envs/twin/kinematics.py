"""The Franka arm's published geometry, and its kinematics as compiled functions.

Frames follow Craig's modified Denavit-Hartenberg convention: frame i is fixed to link
i, and is reached from frame i-1 by Rot_x(alpha) Trans_x(a) Rot_z(q_i) Trans_z(d).
Source of all numbers: Franka's published documentation ("Robot and interface
specifications", FCI docs).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hilserl_envs.errors import RobotError
from hilserl_envs.impedance import solve_task_space
from hilserl_envs.poses import matrix_to_quat, quat_conjugate, quat_multiply, quat_to_rotvec

# Rows: a_{i-1} [m], d_i [m], alpha_{i-1} [rad] of joints 1 to 7.
DH = np.array(
    [
        [0.0, 0.333, 0.0],
        [0.0, 0.0, -math.pi / 2],
        [0.0, 0.316, math.pi / 2],
        [0.0825, 0.0, math.pi / 2],
        [-0.0825, 0.384, -math.pi / 2],
        [0.0, 0.0, math.pi / 2],
        [0.088, 0.0, math.pi / 2],
    ]
)
FLANGE_OFFSET = 0.107  # from frame 7 along its z [m]
HAND_YAW = -math.pi / 4  # of the hand about the flange's z
TCP_OFFSET = 0.1034  # from the hand's base to between the finger tips [m]
FINGER_TRAVEL = 0.04  # of each finger [m]

# Lower and upper joint limits [rad].
JOINT_LIMITS = {
    "panda": np.array(
        [
            [-2.8973, 2.8973],
            [-1.7628, 1.7628],
            [-2.8973, 2.8973],
            [-3.0718, -0.0698],
            [-2.8973, 2.8973],
            [-0.0175, 3.7525],
            [-2.8973, 2.8973],
        ]
    ),
    "fr3": np.array(
        [
            [-2.7437, 2.7437],
            [-1.7837, 1.7837],
            [-2.9007, 2.9007],
            [-3.0421, -0.1518],
            [-2.8065, 2.8065],
            [0.5445, 4.5169],
            [-3.0159, 3.0159],
        ]
    ),
}
TORQUE_LIMITS = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])  # [Nm]
# Franka's "ready" posture: hand pointing down in front of the base.
READY = np.array([0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4])


@njit(cache=True, nogil=True)
def _transform(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    """Homogeneous (4, 4) of one modified DH row."""
    ca, sa, ct, st = math.cos(alpha), math.sin(alpha), math.cos(theta), math.sin(theta)
    return np.array(
        [
            [ct, -st, 0.0, a],
            [st * ca, ct * ca, -sa, -d * sa],
            [st * sa, ct * sa, ca, d * ca],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


@njit(cache=True, nogil=True)
def joint_frames(q: np.ndarray) -> np.ndarray:
    """Homogeneous (8, 4, 4) of frames 1 to 7 and of the TCP, in the base frame."""
    frames = np.empty((8, 4, 4))
    frame = np.eye(4)
    for i in range(7):
        frame = frame @ _transform(DH[i, 0], DH[i, 1], DH[i, 2], q[i])
        frames[i] = frame
    frames[7] = frame @ _transform(0.0, FLANGE_OFFSET + TCP_OFFSET, 0.0, HAND_YAW)
    return frames


@njit(cache=True, nogil=True)
def forward_kinematics(q: np.ndarray) -> np.ndarray:
    """TCP pose (7,) in the base frame at joint positions q (7,) [rad]."""
    tcp = joint_frames(q)[7]
    pose = np.empty(7)
    pose[:3] = tcp[:3, 3]
    pose[3:] = matrix_to_quat(tcp[:3, :3])
    return pose


@njit(cache=True, nogil=True)
def _converge(target: np.ndarray, q: np.ndarray, posture: np.ndarray, limits: np.ndarray) -> float:
    """Damped least squares towards `target`, in place; the largest error left [m, rad]."""
    error, task_part, gram = np.empty(6), np.empty(6), np.empty((6, 6))
    jacobian = np.empty((6, 7))
    largest = 1.0
    for _ in range(300):
        frames = joint_frames(q)
        tip = frames[7, :3, 3]
        quat = matrix_to_quat(frames[7, :3, :3])
        error[:3] = target[:3] - tip
        error[3:] = quat_to_rotvec(quat_multiply(target[3:], quat_conjugate(quat)))
        largest = np.abs(error).max()
        if largest < 1e-9:
            break
        for i in range(7):
            jacobian[:3, i] = np.cross(frames[i, :3, 2], tip - frames[i, :3, 3])
            jacobian[3:, i] = frames[i, :3, 2]
        pull = 0.1 * (posture - q)
        # J^T (J J^T + d)^-1 error + (I - J^T (J J^T + d)^-1 J) pull, by one solve each
        wanted = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-8 * np.eye(6), error)
        solve_task_space(jacobian, pull, 1e-8, gram, task_part)
        step = wanted + pull - jacobian.T @ task_part
        longest = np.abs(step).max()
        if longest > 0.2:
            step *= 0.2 / longest
        for i in range(7):
            q[i] = min(max(q[i] + step[i], limits[i, 0]), limits[i, 1])
    return largest


def inverse_kinematics(
    pose: np.ndarray, posture: np.ndarray = READY, limits: np.ndarray = JOINT_LIMITS["panda"]
) -> np.ndarray:
    """Joint positions (7,) [rad] that put the TCP at `pose` (7,), as near `posture` as may be.

    Raises:
        RobotError: the pose is out of reach.
    """
    posture = np.ascontiguousarray(posture, dtype=np.float64)
    q = posture.copy()
    left = _converge(np.ascontiguousarray(pose, dtype=np.float64), q, posture, limits)
    if left > 1e-6:
        raise RobotError(
            f"no joint positions within the limits reach the pose {np.round(pose, 4).tolist()} "
            f"(nearest misses by {left:.3g} m or rad); choose a pose closer to the arm's front"
        )
    return q
