"""Physics and control law in one compiled loop, the GIL released.

Each tick runs the impedance law of every arm and MuJoCo's own C step, split in
`mj_step2` (forces to next state) and `mj_step1` (all that follows from the state), so
that the law always sees a fresh state and so does whoever reads afterwards. MuJoCo's
functions are called through their addresses in the installed library: no process-wide
callback, and nothing that keeps numba from caching the compiled code.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from llvmlite import ir
from numba import literal_unroll, njit, types
from numba.extending import intrinsic

from hilserl_envs import impedance
from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.impedance import (
    COMPILED,
    LAW_HZ,
    MAX_TORQUE_CHANGE,
    LawMemory,
    LawParameters,
    impedance_torque,
    solve_task_space,
)
from hilserl_envs.poses import quat_of, turn

# Low-pass of the external torque [s]. libfranka filters its tau_ext_hat_filtered with
# an unpublished constant; this one passes what a person's hand or a contact does.
EXTERNAL_TORQUE_FILTER = 0.02
WRENCH_TIMEOUT_TICKS = 100  # a feed-forward wrench lapses after 0.1 s, as on the server
GRIPPER_SPEED = 0.1  # of the width [m/s]: the Franka hand's default
GRIPPER_WIDTH = 0.08  # when open [m]
_GRIPPER_STEP = GRIPPER_SPEED / GRIPPER_WIDTH / LAW_HZ
_JACOBIAN_DAMPING = 1e-8  # keeps the wrench estimate finite in a singularity
# Joint position control, for joint resets: gains of libfranka's joint impedance example,
# and a speed that a bystander can step away from.
JOINT_STIFFNESS = np.array([600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0])  # [Nm/rad]
JOINT_DAMPING = np.array([50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0])  # [Nms/rad]
JOINT_RESET_SPEED = 0.5  # [rad/s]
GRAVITY = 9.81


class Arm(NamedTuple):
    """One arm as the compiled loop sees it: its law, views into MuJoCo's arrays, memory."""

    parameters: LawParameters
    memory: LawMemory
    # Views of MuJoCo's own arrays, not copies.
    q: np.ndarray  # (7,)
    fingers: np.ndarray  # (2,) positions [m]
    dq: np.ndarray  # (7,)
    motors: np.ndarray  # (7,) controls
    gripper: np.ndarray  # (1,) control, 0 closed to 1 open
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
    gripper_target: np.ndarray  # (1,)
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


@functools.cache
def _step_functions() -> tuple[int, int]:
    """Addresses of mj_step1 and mj_step2 in the MuJoCo library this process uses."""
    folder = Path(mujoco.__file__).parent
    names = sorted(p for pattern in ("libmujoco*.so*", "libmujoco*.dylib", "mujoco.dll") for p in folder.glob(pattern))
    if not names:
        raise RobotError(f"no MuJoCo library in {folder}; reinstall it: pip install --force-reinstall mujoco")
    library = ctypes.CDLL(str(names[0]))
    return tuple(ctypes.cast(f, ctypes.c_void_p).value for f in (library.mj_step1, library.mj_step2))


@njit(**COMPILED)
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


@njit(**COMPILED)
def _column(base, axes, j):
    """Column j of base^T times a rotation matrix given by rows, as a tuple."""
    x, y, z = axes[j], axes[3 + j], axes[6 + j]
    return (
        base[0, 0] * x + base[1, 0] * y + base[2, 0] * z,
        base[0, 1] * x + base[1, 1] * y + base[2, 1] * z,
        base[0, 2] * x + base[1, 2] * y + base[2, 2] * z,
    )


@njit(**COMPILED)
def _payload_torque(arm: Arm, joint: int) -> float:
    """Torque [Nm] that holds the payload's weight at one joint."""
    r, p, tip = arm.tcp_axes, arm.payload, arm.tcp_position
    dx = tip[0] - arm.anchors[joint, 0] + r[0] * p[1] + r[1] * p[2] + r[2] * p[3]
    dy = tip[1] - arm.anchors[joint, 1] + r[3] * p[1] + r[4] * p[2] + r[5] * p[3]
    return (arm.axes[joint, 0] * dy - arm.axes[joint, 1] * dx) * p[0] * GRAVITY


@njit(**COMPILED)
def _joint_tick(arm: Arm) -> None:
    """One tick of joint position control: writes the torque."""
    step = JOINT_RESET_SPEED / LAW_HZ
    for k in range(7):
        arm.joint_setpoint[k] += min(max(arm.joint_goal[k] - arm.joint_setpoint[k], -step), step)
        wanted = JOINT_STIFFNESS[k] * (arm.joint_setpoint[k] - arm.q[k]) - JOINT_DAMPING[k] * arm.dq[k] + arm.coriolis[k]
        arm.torque[k] += min(max(wanted - arm.torque[k], -MAX_TORQUE_CHANGE), MAX_TORQUE_CHANGE)


@njit(**COMPILED)
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
            arm.parameters, arm.memory, arm.q, arm.dq, arm.position, arm.quat_xyzw, arm.jacobian, arm.coriolis,
            arm.torque, arm.torque,
        )  # fmt: skip
    for k in range(7):
        arm.motors[k] = arm.torque[k]
    if arm.payload[0] > 0:
        for k in range(7):
            arm.motors[k] += _payload_torque(arm, k)
    missing = arm.gripper_target[0] - arm.gripper[0]
    arm.gripper[0] += min(max(missing, -_GRIPPER_STEP), _GRIPPER_STEP)


@njit(**COMPILED)
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


