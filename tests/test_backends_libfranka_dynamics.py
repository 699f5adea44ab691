"""Coriolis torque against MuJoCo's, which takes gravity out of what it computes with it."""

import mujoco
import numpy as np
import pytest

from hilserl_envs.kinematics import FR3
from robot_servers.backends.libfranka_dynamics import coriolis_torque, link_table


@pytest.fixture(scope="module")
def model():
    """Seven links of no particular arm, about z axes that are turned and shifted against each other."""
    rng, spec = np.random.default_rng(0), mujoco.MjSpec()
    body = spec.worldbody
    for _ in range(7):
        body = body.add_body(pos=rng.uniform(-0.3, 0.3, 3), quat=rng.normal(size=4))
        body.add_joint(type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
        turn = rng.normal(size=4)
        body.explicitinertial, body.mass, body.ipos = True, rng.uniform(0.5, 4), rng.uniform(-0.1, 0.1, 3)
        body.iquat, body.inertia = turn / np.linalg.norm(turn), rng.uniform(0.01, 0.015, 3)
    return spec.compile()


def test_it_is_mujocos(model):
    data, links, rng = mujoco.MjData(model), link_table(model), np.random.default_rng(1)
    low, high = np.array(FR3.joint_limits).T
    ours, room = np.empty(7), np.empty((7, 6))
    for _ in range(50):
        q, dq = rng.uniform(low, high), rng.uniform(-2, 2, 7)
        coriolis_torque(links, q, dq, room, ours)
        data.qpos[:], data.qvel[:] = q, dq
        mujoco.mj_forward(model, data)
        moving = data.qfrc_bias.copy()
        data.qvel[:] = 0
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(ours, moving - data.qfrc_bias, atol=1e-11)


def test_standing_still_has_none(model):
    ours = np.full(7, np.nan)
    coriolis_torque(link_table(model), np.ones(7), np.zeros(7), np.empty((7, 6)), ours)
    np.testing.assert_array_equal(ours, 0)
