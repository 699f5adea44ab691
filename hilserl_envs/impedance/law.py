"""The law itself, as compiled functions on arrays.

With p, q the TCP's pose, p_d, q_d the filtered target and J the zero Jacobian, all in
the base frame, each tick computes, clipped per axis,

    e = [p - p_d, -R(q) vec(q^-1 q_d)]
    tau = J^T (wrench - K e - D J dq - Ki sum(e)) + (I - J^T pinv(J^T)) posture + coriolis

limits the change of torque, and moves every gain and the target towards what was set.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hilserl_envs.compiled import compiled
from hilserl_envs.impedance.compliance import Compliance
from hilserl_envs.poses import multiply, slerp, turn

LAW_HZ = 1000
# Every gain and the target move by this fraction towards their set values each tick.
FILTER = 0.005
# The commanded torque may change by this much [Nm] per tick.
MAX_TORQUE_CHANGE = 1.0
# Anti-windup bounds of the integrated error: translation [m tick], rotation [tick].
MAX_INTEGRAL_TRANSLATION = 0.1
MAX_INTEGRAL_ROTATION = 0.3
# Squared damping of the Jacobian's pseudo-inverse in the null-space projection.
PSEUDO_INVERSE_DAMPING = 0.2**2
# Both null-space stiffnesses start here and filter to their set values.
INITIAL_NULLSPACE_STIFFNESS = 20.0


class LawParameters(NamedTuple):
    """Set values of the law as arrays, translation before rotation."""

    stiffness: np.ndarray  # (6,)
    damping: np.ndarray  # (6,)
    integral_gain: np.ndarray  # (6,)
    clip: np.ndarray  # (6,)
    clip_neg: np.ndarray  # (6,)
    nullspace: np.ndarray  # (2,) stiffness, factor of joint 1


class LawMemory(NamedTuple):
    """What the law remembers between ticks: filtered gains and target, integral, posture."""

    stiffness: np.ndarray  # (6,)
    damping: np.ndarray  # (6,)
    integral_gain: np.ndarray  # (6,)
    nullspace: np.ndarray  # (2,)
    integral: np.ndarray  # (6,) integrated error
    position: np.ndarray  # (3,) filtered target
    quat_xyzw: np.ndarray  # (4,) filtered target
    target_position: np.ndarray  # (3,) set target
    target_quat_xyzw: np.ndarray  # (4,) set target
    q_null: np.ndarray  # (7,) posture that the null space pulls to
    wrench: np.ndarray  # (6,) feed-forward wrench at the TCP, base frame
    # Room to work in, so that a tick allocates nothing:
    force: np.ndarray  # (6,)
    posture: np.ndarray  # (7,)
    solution: np.ndarray  # (6,)
    gram: np.ndarray  # (6, 6)


def new_parameters() -> LawParameters:
    """Fresh arrays holding the default `Compliance`."""
    parameters = LawParameters(*(np.zeros(n) for n in (6, 6, 6, 6, 6, 2)))
    set_compliance(parameters, Compliance())
    return parameters


def new_memory() -> LawMemory:
    """Fresh arrays; call `start` before the first tick."""
    return LawMemory(*(np.zeros(n) for n in (6, 6, 6, 2, 6, 3, 4, 3, 4, 7, 6, 6, 7, 6, (6, 6))))


def set_compliance(parameters: LawParameters, compliance: Compliance) -> None:
    """Write a compliance into the set values; the gains filter towards them."""
    c = compliance
    parameters.stiffness[:] = [c.translational_stiffness] * 3 + [c.rotational_stiffness] * 3
    parameters.damping[:] = [c.translational_damping] * 3 + [c.rotational_damping] * 3
    parameters.integral_gain[:] = [c.translational_Ki] * 3 + [c.rotational_Ki] * 3
    parameters.clip[:] = c.clip
    parameters.clip_neg[:] = c.clip_neg
    parameters.nullspace[:] = c.nullspace_stiffness, c.joint1_nullspace_stiffness


def start(memory: LawMemory, q: np.ndarray, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
    """What the controller does when started: hold the measured pose, gains from zero."""
    for array in memory:
        array[:] = 0.0
    memory.nullspace[:] = INITIAL_NULLSPACE_STIFFNESS
    memory.q_null[:] = q
    memory.position[:] = memory.target_position[:] = position
    memory.quat_xyzw[:] = memory.target_quat_xyzw[:] = quat_xyzw


def settle_gains(parameters: LawParameters, memory: LawMemory) -> None:
    """Put the filtered gains at their set values, as after a second of running."""
    memory.stiffness[:] = parameters.stiffness
    memory.damping[:] = parameters.damping
    memory.integral_gain[:] = parameters.integral_gain
    memory.nullspace[:] = parameters.nullspace


def set_target(memory: LawMemory, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
    """A new equilibrium pose: clears the integral, keeps the quaternion's hemisphere."""
    memory.integral[:] = 0.0
    memory.target_position[:] = position
    same_side = np.dot(memory.target_quat_xyzw, quat_xyzw) >= 0
    memory.target_quat_xyzw[:] = quat_xyzw if same_side else -quat_xyzw


