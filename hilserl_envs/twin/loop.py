"""The compiled loop: control law and physics of every arm, the GIL released.

Each tick runs the impedance law of every arm and MuJoCo's own C step, split in
`mj_step2` (forces to next state) and `mj_step1` (all that follows from the state), so
that the law sees a fresh state and so does whoever reads afterwards. The law keeps its
1 kHz: with a timestep of 2 or 5 ms it runs as many ticks on each state. MuJoCo's
functions are called through their addresses in the installed library: no process-wide
callback, and nothing that keeps numba from caching the compiled code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hilserl_envs.compiled import compiled
from hilserl_envs.impedance import (
    LAW_HZ,
    MAX_TORQUE_CHANGE,
    LawMemory,
    LawParameters,
    impedance_torque,
    solve_task_space,
)
from hilserl_envs.poses import quat_of, turn

FINGER_SPEED = 0.05  # of each finger [m/s]: the Franka hand's default speed is twice that of the width
_JACOBIAN_DAMPING = 1e-8  # keeps the wrench estimate finite in a singularity
# Joint position control, for joint resets: gains of libfranka's joint impedance example,
# and a speed that a bystander can step away from.
JOINT_STIFFNESS = np.array([600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0])  # [Nm/rad]
JOINT_DAMPING = np.array([50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0])  # [Nms/rad]
JOINT_RESET_SPEED = 0.5  # [rad/s]
GRAVITY = 9.81  # [m/s^2]


class Arm(NamedTuple):
    """One arm as the compiled loop sees it: its law, views into MuJoCo's arrays, memory."""

    parameters: LawParameters
    memory: LawMemory
    # Views of MuJoCo's own arrays, not copies.
    q: np.ndarray  # (7,)
    fingers: np.ndarray  # (2,) positions [m]
    dq: np.ndarray  # (7,)
    finger_speeds: np.ndarray  # (2,) [m/s]
    motors: np.ndarray  # (7,) controls
    gripper: np.ndarray  # (1,) control: where the servo aims with each finger [m]
    anchors: np.ndarray  # (7, 3) of the joints, world
    axes: np.ndarray  # (7, 3) of the joints, world
    tcp_position: np.ndarray  # (3,) world
    tcp_axes: np.ndarray  # (9,) rotation matrix by rows, world
    bias: np.ndarray  # (7,) this and all below: generalised forces of the joints
    gravity_compensation: np.ndarray
    passive: np.ndarray
    actuator: np.ndarray
    smooth: np.ndarray
    constraint: np.ndarray
    # Fixed.
    base_position: np.ndarray  # (3,) world
    base_rotation: np.ndarray  # (3, 3) world
    # Kept between ticks.
    position: np.ndarray  # (3,) of the TCP in the base frame
    quat_xyzw: np.ndarray  # (4,) likewise
    jacobian: np.ndarray  # (6, 7)
    coriolis: np.ndarray  # (7,)
    torque: np.ndarray  # (7,) commanded in the tick before
    external_torque: np.ndarray  # (7,) filtered
    gripper_target: np.ndarray  # (1,) where its aim goes, at FINGER_SPEED [m]
    wrench_ticks: np.ndarray  # (1,) until the feed-forward wrench lapses
    payload: np.ndarray  # (4,) mass, centre in the TCP's frame
    joint_control: np.ndarray  # (1,) 1 while joint positions are controlled, not the pose
    joint_goal: np.ndarray  # (7,)
    joint_setpoint: np.ndarray  # (7,) on its way to the goal


@intrinsic
def _call(typing_context, function, model, data):
    """Call the C function `void f(mjModel*, mjData*)` at an address; all are int64."""

    def generate(context, builder, signature, arguments):
        integer = ir.IntType(64)
        pointer = ir.FunctionType(ir.VoidType(), [integer, integer]).as_pointer()
        builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _borrow(typing_context, value):
    """The same nested tuple of arrays, not counted as references to them.

    Counting a hundred arrays at each call costs more than the law; the caller keeps
    them alive.
    """

    def without_owner(context, builder, kind, item):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, item)
            array.meminfo = ir.Constant(array.meminfo.type, None)
            array.parent = ir.Constant(array.parent.type, None)
            return array._getvalue()
        for i, inner in enumerate(kind):
            part = without_owner(context, builder, inner, builder.extract_value(item, i))
            item = builder.insert_value(item, part, i)
        return item

    def generate(context, builder, signature, arguments):
        return without_owner(context, builder, signature.args[0], arguments[0])

    return value(value), generate


@compiled
def _measure(arm: Arm) -> None:
    """Write the TCP's pose and zero Jacobian in the arm's base frame."""
    base, tip = arm.base_rotation, arm.tcp_position
    jacobian = arm.jacobian
    for k in range(7):
        ax, ay, az = arm.axes[k, 0], arm.axes[k, 1], arm.axes[k, 2]
        rx, ry, rz = tip[0] - arm.anchors[k, 0], tip[1] - arm.anchors[k, 1], tip[2] - arm.anchors[k, 2]
        lx, ly, lz = ay * rz - az * ry, az * rx - ax * rz, ax * ry - ay * rx
        for i in range(3):
            jacobian[i, k] = base[0, i] * lx + base[1, i] * ly + base[2, i] * lz
            jacobian[3 + i, k] = base[0, i] * ax + base[1, i] * ay + base[2, i] * az
    dx, dy, dz = tip[0] - arm.base_position[0], tip[1] - arm.base_position[1], tip[2] - arm.base_position[2]
    for i in range(3):
        arm.position[i] = base[0, i] * dx + base[1, i] * dy + base[2, i] * dz
    r = arm.tcp_axes
    m00, m01, m02 = _column(base, r, 0)
    m10, m11, m12 = _column(base, r, 1)
    m20, m21, m22 = _column(base, r, 2)
    quat = arm.quat_xyzw
    quat[0], quat[1], quat[2], quat[3] = quat_of((m00, m10, m20), (m01, m11, m21), (m02, m12, m22))


