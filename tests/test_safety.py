"""The workspace box: whatever comes in, what goes out is inside it."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.poses import displace, quat_multiply, rotvec_to_quat
from hilserl_envs.safety import Limits, WorkspaceBox

LIMITS = Limits(low=(0.3, -0.2, 0.05), high=(0.6, 0.2, 0.4), rotation=(0.3, 0.5, 1.2))
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
BOX = WorkspaceBox(LIMITS, DOWN)


def vectors(low: float, high: float, size: int = 3):
    return hnp.arrays(np.float64, size, elements=st.floats(low, high, allow_subnormal=False))


@st.composite
def quats(draw):
    quat = draw(vectors(-1, 1, 4))
    assume(np.linalg.norm(quat) > 1e-3)
    return quat / np.linalg.norm(quat)


@st.composite
def limits(draw):
    """Boxes of any place and size, rotations from none at all to almost half a turn."""
    low = draw(vectors(-1, 1))
    size = draw(vectors(1e-3, 1))
    rotation = draw(vectors(0, 1)) * draw(st.sampled_from([0.1, 1.0, 1.8]))
    rotation *= min(1.0, (math.pi - 1e-6) / max(np.linalg.norm(rotation), 1e-9))
    return Limits(tuple(low), tuple(low + size), tuple(rotation))


@st.composite
def boxes(draw):
    return WorkspaceBox(draw(limits()), draw(quats()))


@st.composite
def poses(draw):
    """Any finite position, near or astronomical, and any orientation."""
    largest = draw(st.sampled_from([1.0, 1e3, 1e300]))
    return np.concatenate([draw(vectors(-largest, largest)), draw(quats())])


def inside(box: WorkspaceBox, reset_quat: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The pose at `shares` (6,) in [-1, 1] of the box's half-sizes."""
    low, high, rotation = (np.array(v) for v in dataclasses.astuple(box.limits))
    position = (low + high) / 2 + shares[:3] * (high - low) / 2
    return np.concatenate([position, quat_multiply(rotvec_to_quat(shares[3:] * rotation), reset_quat)])


@given(boxes(), poses())
def test_a_clipped_pose_is_inside(box, pose):
    clipped = box.clip(pose)
    assert box.contains(clipped)
    assert np.linalg.norm(clipped[3:]) == pytest.approx(1, abs=1e-9)


@given(boxes(), poses())
def test_clipping_twice_is_clipping_once(box, pose):
    once = box.clip(pose)
    twice = box.clip(once)
    np.testing.assert_array_equal(twice[:3], once[:3])
    np.testing.assert_allclose(np.abs(twice[3:] @ once[3:]), 1, atol=1e-12)
    np.testing.assert_allclose(box.turn(twice), box.turn(once), atol=1e-7)


@given(limits(), quats(), vectors(-1, 1, 6), st.sampled_from([1, -1]))
def test_an_inside_pose_is_unchanged_to_the_bit(limits, reset_quat, shares, sign):
    box = WorkspaceBox(limits, reset_quat)
    pose = inside(box, reset_quat, 0.999 * shares)
    pose[3:] *= sign  # either of the two quaternions of an orientation
    clipped = box.clip(pose)
    rotation = np.array(limits.rotation)
    if (rotation > 1e-6).all():  # a turn of nothing is up to rounding inside
        np.testing.assert_array_equal(clipped, pose)
    assert box.contains(pose)


@given(boxes(), poses(), vectors(-1, 1, 6))
def test_no_pose_of_the_box_is_nearer_on_any_axis(box, pose, shares):
    other = inside(box, DOWN, shares)[:3]
    clipped = box.clip(pose)[:3]
    assert (np.abs(clipped - pose[:3]) <= np.abs(other - pose[:3]) + 1e-9).all()


@given(vectors(-1, 1), st.floats(0.999, 1.001))
def test_orientations_near_half_a_turn_do_not_wrap(axis, share):
    """A hair on either side of half a turn from the reset orientation is clipped, not wrapped."""
    assume(np.linalg.norm(axis) > 1e-3)
    rotvec = axis / np.linalg.norm(axis) * math.pi * share
    pose = np.concatenate([[0.5, 0.0, 0.2], quat_multiply(rotvec_to_quat(rotvec), DOWN)])
    clipped = BOX.clip(pose)
    assert BOX.contains(clipped)
    shortest = BOX.turn(pose)
    np.testing.assert_allclose(
        BOX.turn(clipped), np.clip(shortest, *np.outer([-1, 1], LIMITS.rotation)), atol=1e-9
    )


