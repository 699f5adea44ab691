"""The arms' published geometry and limits, and their kinematics as compiled functions.

Frames follow Craig's modified Denavit-Hartenberg convention: frame i is fixed to link
i, and is reached from frame i-1 by Rot_x(alpha) Trans_x(a) Rot_z(q_i) Trans_z(d).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hilserl_envs.compiled import compiled
from hilserl_envs.errors import ConfigError, RobotError, check_array, check_name
from hilserl_envs.impedance import solve_task_space
from hilserl_envs.poses import matrix_to_quat, quat_conjugate, quat_multiply, quat_to_rotvec


@dataclass(frozen=True)
class ArmGeometry:
    """A seven-joint arm with its hand, as numbers.

    Args:
        dh: a_{i-1} [m], d_i [m], alpha_{i-1} [rad] of joints 1 to 7.
        flange_offset: of the flange from frame 7 along its z [m].
        hand_yaw: of the hand about the flange's z [rad].
        tcp_offset: of the TCP from the hand's base along z [m].
        joint_limits: lower and upper [rad].
        torque_limits: [Nm].
        ready: a posture [rad] with the hand pointing down in front of the base.
    """

    dh: tuple[tuple[float, float, float], ...]
    flange_offset: float
    hand_yaw: float
    tcp_offset: float
    joint_limits: tuple[tuple[float, float], ...]
    torque_limits: tuple[float, ...]
    ready: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = {"dh": (7, 3), "joint_limits": (7, 2), "torque_limits": (7,), "ready": (7,)}
        for name, shape in sizes.items():
            check_array(getattr(self, name), shape, f"ArmGeometry.{name}")

    @property
    def tool(self) -> tuple[float, float]:
        """Offset [m] along and yaw [rad] about frame 7's z of the TCP."""
        return self.flange_offset + self.tcp_offset, self.hand_yaw


# Source: Franka's published documentation ("Robot and interface specifications", FCI).
PANDA = ArmGeometry(
    dh=(
        (0.0, 0.333, 0.0),
        (0.0, 0.0, -math.pi / 2),
        (0.0, 0.316, math.pi / 2),
        (0.0825, 0.0, math.pi / 2),
        (-0.0825, 0.384, -math.pi / 2),
        (0.0, 0.0, math.pi / 2),
        (0.088, 0.0, math.pi / 2),
    ),
    flange_offset=0.107,
    hand_yaw=-math.pi / 4,
    tcp_offset=0.1034,
    joint_limits=(
        (-2.8973, 2.8973),
        (-1.7628, 1.7628),
        (-2.8973, 2.8973),
        (-3.0718, -0.0698),
        (-2.8973, 2.8973),
        (-0.0175, 3.7525),
        (-2.8973, 2.8973),
    ),
    torque_limits=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    ready=(0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4),
)
FR3 = dataclasses.replace(
    PANDA,
    joint_limits=(
        (-2.7437, 2.7437),
        (-1.7837, 1.7837),
        (-2.9007, 2.9007),
        (-3.0421, -0.1518),
        (-2.8065, 2.8065),
        (0.5445, 4.5169),
        (-3.0159, 3.0159),
    ),
)
ARM_MODELS = {"panda": PANDA, "fr3": FR3}


@compiled
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


@compiled
def _joint_frames(dh: np.ndarray, tool: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Homogeneous (8, 4, 4) of frames 1 to 7 and of the TCP, in the base frame."""
    frames = np.empty((8, 4, 4))
    frame = np.eye(4)
    for i in range(7):
        frame = frame @ _transform(dh[i, 0], dh[i, 1], dh[i, 2], q[i])
        frames[i] = frame
    frames[7] = frame @ _transform(0.0, tool[0], 0.0, tool[1])
    return frames


def joint_frames(model: str, q: npt.ArrayLike) -> np.ndarray:
    """Homogeneous (8, 4, 4) of frames 1 to 7 and of the TCP in the base frame, at q (7,) [rad].

    Raises:
        ConfigError: an unknown arm, or not seven numbers.
    """
    arm = ARM_MODELS[check_name(model, ARM_MODELS, "arm model")]
    return _joint_frames(np.array(arm.dh), np.array(arm.tool), check_array(q, (7,), "joint positions"))


def forward_kinematics(model: str, q: npt.ArrayLike) -> np.ndarray:
    """TCP pose (7,) in the base frame at joint positions q (7,) [rad].

    Raises:
        ConfigError: an unknown arm, or not seven numbers.
    """
    tcp = joint_frames(model, q)[7]
    return np.concatenate([tcp[:3, 3], matrix_to_quat(np.ascontiguousarray(tcp[:3, :3]))])


@compiled
def _converge(
    dh: np.ndarray,
    tool: np.ndarray,
    limits: np.ndarray,
    target: np.ndarray,
    q: np.ndarray,
    posture: np.ndarray,
) -> float:
    """Damped least squares towards `target`, in place; the largest error left [m, rad]."""
    error, task_part, gram = np.empty(6), np.empty(6), np.empty((6, 6))
    jacobian = np.empty((6, 7))
    largest = 1.0
    for iteration in range(300):
        frames = _joint_frames(dh, tool, q)
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
        # The pull fades, or it would keep the last digits from settling.
        pull = 0.3 * 0.9**iteration * (posture - q)
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


def inverse_kinematics(model: str, pose: npt.ArrayLike, posture: npt.ArrayLike | None = None) -> np.ndarray:
    """Joint positions (7,) [rad] that put the TCP at `pose` (7,), as near `posture` as may be.

    Args:
        model: of the arm.
        pose: of the TCP in the base frame.
        posture: joint positions (7,) to stay near; the arm's ready posture by default.

    Raises:
        ConfigError: an unknown arm, or a wrong pose.
        RobotError: the pose is out of reach.
    """
    arm = ARM_MODELS[check_name(model, ARM_MODELS, "arm model")]
    pose = check_array(pose, (7,), "the pose to reach")
    if abs(np.linalg.norm(pose[3:]) - 1) > 1e-3:
        raise ConfigError(f"the pose to reach ends in a unit quat_xyzw, got {pose[3:].tolist()}")
    posture = check_array(arm.ready if posture is None else posture, (7,), "the posture")
    q = posture.copy()
    left = _converge(np.array(arm.dh), np.array(arm.tool), np.array(arm.joint_limits), pose, q, posture)
    if left > 1e-6:
        raise RobotError(
            f"no joint positions within the limits reach the pose {np.round(pose, 4).tolist()} "
            f"(nearest misses by {left:.3g} m or rad); choose a pose closer to the arm's front"
        )
    return q