@njit(**COMPILED)
def _advance(
    step1: int, step2: int, model: int, data: int, rounds: int, law_ticks: int, physics_steps: int, weight: float,
    counted_arms: tuple[Arm, ...],
) -> None:  # fmt: skip
    arms = _borrow(counted_arms)
    for _ in range(rounds):
        for _ in range(law_ticks):
            for arm in literal_unroll(arms):
                _control(arm)
        for _ in range(physics_steps):
            _call(step2, model, data)
            for arm in literal_unroll(arms):
                _filter_external_torque(arm, weight)
            _call(step1, model, data)


@njit(**COMPILED)
def _sense(arm: Arm, velocity: np.ndarray, wrench: np.ndarray) -> None:
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


class Physics:
    """The compiled loop over one MuJoCo model and data.

    Args:
        model, data: of a scene with arms (see `twin.arm`).
        prefixes: name prefix of each arm, in the order of `arms`.

    Raises:
        ConfigError: the timestep does not fit the law's 1 ms.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, prefixes: Sequence[str]):
        self.model, self.data = model, data
        tick = 1 / LAW_HZ
        timestep = model.opt.timestep
        self._law_ticks, self._physics_steps = max(1, round(timestep / tick)), max(1, round(tick / timestep))
        if not np.isclose(self._law_ticks * tick, self._physics_steps * timestep, rtol=1e-9):
            raise ConfigError(
                f"a timestep of {timestep} s does not fit the law's {tick} s: use 0.001 divided or "
                "multiplied by a whole number, such as 0.0005, 0.001 or 0.002"
            )
        self._weight = timestep / (timestep + EXTERNAL_TORQUE_FILTER)
        self.arms = tuple(_view_arm(model, data, prefix) for prefix in prefixes)
        self._pointers = (*_step_functions(), model._address, data._address)

    def refresh(self) -> None:
        """Recompute what follows from the state after it was edited."""
        mujoco.mj_forward(self.model, self.data)

    def hold(self, number: int) -> None:
        """Restart the law of one arm at its measured pose, gains at their set values."""
        arm = self.arms[number]
        self.sense(number)
        impedance.start(arm.memory, arm.q, arm.position, arm.quat_xyzw)
        impedance.settle_gains(arm.parameters, arm.memory)
        for array in (arm.torque, arm.external_torque, arm.wrench_ticks, arm.joint_control):
            array[:] = 0

    def drive_joints(self, number: int, goal: np.ndarray) -> None:
        """Control joint positions from now on, towards `goal` (7,) [rad], until `hold`."""
        arm = self.arms[number]
        arm.joint_setpoint[:], arm.joint_goal[:], arm.joint_control[:] = arm.q, goal, 1

    def sense(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """TCP pose (7,), velocity (6,) in the base frame; external wrench (6,) in TCP axes."""
        arm, velocity, wrench = self.arms[number], np.empty(6), np.empty(6)
        _sense(arm, velocity, wrench)
        return np.concatenate((arm.position, arm.quat_xyzw)), velocity, wrench

    def advance(self, seconds: float) -> None:
        """Simulate; the GIL is released meanwhile.

        Raises:
            ConfigError: not a whole number of law ticks or physics steps.
            RobotError: the simulation diverged.
        """
        length = self._law_ticks / LAW_HZ
        rounds = round(seconds / length)
        if rounds < 0 or abs(rounds * length - seconds) > 1e-9:
            raise ConfigError(f"the twin advances by multiples of {length} s, got {seconds} s")
        _advance(*self._pointers, rounds, self._law_ticks, self._physics_steps, self._weight, self.arms)
        if not np.isfinite(self.data.qpos).all() or self.data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number:
            raise RobotError(
                f"the simulation diverged at {self.data.time:.3f} s; reset the environment, and halve the "
                "timestep if it happens again"
            )


def _view_arm(model: mujoco.MjModel, data: mujoco.MjData, prefix: str) -> Arm:
    joint, base = model.joint(f"{prefix}joint1"), model.body(f"{prefix}link0")
    site, motor = model.site(f"{prefix}tcp").id, model.actuator(f"{prefix}joint1").id
    gripper = model.actuator(f"{prefix}gripper").id
    # An arm's seven joints, and its two fingers after them, are consecutive everywhere.
    first, q, dof = joint.id, joint.qposadr[0], joint.dofadr[0]
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, base.quat)
    forces = ("qfrc_bias", "qfrc_gravcomp", "qfrc_passive", "qfrc_actuator", "qfrc_smooth", "qfrc_constraint")
    return Arm(
        impedance.new_parameters(),
        impedance.new_memory(),
        data.qpos[q : q + 7],
        data.qpos[q + 7 : q + 9],
        data.qvel[dof : dof + 7],
        data.ctrl[motor : motor + 7],
        data.ctrl[gripper : gripper + 1],
        data.xanchor[first : first + 7],
        data.xaxis[first : first + 7],
        data.site_xpos[site],
        data.site_xmat[site],
        *(getattr(data, name)[dof : dof + 7] for name in forces),
        base.pos.copy(),
        rotation.reshape(3, 3),
        position=np.zeros(3),
        quat_xyzw=np.zeros(4),
        jacobian=np.zeros((6, 7)),
        coriolis=np.zeros(7),
        torque=np.zeros(7),
        external_torque=np.zeros(7),
        gripper_target=np.ones(1),
        wrench_ticks=np.zeros(1, np.int64),
        payload=np.zeros(4),
        joint_control=np.zeros(1, np.int64),
        joint_goal=np.zeros(7),
        joint_setpoint=np.zeros(7),
    )