def test_small_turns_across_the_euler_wrap_pass():
    """Roll is pi here; Euler angles jump between pi and -pi, a rotation vector does not."""
    for angle in (-0.2, -1e-9, 0.0, 1e-9, 0.2):
        pose = displace(np.array([0.5, 0, 0.2, *DOWN]), np.zeros(3), np.array([angle, 0, 0]))
        np.testing.assert_array_equal(BOX.clip(pose), pose)


@given(vectors(-1, 1))
def test_turn_is_the_rotation_vector_from_the_reset_orientation(shares):
    rotvec = shares * LIMITS.rotation
    pose = displace(np.array([0.5, 0, 0.2, *DOWN]), np.zeros(3), rotvec)
    np.testing.assert_allclose(BOX.turn(pose), rotvec, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
def test_each_face_is_where_the_limits_say(axis, sign):
    edge = np.zeros(6)
    for part in (0, 3):
        edge[:], edge[part + axis] = 0, sign
        assert BOX.contains(inside(BOX, DOWN, edge * (1 - 1e-6)))
        assert not BOX.contains(inside(BOX, DOWN, edge * (1 + 1e-6)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(7))
def test_what_is_not_finite_is_refused(bad, place):
    pose = np.array([0.5, 0, 0.2, *DOWN])
    pose[place] = bad
    with pytest.raises(ActionError, match="finite numbers"):
        BOX.clip(pose)


def test_a_zero_quaternion_is_refused():
    with pytest.raises(ActionError, match="quat_xyzw of length 1"):
        BOX.clip(np.array([0.5, 0, 0.2, 0, 0, 0, 0]))


def test_a_quaternion_of_astronomical_length_is_refused_or_clipped():
    pose = np.array([0.5, 0, 0.2, 1e200, 1e200, 0, 0])
    try:
        clipped = BOX.clip(pose)
    except ActionError:
        return
    assert BOX.contains(np.concatenate([clipped[:3], clipped[3:] / np.abs(clipped[3:]).max() / math.sqrt(2)]))


def test_clipping_leaves_its_argument_alone():
    pose = np.array([2.0, 2, 2, 0, 0, 0, 1])
    clipped = BOX.clip(pose)
    np.testing.assert_array_equal(pose, [2, 2, 2, 0, 0, 0, 1])
    assert not np.shares_memory(clipped, pose)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"low": (0.7, -0.2, 0.05)}, r"low \[0.7.*must be below high \[0.6"),
        ({"low": (0.6, -0.2, 0.05)}, "must be below high"),
        ({"high": (0.6, math.nan, 0.4)}, "Limits.high must be finite"),
        ({"high": (0.6, 0.2)}, r"Limits.high must have shape \(3,\), got shape \(2,\)"),
        ({"low": "low"}, "Limits.low must be numbers"),
        ({"rotation": (-0.1, 0, 0)}, "Limits.rotation must be >= 0"),
        ({"rotation": (2, 2, 2)}, "norm below pi"),
        ({"rotation": (math.pi, 0, 0)}, "norm below pi"),
        ({"rotation": (math.inf, 0, 0)}, "Limits.rotation must be finite"),
        ({"rotatoin": (1, 0, 0)}, "unknown Limits setting 'rotatoin': did you mean 'rotation'"),
    ],
)
def test_wrong_limits_are_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        Limits(**{**dataclasses.asdict(LIMITS), **changes})


@pytest.mark.parametrize(
    ("quat", "says"),
    [
        ([0, 0, 0, 2], "must have length 1"),
        ([0, 0, 1], "must have shape"),
        ([0, 0, math.nan, 1], "must be finite"),
    ],
)
def test_a_wrong_reset_orientation_is_refused(quat, says):
    with pytest.raises(ConfigError, match=says):
        WorkspaceBox(LIMITS, quat)


def test_limits_are_plain_tuples_whatever_they_were_given_as():
    given_as_arrays = Limits(*(np.array(v) for v in dataclasses.astuple(LIMITS)))
    assert given_as_arrays == LIMITS and hash(given_as_arrays) == hash(LIMITS)
