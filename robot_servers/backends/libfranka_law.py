"""What runs in aiofranka's 1 kHz loop: the impedance law of this package, and joint motions.

`tick` is compiled to a C function that the loop calls without Python. Everything it is told
comes through `PARAMETERS`, each taken whole between two ticks; what it remembers is `MEMORY`.
Commands carry a number, and count when the number changes.
"""

from __future__ import annotations

import math

import numpy as np

from hilserl_envs import impedance
from hilserl_envs.compiled import compiled
from hilserl_envs.impedance import LawMemory, LawParameters, impedance_torque
from hilserl_envs.poses import quat_of
from hilserl_envs.robot import WRENCH_TIMEOUT
from robot_servers.backends.libfranka_dynamics import LINK_SIZE, LINKS, coriolis_torque

# Ticks of the robot's clock further apart than this, or backwards, are another session: the
# law starts again where the arm is. libfranka itself gives up after 20 ms without commands.
LONGEST_GAP = 0.05  # [s]
# Joint motions: gains of libfranka's joint impedance example. The spring's torque is bounded,
# so that whoever is in the way feels 20 Nm, not a motor's strength.
JOINT_STIFFNESS = np.array([600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0])  # [Nm/rad]
JOINT_DAMPING = np.array([50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0])  # [Nms/rad]
JOINT_SPRING_LIMIT = np.array([20.0, 20.0, 20.0, 20.0, 6.0, 6.0, 6.0])  # [Nm]
NOT_FINITE = 1  # what `tick` returns to have the loop stop: a state or torque that is no number

_COMPLIANCE = {name: np.size(array) for name, array in impedance.new_parameters()._asdict().items()}
_REMEMBERED = {name: np.shape(array) for name, array in impedance.new_memory()._asdict().items()}

# In "seen": the session, and the numbers of what was commanded last.
SESSION, EQUILIBRIUM, FEEDFORWARD, JOINT_MOTION = 0, 1, 2, 3
# In "times": of the last tick, when the wrench lapses, when the joint motion began.
LAST_TICK, WRENCH_END, MOTION_BEGIN = 0, 1, 2
NEVER = -1.0

# Shapes, by name; "number" comes first in those that have one.
PARAMETERS = {
    "session": 1,  # of the controller: the law starts in every new one
    "compliance": sum(_COMPLIANCE.values()),  # `LawParameters`, one behind the other
    "tool": (4, 4),  # of the TCP in the flange's frame
    "links": (LINKS, LINK_SIZE),  # see `libfranka_dynamics.link_table`
    "equilibrium": 8,  # number, pose
    "feedforward": 7,  # number, wrench
    # Number, duration [s] (0: hold the measured pose by the law), goal [rad], and the numbers of
    # the last equilibrium and wrench before it.
    "joint_motion": 11,
}
MEMORY = {f"law_{name}": shape for name, shape in _REMEMBERED.items()} | {
    "seen": 4,
    "times": 3,  # by the robot's clock [s]
    "motion_start": 7,  # where the joint motion began [rad]
    "position": 3,  # measured, of the TCP in the base's frame
    "quat_xyzw": 4,
    "jacobian": (6, 7),
    "coriolis": 7,
    "forces": (LINKS, 6),
}


def packed(parameters: LawParameters) -> np.ndarray:
    """What the parameter "compliance" holds."""
    return np.concatenate(parameters)


# The law's own functions, compiled.
_set_target = compiled(impedance.set_target)
_settle_gains = compiled(impedance.settle_gains)


