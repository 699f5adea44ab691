"""What the messages of franka_ros and serl_franka_controllers say, as this package's values and as words."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilserl_envs.kinematics import joint_frames
from hilserl_envs.poses import matrix_to_quat
from hilserl_envs.robot import ArmState

_MODE = "ROBOT_MODE_"  # prefix of FrankaState's constants


def arm_state(state: Any, jacobian: Any | None) -> ArmState:
    """The state in a franka_msgs/FrankaState.

    Args:
        state: FrankaState.
        jacobian: the controller's newest ZeroJacobian; None while no controller publishes it.
    """
    frame = np.array(state.O_T_EE).reshape(4, 4).T  # sent column by column
    q, dq, wrench = np.array(state.q), np.array(state.dq), np.array(state.K_F_ext_hat_K)
    if jacobian is None:
        zero_jacobian = _zero_jacobian(q, frame[:3, 3])
    else:
        zero_jacobian = np.array(jacobian.zero_jacobian).reshape(7, 6).T  # column by column, too
    return ArmState(
        tcp_pose=np.concatenate([frame[:3, 3], matrix_to_quat(np.ascontiguousarray(frame[:3, :3]))]),
        tcp_vel=zero_jacobian @ dq,
        tcp_force=wrench[:3],
        tcp_torque=wrench[3:],
        q=q,
        dq=dq,
        jacobian=zero_jacobian,
        gripper_pose=1.0,
    )


def standstill(state: Any) -> str | None:
    """Why the arm of a FrankaState is not moved by its controller, None where it is."""
    modes = {getattr(state, name): name[len(_MODE) :] for name in dir(state) if name.startswith(_MODE)}
    mode = modes.get(state.robot_mode)
    if mode == "MOVE":
        return None
    errors = _flags(state.current_errors) or _flags(state.last_motion_errors) or "no error named"
    return {
        "USER_STOPPED": "its activation device is pressed: release it, then recover",
        "REFLEX": f"a reflex stopped it ({errors}): free it from what it touches, then recover",
        "GUIDING": "it is being guided by hand: let go, then recover",
        "AUTOMATIC_ERROR_RECOVERY": "it is recovering from an error",
        "IDLE": f"it is idle ({errors}): recover",
    }.get(mode, f"it is in a mode in which it does not move ({errors}): look at Desk")


def fill(message: Any, numbers: np.ndarray) -> None:
    """Put numbers into the fields x, y, z (and w) of a message."""
    for axis, number in zip("xyzw", numbers, strict=False):
        setattr(message, axis, float(number))


def _flags(errors: Any) -> str:
    return ", ".join(name for name in errors.__slots__ if getattr(errors, name))


def _zero_jacobian(q: np.ndarray, tip: np.ndarray) -> np.ndarray:
    """(6, 7), linear rows first, of a point `tip` (3,) fixed to the last link, in the base frame."""
    frames = joint_frames("panda", q)[:7]  # those of the FR3 are the same
    axes = frames[:, :3, 2]
    return np.concatenate([np.cross(axes, tip - frames[:, :3, 3]).T, axes.T])