@compiled
def _column(base, axes, j):
    """Column j of base^T times a rotation matrix given by rows, as a tuple."""
    x, y, z = axes[j], axes[3 + j], axes[6 + j]
    return (
        base[0, 0] * x + base[1, 0] * y + base[2, 0] * z,
        base[0, 1] * x + base[1, 1] * y + base[2, 1] * z,
        base[0, 2] * x + base[1, 2] * y + base[2, 2] * z,
    )


@compiled
def _payload_torque(arm: Arm, joint: int) -> float:
    """Torque [Nm] that holds the payload's weight at one joint."""
    r, p, tip = arm.tcp_axes, arm.payload, arm.tcp_position
    dx = tip[0] - arm.anchors[joint, 0] + r[0] * p[1] + r[1] * p[2] + r[2] * p[3]
    dy = tip[1] - arm.anchors[joint, 1] + r[3] * p[1] + r[4] * p[2] + r[5] * p[3]
    return (arm.axes[joint, 0] * dy - arm.axes[joint, 1] * dx) * p[0] * GRAVITY


@compiled
def _joint_tick(arm: Arm) -> None:
    """One tick of joint position control: writes the torque."""
    step = JOINT_RESET_SPEED / LAW_HZ
    for k in range(7):
        arm.joint_setpoint[k] += min(max(arm.joint_goal[k] - arm.joint_setpoint[k], -step), step)
        wanted = (
            JOINT_STIFFNESS[k] * (arm.joint_setpoint[k] - arm.q[k])
            - JOINT_DAMPING[k] * arm.dq[k]
            + arm.coriolis[k]
        )
        arm.torque[k] += min(max(wanted - arm.torque[k], -MAX_TORQUE_CHANGE), MAX_TORQUE_CHANGE)


@compiled
def _control(arm: Arm) -> None:
    """Run the law once and write the motors' and the gripper's controls."""
    _measure(arm)
    for k in range(7):
        arm.coriolis[k] = arm.bias[k] - arm.gravity_compensation[k]
    if arm.wrench_ticks[0] > 0:
        arm.wrench_ticks[0] -= 1
    else:
        for i in range(6):
            arm.memory.wrench[i] = 0.0
    if arm.joint_control[0]:
        _joint_tick(arm)
    else:
        impedance_torque(
            arm.parameters, arm.memory, arm.q, arm.dq, arm.position, arm.quat_xyzw, arm.jacobian,
            arm.coriolis, arm.torque, arm.torque,
        )  # fmt: skip
    for k in range(7):
        arm.motors[k] = arm.torque[k]
    if arm.payload[0] > 0:
        for k in range(7):
            arm.motors[k] += _payload_torque(arm, k)
    missing = arm.gripper_target[0] - arm.gripper[0]
    step = FINGER_SPEED / LAW_HZ
    arm.gripper[0] += min(max(missing, -step), step)


@compiled
def _filter_external_torque(arm: Arm, weight: float) -> None:
    """Torque that the world puts on each joint: contacts, pushes, what is held; filtered.

    Valid between mj_step2 and mj_step1. Smooth forces less passive, bias and motor
    forces leave what pushes from outside; a declared payload is taken off.
    """
    for k in range(7):
        outside = arm.constraint[k] + arm.smooth[k] - arm.passive[k] - arm.actuator[k] + arm.bias[k]
        if arm.payload[0] > 0:
            outside += _payload_torque(arm, k)
        arm.external_torque[k] += weight * (outside - arm.external_torque[k])


@compiled(nogil=True)
def run(
    step1: int, step2: int, model: int, data: int,
    rounds: int, law_ticks: int, physics_steps: int, weight: float,
    counted_arms: tuple[Arm, ...],
) -> None:  # fmt: skip
    """Advance by `rounds` of so many law ticks, then so many physics steps; no GIL needed.

    Args:
        step1, step2, model, data: addresses.
        weight: of a new external torque in its filter, per physics step.
        counted_arms: every arm.
    """
    arms = _borrow(counted_arms)
    for _ in range(rounds):
        for _ in range(law_ticks):
            for arm in arms:
                _control(arm)
        for _ in range(physics_steps):
            _call(step2, model, data)
            for arm in arms:
                _filter_external_torque(arm, weight)
            _call(step1, model, data)


@compiled
def sense(arm: Arm, velocity: np.ndarray, wrench: np.ndarray) -> None:
    """Update an arm's pose and Jacobian; write velocity (6,) and external wrench (6,)."""
    _measure(arm)
    on_robot, gram = np.empty(6), np.empty((6, 6))
    solve_task_space(arm.jacobian, arm.external_torque, _JACOBIAN_DAMPING, gram, on_robot)
    inverse = (-arm.quat_xyzw[0], -arm.quat_xyzw[1], -arm.quat_xyzw[2], arm.quat_xyzw[3])
    force, torque = turn(inverse, on_robot[:3]), turn(inverse, on_robot[3:])
    for i in range(3):
        wrench[i], wrench[3 + i] = -force[i], -torque[i]
    for i in range(6):
        velocity[i] = 0.0
        for k in range(7):
            velocity[i] += arm.jacobian[i, k] * arm.dq[k]
