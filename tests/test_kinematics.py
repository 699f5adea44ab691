"""Both kinematics, ours and MuJoCo's, against the published table in a third form."""

import math

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.kinematics import (
    ARM_MODELS,
    PANDA,
    forward_kinematics,
    inverse_kinematics,
    joint_frames,
)
from hilserl_envs.poses import displacement
from hilserl_envs.twin.arm import add_arm

# Franka's published table: a [m], d [m], alpha [rad] of joints 1 to 7, then of the flange.
PUBLISHED = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
    (0.0, 0.107, 0.0),
]
HAND_TURN = math.radians(-45)
TCP_FROM_HAND = 0.1034
EXACT = 1e-9  # [m] and [rad]
READY, TORQUE_LIMITS = np.array(PANDA.ready), np.array(PANDA.torque_limits)
JOINT_LIMITS = {name: np.array(arm.joint_limits) for name, arm in ARM_MODELS.items()}

LOW, HIGH = JOINT_LIMITS["panda"].T
shares = hnp.arrays(np.float64, 7, elements=st.floats(0, 1))


def published_frames(q: np.ndarray) -> list[np.ndarray]:
    """Homogeneous frames of joints 1 to 7 and of the TCP, each as a product of four motions."""

    def motion(rotvec=(0, 0, 0), shift=(0, 0, 0)):
        homogeneous = np.eye(4)
        homogeneous[:3, :3], homogeneous[:3, 3] = Rotation.from_rotvec(rotvec).as_matrix(), shift
        return homogeneous

    frame, frames = np.eye(4), []
    for (a, d, alpha), angle in zip(PUBLISHED, [*q, 0.0], strict=True):
        frame = (
            frame
            @ motion([alpha, 0, 0])
            @ motion(shift=[a, 0, 0])
            @ motion([0, 0, angle])
            @ motion(shift=[0, 0, d])
        )
        frames.append(frame)
    frames[-1] = frames[-1] @ motion([0, 0, HAND_TURN]) @ motion(shift=[0, 0, TCP_FROM_HAND])
    return frames


def assert_same_frame(matrix: np.ndarray, position: np.ndarray, rotation: Rotation):
    np.testing.assert_allclose(position, matrix[:3, 3], atol=EXACT)
    assert (Rotation.from_matrix(matrix[:3, :3]).inv() * rotation).magnitude() <= EXACT


@pytest.fixture(scope="module")
def lone_arm():
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_arm(spec, np.array([0.0, 0, 0, 0, 0, 0, 1]), "", 0)
    model = spec.compile()
    return model, mujoco.MjData(model)


def test_forward_kinematics_is_the_published_one(lone_arm):
    model, data = lone_arm
    for q in np.random.default_rng(7).uniform(LOW, HIGH, (100, 7)):
        expected = published_frames(q)
        pose = forward_kinematics("panda", q)
        assert_same_frame(expected[7], pose[:3], Rotation.from_quat(pose[3:]))
        np.testing.assert_allclose(joint_frames("panda", q), expected, atol=EXACT)
        for i in range(7):
            data.joint(f"joint{i + 1}").qpos = q[i]
        mujoco.mj_kinematics(model, data)
        for i in range(7):
            link = data.body(f"link{i + 1}")
            assert_same_frame(expected[i], link.xpos, Rotation.from_matrix(link.xmat.reshape(3, 3)))
        tcp = data.site("tcp")
        assert_same_frame(expected[7], tcp.xpos, Rotation.from_matrix(tcp.xmat.reshape(3, 3)))


def test_ready_posture_points_down():
    pose = forward_kinematics("panda", READY)
    np.testing.assert_allclose(Rotation.from_quat(pose[3:]).apply([0, 0, 1]), [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(pose[:3], [0.30689, 0, 0.48688], atol=1e-5)


def test_limits_are_the_published_ones():
    np.testing.assert_array_equal(
        JOINT_LIMITS["panda"].T,
        [
            [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973],
            [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973],
        ],
    )
    np.testing.assert_array_equal(
        JOINT_LIMITS["fr3"].T,
        [
            [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159],
            [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159],
        ],
    )
    np.testing.assert_array_equal(TORQUE_LIMITS, [87, 87, 87, 87, 12, 12, 12])


@settings(max_examples=50)
@given(hnp.arrays(np.float64, 7, elements=st.floats(-0.3, 0.3)))
def test_inverse_undoes_forward(offset):
    target = forward_kinematics("panda", np.clip(READY + offset, LOW, HIGH))
    q = inverse_kinematics("panda", target)
    assert (q >= LOW).all() and (q <= HIGH).all()
    np.testing.assert_allclose(displacement(forward_kinematics("panda", q), target), 0, atol=1e-6)


@pytest.mark.parametrize("x", [0.35, 0.5, 0.65])
@pytest.mark.parametrize("y", [-0.25, 0.0, 0.25])
@pytest.mark.parametrize("z", [0.02, 0.2, 0.4])
def test_inverse_reaches_the_table_in_front(x, y, z):
    target = np.array([x, y, z, 1, 0, 0, 0.0])
    np.testing.assert_allclose(
        displacement(forward_kinematics("panda", inverse_kinematics("panda", target)), target), 0, atol=1e-6
    )


def test_inverse_takes_the_posture_near_the_one_given():
    near = np.array([0.3, -0.5, -0.3, -2.2, 0.1, 1.8, 0.9])
    q = inverse_kinematics("panda", forward_kinematics("panda", near), posture=near)
    np.testing.assert_allclose(q, near, atol=1e-6)


def test_inverse_does_not_change_its_arguments():
    target, posture = forward_kinematics("panda", READY + 0.1), READY.copy()
    kept = target.copy()
    inverse_kinematics("panda", target, posture)
    np.testing.assert_array_equal(target, kept)
    np.testing.assert_array_equal(posture, READY)


@pytest.mark.parametrize("model", ["panda", "fr3"])
def test_inverse_keeps_the_limits_it_is_given(model):
    limits = JOINT_LIMITS[model]
    for y in (-0.2, 0.0, 0.2):
        q = inverse_kinematics(model, np.array([0.45, y, 0.15, 1, 0, 0, 0.0]))
        assert (q >= limits[:, 0]).all() and (q <= limits[:, 1]).all()


@pytest.mark.parametrize("position", [(2, 0, 0), (0.5, 0, 1.5), (0, 0, -1)])
def test_an_unreachable_pose_is_told(position):
    with pytest.raises(
        RobotError, match=r"no joint positions within the limits reach the pose \[.*misses by"
    ):
        inverse_kinematics("panda", np.array([*position, 1, 0, 0, 0.0]))


def test_a_pose_that_is_not_finite_is_told():
    with pytest.raises(ConfigError, match="must be finite"):
        inverse_kinematics("panda", np.array([0.5, np.nan, 0.2, 1, 0, 0, 0]))


@given(shares)
@settings(max_examples=50)
def test_the_tcp_is_rigidly_mounted_on_the_last_link(share):
    frames, ready = joint_frames("panda", LOW + share * (HIGH - LOW)), joint_frames("panda", READY)
    mounted = np.linalg.inv(ready[6]) @ ready[7]
    np.testing.assert_allclose(np.linalg.inv(frames[6]) @ frames[7], mounted, atol=EXACT)
