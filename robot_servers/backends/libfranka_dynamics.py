"""Coriolis and centrifugal torque of an arm, as a compiled function on arrays.

aiofranka gives its control laws the mass matrix but not this torque, which the impedance
law adds. It is computed from the arm's MuJoCo model, which holds the FR3's published
inertia and, in its last link, the end effector and load that the robot reports.
"""

from __future__ import annotations

import mujoco
import numpy as np

from hilserl_envs.compiled import compiled

LINKS = 7
# Of each link: its frame in its parent's at joint position zero, rotation by rows (9) and
# offset [m] (3); mass [kg]; centre of mass [m] (3) and inertia about it [kg m^2] by rows (9).
LINK_SIZE = 25


def link_table(model: mujoco.MjModel) -> np.ndarray:
    """Geometry and inertia (7, 25) of a model that is one chain of seven hinges about z."""
    table = np.empty((LINKS, LINK_SIZE))
    for joint, row in enumerate(table):
        body = model.jnt_bodyid[joint]
        principal = _matrix(model.body_iquat[body])
        row[:9] = _matrix(model.body_quat[body]).ravel()
        row[9:12] = model.body_pos[body]
        row[12] = model.body_mass[body]
        row[13:16] = model.body_ipos[body]
        row[16:] = (principal * model.body_inertia[body] @ principal.T).ravel()
    return table


def _matrix(quat_wxyz: np.ndarray) -> np.ndarray:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat_wxyz)
    return matrix.reshape(3, 3)


@compiled
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@compiled
def _sum(a, b):
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@compiled
def _into(r, v):
    """A vector in the parent's axes in the child's; r holds the child's axes as columns."""
    return (
        r[0] * v[0] + r[3] * v[1] + r[6] * v[2],
        r[1] * v[0] + r[4] * v[1] + r[7] * v[2],
        r[2] * v[0] + r[5] * v[1] + r[8] * v[2],
    )


@compiled
def _out_of(r, v):
    """A vector in the child's axes in the parent's."""
    return (
        r[0] * v[0] + r[1] * v[1] + r[2] * v[2],
        r[3] * v[0] + r[4] * v[1] + r[5] * v[2],
        r[6] * v[0] + r[7] * v[1] + r[8] * v[2],
    )


@compiled
def _turned(link, q):
    """Axes of a link in its parent's, by rows, at a joint position."""
    c, s = np.cos(q), np.sin(q)
    return (
        link[0] * c + link[1] * s,
        link[1] * c - link[0] * s,
        link[2],
        link[3] * c + link[4] * s,
        link[4] * c - link[3] * s,
        link[5],
        link[6] * c + link[7] * s,
        link[7] * c - link[6] * s,
        link[8],
    )


@compiled
def coriolis_torque(
    links: np.ndarray, q: np.ndarray, dq: np.ndarray, forces: np.ndarray, coriolis: np.ndarray
) -> None:
    """Write C(q, dq) dq (7,) [Nm], by the recursive Newton-Euler algorithm without gravity.

    J. Y. S. Luh, M. W. Walker and R. P. C. Paul, "On-line computational scheme for
    mechanical manipulators" (1980).

    Args:
        links: (7, 25), see `link_table`.
        q, dq: joint positions [rad] and velocities [rad/s] (7,).
        forces: (7, 6) to work in.
        coriolis: (7,), written.
    """
    turning = (0.0, 0.0, 0.0)  # of the link: angular velocity,
    gaining = (0.0, 0.0, 0.0)  # angular acceleration,
    pull = (0.0, 0.0, 0.0)  # and acceleration of its origin, all in its own axes
    for i in range(7):
        link = links[i]
        r, offset = _turned(link, q[i]), (link[9], link[10], link[11])
        pull = _into(r, _sum(pull, _sum(_cross(gaining, offset), _cross(turning, _cross(turning, offset)))))
        turning, gaining = _into(r, turning), _into(r, gaining)
        gaining = _sum(gaining, _cross(turning, (0.0, 0.0, dq[i])))
        turning = _sum(turning, (0.0, 0.0, dq[i]))
        center = (link[13], link[14], link[15])
        at_center = _sum(pull, _sum(_cross(gaining, center), _cross(turning, _cross(turning, center))))
        force = link[12] * at_center[0], link[12] * at_center[1], link[12] * at_center[2]
        inertia = links[i, 16:]
        moment = _sum(_out_of(inertia, gaining), _cross(turning, _out_of(inertia, turning)))
        moment = _sum(moment, _cross(center, force))
        for k in range(3):
            forces[i, k], forces[i, 3 + k] = force[k], moment[k]
    for i in range(6, -1, -1):
        coriolis[i] = forces[i, 5]
        if i > 0:
            link = links[i]
            r, offset = _turned(link, q[i]), (link[9], link[10], link[11])
            force = _out_of(r, (forces[i, 0], forces[i, 1], forces[i, 2]))
            moment = _sum(_out_of(r, (forces[i, 3], forces[i, 4], forces[i, 5])), _cross(offset, force))
            for k in range(3):
                forces[i - 1, k] += force[k]
                forces[i - 1, 3 + k] += moment[k]