@compiled
def solve_task_space(
    jacobian: np.ndarray, joint_vector: np.ndarray, damping: float, gram: np.ndarray, solution: np.ndarray
) -> None:
    """Write (J J^T + damping I)^-1 J v: the damped pseudo-inverse of J^T applied to v.

    The same as by singular values, s / (s^2 + damping), without finding them.

    Args:
        jacobian: (6, 7).
        joint_vector: v (7,).
        damping: squared damping factor.
        gram: (6, 6) to work in; its lower triangle is overwritten.
        solution: (6,), written.
    """
    for i in range(6):
        total = 0.0
        for k in range(7):
            total += jacobian[i, k] * joint_vector[k]
        solution[i] = total
        for j in range(i + 1):
            total = damping if i == j else 0.0
            for k in range(7):
                total += jacobian[i, k] * jacobian[j, k]
            gram[i, j] = total
    # Cholesky in place, the diagonal inverted, the forward substitution alongside
    for i in range(6):
        for j in range(i):
            total = gram[i, j]
            for k in range(j):
                total -= gram[i, k] * gram[j, k]
            gram[i, j] = total * gram[j, j]
            gram[i, i] -= gram[i, j] ** 2
            solution[i] -= gram[i, j] * solution[j]
        gram[i, i] = 1 / math.sqrt(gram[i, i])
        solution[i] *= gram[i, i]
    for i in range(5, -1, -1):
        for k in range(i + 1, 6):
            solution[i] -= gram[k, i] * solution[k]
        solution[i] *= gram[i, i]


@compiled
def impedance_torque(
    parameters: LawParameters,
    memory: LawMemory,
    q: np.ndarray,
    dq: np.ndarray,
    position: np.ndarray,
    quat_xyzw: np.ndarray,
    jacobian: np.ndarray,
    coriolis: np.ndarray,
    last_torque: np.ndarray,
    torque: np.ndarray,
) -> None:
    """One tick of the law: writes `torque` (7,) [Nm] and moves the filters in `memory`.

    Args:
        q, dq: measured joint positions [rad] and velocities [rad/s] (7,).
        position, quat_xyzw: measured TCP pose in the base frame, (3,) [m] and (4,).
        jacobian: zero Jacobian (6, 7) at the TCP, linear rows first, base frame.
        coriolis: Coriolis and centrifugal torque (7,) [Nm].
        last_torque: torque (7,) commanded in the tick before [Nm].
        torque: written; may be the same array as `last_torque`.
    """
    desired = memory.quat_xyzw
    dot = 0.0
    for i in range(4):
        dot += quat_xyzw[i] * desired[i]
    side = 1.0 if dot >= 0 else -1.0
    x, y, z, w = side * quat_xyzw[0], side * quat_xyzw[1], side * quat_xyzw[2], side * quat_xyzw[3]
    # |e_r| is sin(angle / 2): the imaginary part of q^-1 q_d, in the base frame
    ex, ey, ez = turn((x, y, z, w), multiply((-x, -y, -z, w), desired))

    force, posture, task_part = memory.force, memory.posture, memory.solution
    force[3], force[4], force[5] = -ex, -ey, -ez
    for i in range(6):
        error = position[i] - memory.position[i] if i < 3 else force[i]
        error = min(max(error, -parameters.clip_neg[i]), parameters.clip[i])
        bound = MAX_INTEGRAL_TRANSLATION if i < 3 else MAX_INTEGRAL_ROTATION
        memory.integral[i] = min(max(memory.integral[i] + error, -bound), bound)
        velocity = 0.0
        for k in range(7):
            velocity += jacobian[i, k] * dq[k]
        force[i] = (
            memory.wrench[i]
            - memory.stiffness[i] * error
            - memory.damping[i] * velocity
            - memory.integral_gain[i] * memory.integral[i]
        )

    stiffness, joint1 = memory.nullspace[0], memory.nullspace[1]
    damping = 2 * math.sqrt(stiffness)
    for k in range(7):
        posture[k] = stiffness * (memory.q_null[k] - q[k]) - damping * dq[k]
    posture[0] = stiffness * joint1 * (memory.q_null[0] - q[0]) - damping * 2 * math.sqrt(joint1) * dq[0]
    solve_task_space(jacobian, posture, PSEUDO_INVERSE_DAMPING, memory.gram, task_part)

    for k in range(7):
        wanted = posture[k] + coriolis[k]
        for i in range(6):
            wanted += jacobian[i, k] * (force[i] - task_part[i])
        change = min(max(wanted - last_torque[k], -MAX_TORQUE_CHANGE), MAX_TORQUE_CHANGE)
        torque[k] = last_torque[k] + change

    for i in range(6):
        memory.stiffness[i] += FILTER * (parameters.stiffness[i] - memory.stiffness[i])
        memory.damping[i] += FILTER * (parameters.damping[i] - memory.damping[i])
        memory.integral_gain[i] += FILTER * (parameters.integral_gain[i] - memory.integral_gain[i])
    for i in range(2):
        memory.nullspace[i] += FILTER * (parameters.nullspace[i] - memory.nullspace[i])
    for i in range(3):
        memory.position[i] += FILTER * (memory.target_position[i] - memory.position[i])
    desired[0], desired[1], desired[2], desired[3] = slerp(desired, memory.target_quat_xyzw, FILTER)
