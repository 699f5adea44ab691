"""Poses against scipy's Rotation, and the laws that rotations and frames obey."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation, Slerp

from hilserl_envs.poses import (
    compose,
    displace,
    displacement,
    invert,
    look_at,
    matrix_to_quat,
    quat_conjugate,
    quat_multiply,
    quat_normalize,
    quat_slerp,
    quat_to_matrix,
    quat_to_rotvec,
    rotate,
    rotvec_to_quat,
    saturate,
    wxyz_to_xyzw,
    xyzw_to_wxyz,
)

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])
IDENTITY_POSE = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
fractions = st.floats(0, 1)


def vectors(size: int = 3, largest: float = 2.0):
    return hnp.arrays(np.float64, size, elements=st.floats(-largest, largest, allow_subnormal=False))


@st.composite
def quats(draw):
    quat = draw(vectors(4, 1.0))
    norm = np.linalg.norm(quat)
    assume(norm > 1e-3)
    return quat / norm


@st.composite
def rotvecs(draw, largest: float = math.pi):
    """Of any direction, angles down to 1e-12 and up to `largest` tried on purpose."""
    axis = draw(vectors())
    assume(np.linalg.norm(axis) > 1e-3)
    angle = draw(st.floats(0, largest) | st.sampled_from([0.0, 1e-12, 1e-7, 1e-6, largest - 1e-9, largest]))
    return angle * axis / np.linalg.norm(axis)


@st.composite
def poses(draw):
    return np.concatenate([draw(vectors()), draw(quats())])


def assert_same_rotation(a, b, tolerance=1e-9):
    difference = Rotation.from_quat(a).inv() * Rotation.from_quat(b)
    assert difference.magnitude() <= tolerance


def assert_same_pose(a, b):
    np.testing.assert_allclose(a[:3], b[:3], atol=1e-9)
    assert_same_rotation(a[3:], b[3:])


# Against scipy


@given(quats(), quats())
def test_product(a, b):
    product = (Rotation.from_quat(a) * Rotation.from_quat(b)).as_quat()
    assert_same_rotation(quat_multiply(a, b), product)


@given(quats(), vectors())
def test_rotated_vector(q, vector):
    np.testing.assert_allclose(rotate(q, vector), Rotation.from_quat(q).apply(vector), atol=1e-12)


@given(quats())
def test_matrix_both_ways(q):
    matrix = Rotation.from_quat(q).as_matrix()
    np.testing.assert_allclose(quat_to_matrix(q), matrix, atol=1e-12)
    assert_same_rotation(matrix_to_quat(matrix), q)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8), (-0.6, 0.8, 0)])
@pytest.mark.parametrize("angle", [math.pi, math.pi - 1e-9, 2 * math.pi / 3, 0.0])
def test_matrix_to_quat_at_every_branch(axis, angle):
    rotation = Rotation.from_rotvec(angle * np.array(axis))
    quat = matrix_to_quat(rotation.as_matrix())
    assert_same_rotation(quat, rotation.as_quat())
    assert np.linalg.norm(quat) == pytest.approx(1, abs=1e-12)


@given(rotvecs())
def test_rotvec_to_quat(rotvec):
    np.testing.assert_allclose(rotvec_to_quat(rotvec), Rotation.from_rotvec(rotvec).as_quat(), atol=1e-15)


@given(quats())
@example(np.array([1.0, 0.0, 0.0, 0.0]))
@example(np.array([1e-200, 0.0, 0.0, 1.0]))
def test_quat_to_rotvec(q):
    rotvec = quat_to_rotvec(q)
    assert np.linalg.norm(rotvec) <= math.pi + 1e-12
    assert_same_rotation(Rotation.from_rotvec(rotvec).as_quat(), q)


@given(quats(), quats(), fractions)
def test_slerp(a, b, fraction):
    assume(abs(np.dot(a, b)) > 1e-6)  # at half a turn there are two shortest ways
    expected = Slerp([0, 1], Rotation.from_quat([a, b]))(fraction).as_quat()
    assert_same_rotation(quat_slerp(a, b, fraction), expected, 1e-7)


# Laws


@given(quats(), quats(), quats())
def test_rotations_are_a_group(a, b, c):
    left = quat_multiply(quat_multiply(a, b), c)
    np.testing.assert_allclose(left, quat_multiply(a, quat_multiply(b, c)), atol=1e-12)
    np.testing.assert_allclose(quat_multiply(a, IDENTITY), a, atol=0)
    np.testing.assert_allclose(quat_multiply(IDENTITY, a), a, atol=0)
    np.testing.assert_allclose(quat_multiply(a, quat_conjugate(a)), IDENTITY, atol=1e-12)
    assert np.linalg.norm(left) == pytest.approx(1, abs=1e-12)


@given(poses(), poses(), poses())
def test_poses_are_a_group(a, b, c):
    assert_same_pose(compose(compose(a, b), c), compose(a, compose(b, c)))
    assert_same_pose(compose(a, IDENTITY_POSE), a)
    assert_same_pose(compose(IDENTITY_POSE, a), a)
    assert_same_pose(compose(a, invert(a)), IDENTITY_POSE)
    assert_same_pose(compose(invert(a), a), IDENTITY_POSE)
    assert_same_pose(invert(compose(a, b)), compose(invert(b), invert(a)))


@given(poses(), vectors())
def test_a_composed_pose_moves_points_as_its_parts_do(pose, point):
    at_point = np.concatenate([point, IDENTITY])
    np.testing.assert_allclose(compose(pose, at_point)[:3], pose[:3] + rotate(pose[3:], point), atol=1e-12)


@given(quats())
def test_q_and_minus_q_turn_alike(q):
    if q[3] != 0:  # a half turn has two rotation vectors
        np.testing.assert_allclose(quat_to_rotvec(-q), quat_to_rotvec(q), atol=1e-12)
    np.testing.assert_array_equal(quat_to_matrix(-q), quat_to_matrix(q))


@given(rotvecs(largest=3.1))
def test_rotation_vectors_survive_the_way_through_quaternions(rotvec):
    np.testing.assert_allclose(quat_to_rotvec(rotvec_to_quat(rotvec)), rotvec, rtol=1e-9, atol=1e-15)


@given(vectors(4, 10.0))
def test_normalised_quaternions_have_length_1(q):
    unit = quat_normalize(q)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-12)
    norm = np.linalg.norm(q)
    if norm > 1e-6:
        np.testing.assert_allclose(unit * norm, q, atol=1e-12)


def test_no_rotation_is_what_a_zero_quaternion_becomes():
    np.testing.assert_array_equal(quat_normalize(np.zeros(4)), IDENTITY)


@given(quats(), quats())
def test_slerp_starts_at_a_and_ends_at_b(a, b):
    np.testing.assert_allclose(quat_slerp(a, b, 0.0), a, atol=1e-12)
    assert_same_rotation(quat_slerp(a, b, 1.0), b, 1e-7)


@given(quats(), quats(), fractions)
def test_slerp_turns_evenly_and_the_shortest_way(a, b, fraction):
    between = quat_slerp(a, b, fraction)
    turns = (Rotation.from_quat(a).inv() * Rotation.from_quat([between, b])).magnitude()
    assert turns[0] == pytest.approx(fraction * turns[1], abs=1e-6)
    assert np.dot(between, a) >= -1e-12, "stays in a's hemisphere"
    assert np.linalg.norm(between) == pytest.approx(1, abs=1e-12)


@given(quats(), rotvecs(largest=1e-5), fractions)
def test_slerp_of_nearly_equal_orientations(q, rotvec, fraction):
    near = quat_multiply(rotvec_to_quat(rotvec), q)
    expected = quat_multiply(rotvec_to_quat(fraction * rotvec), q)
    np.testing.assert_allclose(quat_slerp(q, near, fraction), expected, atol=1e-14)


@given(poses(), poses())
def test_displacement_is_what_displaces_start_onto_end(start, end):
    step = displacement(start, end)
    assert_same_pose(displace(start, step[:3], step[3:]), end)
    assert np.linalg.norm(step[3:]) <= math.pi + 1e-12


@given(poses(), vectors(), rotvecs(largest=3.1))
def test_displacing_is_undone_by_measuring(pose, translation, rotvec):
    step = displacement(pose, displace(pose, translation, rotvec))
    np.testing.assert_allclose(step, np.concatenate([translation, rotvec]), atol=1e-9)


@given(poses(), poses(), vectors(largest=0.5), rotvecs(largest=3.0))
def test_a_displacement_turns_with_the_frame_as_two_plain_vectors(frame, pose, translation, rotvec):
    """Seen from another frame, both halves turn with it and neither leaks into the other."""
    moved = compose(frame, displace(pose, translation, rotvec))
    turned = displace(compose(frame, pose), rotate(frame[3:], translation), rotate(frame[3:], rotvec))
    assert_same_pose(moved, turned)


@given(vectors(6, 3.0), st.floats(0.01, 5))
def test_saturated_vectors_keep_their_direction(vector, limit):
    short = saturate(vector, limit)
    norm = np.linalg.norm(vector)
    assert np.linalg.norm(short) == pytest.approx(min(norm, limit), rel=1e-12)
    np.testing.assert_allclose(short * norm, vector * np.linalg.norm(short), atol=1e-12)
    assert not np.shares_memory(short, vector)
    if norm < limit * (1 - 1e-12):
        np.testing.assert_array_equal(short, vector)


@pytest.mark.parametrize(
    "size",
    [
        1e-310,
        1e-200,
        1e200,
        pytest.param(1.7e308),
    ],
)
def test_saturation_at_the_ends_of_floating_point(size):
    short = saturate(np.array([size, -size, 0.0]), 1.0)
    expected = [size, -size, 0.0] if size < 1 else [math.sqrt(0.5), -math.sqrt(0.5), 0.0]
    np.testing.assert_allclose(short, expected, rtol=1e-9)


def test_nothing_is_written_into_its_arguments():
    pose, other = np.array([1, 2, 3, 0, 0, 0.6, 0.8]), np.array([3, 2, 1, 0.6, 0, 0, 0.8])
    kept = pose.copy(), other.copy()
    compose(pose, other), invert(pose), displacement(pose, other), displace(pose, other[:3], other[3:6])
    (
        quat_slerp(pose[3:], other[3:], 0.3),
        quat_normalize(pose[3:]),
        quat_conjugate(pose[3:]),
        saturate(pose, 1.0),
    )
    np.testing.assert_array_equal(pose, kept[0])
    np.testing.assert_array_equal(other, kept[1])


@given(quats())
def test_the_two_orders_are_each_others_inverse(quat):
    np.testing.assert_array_equal(xyzw_to_wxyz(quat), quat[[3, 0, 1, 2]])
    np.testing.assert_array_equal(wxyz_to_xyzw(xyzw_to_wxyz(quat)), quat)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 1, 0.2), (-0.3, 0.1, -1)])
@pytest.mark.parametrize("target", [(0.5, 0.0, 0.1), (-1.0, 2.0, 0.5), (0.3, 0.9, -2.0)])
def test_cameras_look_at_their_target_upright(target, up):
    position = np.array([1.2, 0.3, 0.8])
    right, above, backward = Rotation.from_quat(look_at(position, target, up)).as_matrix().T
    ahead = (target - position) / np.linalg.norm(target - position)
    np.testing.assert_allclose(-backward, ahead, atol=1e-12)
    assert above @ np.array(up) > 0 and right @ np.array(up) == pytest.approx(0, abs=1e-12)
