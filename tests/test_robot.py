"""The seam: what a command may hold, and that every world keeps the protocol."""

import math
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ARM_NAMES, ArmCommand, ArmState, FakeRobot, Robot, key_prefix
from hilserl_envs.tasks import make_task
from hilserl_envs.twin.robot import TwinRobot

POSE = np.array([0.5, 0.1, 0.2, 0.6, 0.0, 0.8, 0.0])
SHAPES = dict(tcp_pose=(7,), tcp_vel=(6,), tcp_force=(3,), tcp_torque=(3,), q=(7,), dq=(7,), jacobian=(6, 7))


@pytest.fixture(scope="module")
def twin():
    robot = TwinRobot(make_task("PickCube"))
    yield robot
    robot.close()


@pytest.fixture(params=["fake", "fake pair", "twin"])
def robot(request, twin):
    if request.param == "twin":
        twin.scene.reset()
        return twin
    return FakeRobot(ARM_NAMES[2 if request.param == "fake pair" else 1], {"front": (4, 6)})


# Commands


def test_an_empty_command_changes_nothing():
    command = ArmCommand()
    assert command.pose is None and command.wrench is None and command.gripper is None


def test_a_command_keeps_copies():
    pose, wrench = POSE.copy(), np.arange(6.0)
    command = ArmCommand(pose, wrench, 1)
    pose[:], wrench[:] = 0, 0
    np.testing.assert_array_equal(command.pose, POSE)
    np.testing.assert_array_equal(command.wrench, np.arange(6))
    assert type(command.gripper) is float


def test_lists_are_taken():
    np.testing.assert_array_equal(ArmCommand(pose=POSE.tolist()).pose, POSE)


@given(st.integers(0, 6), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_pose_that_is_not_finite_is_refused(place, bad):
    pose = POSE.copy()
    pose[place] = bad
    with pytest.raises(ActionError, match="a commanded pose must be finite"):
        ArmCommand(pose=pose)


@given(hnp.arrays(np.float64, 4, elements=st.floats(-2, 2)))
def test_only_unit_quaternions_are_taken(quat):
    length = np.linalg.norm(quat)
    if abs(length - 1) > 2e-3:
        with pytest.raises(ActionError, match=rf"unit quat_xyzw, got .* of length {length:.4f}"):
            ArmCommand(pose=np.concatenate([POSE[:3], quat]))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pose": POSE[:6]}, r"a commanded pose must have shape \(7,\), got shape \(6,\)"),
        ({"pose": "home"}, "a commanded pose must be numbers"),
        ({"wrench": np.zeros(3)}, r"a commanded wrench must have shape \(6,\)"),
        ({"wrench": [0, 0, math.nan, 0, 0, 0]}, "a commanded wrench must be finite"),
        ({"gripper": 1.01}, r"0 \(closed\) to 1 \(open\), got 1.01"),
        ({"gripper": -0.01}, "got -0.01"),
        ({"gripper": math.nan}, "a gripper command must be finite"),
        ({"gripper": [1.0]}, "a gripper command must have shape"),
        ({"gripper": "open"}, "a gripper command must be numbers"),
    ],
)
def test_a_wrong_command_is_refused(values, says):
    with pytest.raises(ActionError, match=says):
        ArmCommand(**values)


# Every world


def test_keys_of_a_lone_arm_have_no_prefix():
    assert key_prefix("arm", ARM_NAMES[1]) == ""
    assert [key_prefix(arm, ARM_NAMES[2]) for arm in ARM_NAMES[2]] == ["left/", "right/"]


def test_keeps_the_protocol(robot):
    assert isinstance(robot, Robot)
    assert all(hasattr(robot, name) for name in get_type_hints(Robot))
    assert robot.arms in ARM_NAMES.values()


def test_half_a_robot_does_not_keep_it():
    class Silent:
        arms, cameras, scene = ("arm",), {}, None

    assert not isinstance(Silent(), Robot)