@compiled
def start(memory: LawMemory, q: np.ndarray, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
    """`impedance.start`, as a compiled function."""
    memory.stiffness[:] = 0.0
    memory.damping[:] = 0.0
    memory.integral_gain[:] = 0.0
    memory.integral[:] = 0.0
    memory.wrench[:] = 0.0
    memory.nullspace[:] = impedance.law.INITIAL_NULLSPACE_STIFFNESS
    memory.q_null[:] = q
    memory.position[:] = position
    memory.target_position[:] = position
    memory.quat_xyzw[:] = quat_xyzw
    memory.target_quat_xyzw[:] = quat_xyzw


@compiled
def measure(
    flange: np.ndarray,
    flange_jacobian: np.ndarray,
    tool: np.ndarray,
    position: np.ndarray,
    quat_xyzw: np.ndarray,
    jacobian: np.ndarray,
) -> None:
    """Write pose and zero Jacobian of the TCP, from the flange's.

    Args:
        flange, tool: of the flange in the base's frame, of the TCP in the flange's (4, 4).
        flange_jacobian: (6, 7), linear rows first.
        position, quat_xyzw, jacobian: (3,), (4,) and (6, 7), written.
    """
    offset = np.empty(3)
    turned = np.empty((3, 3))
    for i in range(3):
        offset[i] = 0.0
        for k in range(3):
            offset[i] += flange[i, k] * tool[k, 3]
            turned[i, k] = 0.0
            for n in range(3):
                turned[i, k] += flange[i, n] * tool[n, k]
        position[i] = flange[i, 3] + offset[i]
    x, y, z, w = quat_of(turned[0], turned[1], turned[2])
    quat_xyzw[0], quat_xyzw[1], quat_xyzw[2], quat_xyzw[3] = x, y, z, w
    for k in range(7):
        ax, ay, az = flange_jacobian[3, k], flange_jacobian[4, k], flange_jacobian[5, k]
        jacobian[0, k] = flange_jacobian[0, k] + ay * offset[2] - az * offset[1]
        jacobian[1, k] = flange_jacobian[1, k] + az * offset[0] - ax * offset[2]
        jacobian[2, k] = flange_jacobian[2, k] + ax * offset[1] - ay * offset[0]
        jacobian[3, k], jacobian[4, k], jacobian[5, k] = ax, ay, az


@compiled
def joint_torque(
    motion_start: np.ndarray,
    goal: np.ndarray,
    elapsed: float,
    duration: float,
    q: np.ndarray,
    dq: np.ndarray,
    coriolis: np.ndarray,
    last_torque: np.ndarray,
    torque: np.ndarray,
) -> None:
    """One tick of a joint motion: writes `torque` (7,) [Nm].

    All joints start, move and arrive together, without jerks: a polynomial of fifth degree.
    """
    part = min(max(elapsed / duration, 0.0), 1.0)
    way = part**3 * (10 - 15 * part + 6 * part**2)
    speed = 30 * part**2 * (1 - part) ** 2 / duration
    for k in range(7):
        path = goal[k] - motion_start[k]
        spring = JOINT_STIFFNESS[k] * (motion_start[k] + way * path - q[k])
        spring = min(max(spring, -JOINT_SPRING_LIMIT[k]), JOINT_SPRING_LIMIT[k])
        wanted = spring - JOINT_DAMPING[k] * (dq[k] - speed * path) + coriolis[k]
        change = wanted - last_torque[k]
        limit = impedance.MAX_TORQUE_CHANGE
        torque[k] = last_torque[k] + min(max(change, -limit), limit)


@compiled
def advance(
    parameters: LawParameters,
    memory: LawMemory,
    session: float,
    equilibrium: np.ndarray,
    feedforward: np.ndarray,
    joint_motion: np.ndarray,
    seen: np.ndarray,
    times: np.ndarray,
    motion_start: np.ndarray,
    time: float,
    q: np.ndarray,
    dq: np.ndarray,
    position: np.ndarray,
    quat_xyzw: np.ndarray,
    jacobian: np.ndarray,
    coriolis: np.ndarray,
    last_torque: np.ndarray,
    torque: np.ndarray,
) -> None:
    """One tick: take what was commanded, then write the torque (7,) of the law or of a joint motion.

    Args:
        session, equilibrium, feedforward, joint_motion: see `PARAMETERS`.
        seen, times, motion_start: see `MEMORY`.
        time: by the robot's clock [s].
        position, quat_xyzw, jacobian, coriolis: measured, as the law takes them.
        last_torque: commanded in the tick before (7,) [Nm].
    """
    gap = time - times[LAST_TICK]
    if seen[SESSION] != session or gap < 0 or gap > LONGEST_GAP:
        start(memory, q, position, quat_xyzw)
        # What was commanded before counts no more.
        seen[SESSION], seen[JOINT_MOTION] = session, joint_motion[0]
        seen[EQUILIBRIUM], seen[FEEDFORWARD] = equilibrium[0], feedforward[0]
        times[MOTION_BEGIN] = NEVER
    times[LAST_TICK] = time
    if seen[JOINT_MOTION] != joint_motion[0]:
        # It ends what was commanded before it, and what came since then counts.
        seen[JOINT_MOTION] = joint_motion[0]
        seen[EQUILIBRIUM], seen[FEEDFORWARD] = joint_motion[9], joint_motion[10]
        if joint_motion[1] > 0:
            times[MOTION_BEGIN] = time
            motion_start[:] = q
        else:
            times[MOTION_BEGIN] = NEVER
            start(memory, q, position, quat_xyzw)
            _settle_gains(parameters, memory)
    if seen[EQUILIBRIUM] != equilibrium[0]:
        seen[EQUILIBRIUM] = equilibrium[0]
        _set_target(memory, equilibrium[1:4], equilibrium[4:8])
    if seen[FEEDFORWARD] != feedforward[0]:
        seen[FEEDFORWARD] = feedforward[0]
        memory.wrench[:] = feedforward[1:7]
        times[WRENCH_END] = time + WRENCH_TIMEOUT
    if time > times[WRENCH_END]:
        memory.wrench[:] = 0.0

    if times[MOTION_BEGIN] != NEVER:
        elapsed = time - times[MOTION_BEGIN]
        joint_torque(
            motion_start, joint_motion[2:9], elapsed, joint_motion[1], q, dq, coriolis, last_torque, torque
        )
    else:
        impedance_torque(
            parameters, memory, q, dq, position, quat_xyzw, jacobian, coriolis, last_torque, torque
        )


def tick(s, p, m, tau):
    """One tick, as aiofranka's loop calls it: the state, `PARAMETERS`, `MEMORY`, the torque to write."""
    memory = LawMemory(
        m.law_stiffness, m.law_damping, m.law_integral_gain, m.law_nullspace, m.law_integral, m.law_position,
        m.law_quat_xyzw, m.law_target_position, m.law_target_quat_xyzw, m.law_q_null, m.law_wrench,
        m.law_force, m.law_posture, m.law_solution, m.law_gram,
    )  # fmt: skip
    c = p.compliance
    parameters = LawParameters(c[0:6], c[6:12], c[12:18], c[18:24], c[24:30], c[30:32])
    measure(s.ee, s.jac, p.tool, m.position, m.quat_xyzw, m.jacobian)
    coriolis_torque(p.links, s.qpos, s.qvel, m.forces, m.coriolis)
    advance(
        parameters, memory, p.session[0], p.equilibrium, p.feedforward, p.joint_motion,
        m.seen, m.times, m.motion_start, s.time, s.qpos, s.qvel, m.position, m.quat_xyzw, m.jacobian,
        m.coriolis, s.last_torque, tau,
    )  # fmt: skip
    for k in range(7):
        if not math.isfinite(tau[k]):
            return NOT_FINITE
    return 0