def test_states_have_the_documented_shapes(robot):
    state = robot.read()
    assert tuple(state.arms) == robot.arms
    for arm in state.arms.values():
        assert isinstance(arm, ArmState)
        for name, shape in SHAPES.items():
            value = getattr(arm, name)
            assert value.shape == shape and value.dtype == np.float64, name
        assert np.linalg.norm(arm.tcp_pose[3:]) == pytest.approx(1)
        assert 0 <= arm.gripper_pose <= 1


def test_images_have_the_announced_sizes(robot):
    images = robot.capture()
    assert set(images) == set(robot.cameras)
    for name, image in images.items():
        assert image.shape == (*robot.cameras[name], 3) and image.dtype == np.uint8


def test_time_passes_in_wait_alone(robot):
    began = robot.read().time
    robot.command({robot.arms[0]: ArmCommand(gripper=0.0)})
    robot.configure({robot.arms[0]: Compliance()})
    robot.capture(), robot.recover()
    assert robot.read().time == began
    robot.wait(0.3)
    assert robot.read().time == pytest.approx(began + 0.3)


def test_arms_go_where_they_are_sent(robot):
    name = robot.arms[-1]
    pose = robot.read().arms[name].tcp_pose
    pose[0] += 0.02
    robot.command({name: ArmCommand(pose=pose, gripper=0.0)})
    robot.wait(2.0)
    state = robot.read().arms[name]
    np.testing.assert_allclose(state.tcp_pose[:3], pose[:3], atol=5e-4)
    assert state.gripper_pose == pytest.approx(0, abs=1e-3)


def test_arms_not_named_and_parts_not_given_stay(robot):
    before = robot.read().arms
    robot.command({robot.arms[0]: ArmCommand(gripper=0.5)})
    robot.command({})
    robot.wait(0.5)
    for name, state in robot.read().arms.items():
        np.testing.assert_allclose(state.tcp_pose, before[name].tcp_pose, atol=1e-3)
        if name != robot.arms[0]:
            assert state.gripper_pose == before[name].gripper_pose


def test_joints_go_where_they_are_reset_to(robot):
    name = robot.arms[0]
    q = robot.read().arms[name].q + 0.05
    robot.reset_joints({name: q})
    np.testing.assert_allclose(robot.read().arms[name].q, q, atol=0.02)


def test_an_unknown_arm_is_refused_in_commands(robot):
    for call in (
        lambda: robot.command({"third": ArmCommand()}),
        lambda: robot.load("third", 1.0, np.zeros(3), np.eye(3)),
    ):
        with pytest.raises(ConfigError, match="unknown arm 'third'.*known: "):
            call()


def test_an_unknown_arm_is_refused_in_settings(robot):
    for call in (
        lambda: robot.configure({"third": Compliance()}),
        lambda: robot.reset_joints({"third": np.zeros(7)}),
    ):
        with pytest.raises(ConfigError, match="unknown arm 'third'.*known: "):
            call()


def test_what_was_read_is_the_readers_own(robot):
    name = robot.arms[0]
    first = robot.read().arms[name]
    kept = {field: getattr(first, field).copy() for field in SHAPES}
    for field in SHAPES:
        getattr(first, field)[:] = 1e6
    second = robot.read().arms[name]
    for field, value in kept.items():
        np.testing.assert_array_equal(getattr(second, field), value)


def test_closing_twice_is_safe():
    for robot in (FakeRobot(), TwinRobot(make_task("PickCube"))):
        robot.close()
        robot.close()


# The fake


def test_the_fake_keeps_what_it_was_told():
    robot = FakeRobot()
    command, compliance = ArmCommand(pose=POSE), Compliance(rotational_stiffness=200)
    robot.command({"arm": command})
    robot.configure({"arm": compliance})
    assert robot.commands == [{"arm": command}]
    assert robot.compliance == {"arm": compliance}
    np.testing.assert_array_equal(robot.read().arms["arm"].tcp_pose, POSE)
