"""Tests of what a robot server and its client say to each other."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs import wire
from hilserl_envs.cameras import Frame
from hilserl_envs.errors import ActionError, RobotError
from hilserl_envs.json_values import parse_json
from hilserl_envs.robot import ArmCommand, ArmState, RobotState

POSE = [0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]
ARMS, CAMERAS = ("left", "right"), ("wrist_1", "side")

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.dictionaries(
            st.sampled_from(["pose", "wrench", "gripper", "left", "commands", "wait", "images", "x"]), inner
        )
    ),
    max_leaves=20,
)


def random_state(seed=0):
    rng = np.random.default_rng(seed)
    arms = {}
    for name in ARMS:
        sizes = {"tcp_pose": 7, "tcp_vel": 6, "tcp_force": 3, "tcp_torque": 3, "q": 7, "dq": 7}
        arms[name] = ArmState(
            **{key: rng.normal(size=size) for key, size in sizes.items()},
            jacobian=rng.normal(size=(6, 7)),
            gripper_pose=float(rng.uniform()),
        )
    return RobotState(float(rng.uniform(0, 1e6)), arms)


def frames(seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"wrist_1": (128, 128, 3), "side": (48, 64, 3)}
    return {
        name: Frame(rng.integers(0, 256, size, np.uint8), 12.5 + i, 7 * i)
        for i, (name, size) in enumerate(sizes.items())
    }


def through_json(value):
    return parse_json(json.dumps(value, allow_nan=False).encode())


def assert_same(state, other):
    assert state.time == other.time and list(state.arms) == list(other.arms)
    for name, arm in state.arms.items():
        for key, value in vars(arm).items():
            np.testing.assert_array_equal(value, getattr(other.arms[name], key))


def test_a_state_survives_the_way_to_the_bit():
    state = random_state()
    assert_same(wire.state_from_json(through_json(wire.state_to_json(state))), state)


def test_a_state_that_is_not_finite_is_said_to_be():
    state = random_state()
    state.arms["right"].tcp_force[1] = np.nan
    with pytest.raises(RobotError, match="tcp_force of arm 'right'.*recover"):
        wire.state_to_json(state)


@pytest.mark.parametrize("data", [None, [], {}, {"time": 0}, {"time": 0, "arms": {"arm": {"q": [1]}}}])
def test_an_answer_that_is_no_state(data):
    with pytest.raises(RobotError, match="no state of a robot"):
        wire.state_from_json(data)


def test_commands_survive_the_way():
    commands = {
        "left": ArmCommand(pose=np.array(POSE), gripper=0.25),
        "right": ArmCommand(wrench=np.arange(6.0)),
    }
    plain = wire.commands_to_json(commands)
    assert plain == {"left": {"pose": POSE, "gripper": 0.25}, "right": {"wrench": [0, 1, 2, 3, 4, 5]}}
    back = wire.commands_from_json(through_json(plain), ARMS)
    np.testing.assert_array_equal(back["left"].pose, POSE)
    assert back["left"].wrench is None and back["left"].gripper == 0.25
    np.testing.assert_array_equal(back["right"].wrench, np.arange(6.0))


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "commands must be an object"),
        ([POSE], "commands must be an object"),
        ({"arm": {"pose": POSE}}, "no 'arm'; known: left, right"),
        ({"left": POSE}, "command of arm 'left' must be an object"),
        ({"left": {"poses": POSE}}, "no 'poses'; known: gripper, pose, wrench"),
        ({"left": {"pose": POSE[:6]}}, "list of 7 finite numbers"),
        ({"left": {"pose": ["0.5", 0, 0.3, 1, 0, 0, 0]}}, "list of 7 finite numbers"),
        ({"left": {"pose": [True, 0, 0.3, 1, 0, 0, 0]}}, "list of 7 finite numbers"),
        ({"left": {"pose": [1e12, 0, 0.3, 1, 0, 0, 0]}}, "7 finite numbers below 1e"),
        ({"left": {"pose": [10**400, 0, 0.3, 1, 0, 0, 0]}}, "list of 7 finite numbers"),
        ({"left": {"pose": [[0.5], 0, 0.3, 1, 0, 0, 0]}}, "list of 7 finite numbers"),
        ({"left": {"pose": [0.5, 0, 0.3, 0, 0, 0, 0]}}, "unit quat_xyzw"),
        ({"left": {"pose": [0.5, 0, 0.3, 1, 1, 0, 0]}}, "unit quat_xyzw"),
        ({"left": {"wrench": 5}}, "list of 6 finite numbers"),
        ({"left": {"gripper": 1.5}}, "from 0 to 1, got 1.5"),
        ({"left": {"gripper": True}}, "from 0 to 1, got True"),
        ({"left": {"gripper": 10**400}}, "from 0 to 1, got a huge number"),
    ],
)
def test_what_is_no_command_is_refused(data, message):
    with pytest.raises(ActionError, match=message):
        wire.commands_from_json(data, ARMS)


def test_messages_are_short_whatever_came():
    with pytest.raises(ActionError) as caught:
        wire.commands_from_json({"left": {"pose": ["x" * 10_000]}}, ARMS)
    assert len(str(caught.value)) < 200


@given(any_json)
def test_any_json_is_a_step_or_an_action_error(data):
    try:
        request = wire.StepRequest.from_json(data, ARMS, CAMERAS)
    except ActionError:
        return
    assert wire.StepRequest.from_json(through_json(request.to_json()), ARMS, CAMERAS).wait == request.wait


def test_a_step_survives_the_way():
    request = wire.StepRequest(
        {"left": ArmCommand(gripper=1.0)}, wait=0.1, since=12.25, images=("side",), encoding="raw"
    )
    back = wire.StepRequest.from_json(through_json(request.to_json()), ARMS, CAMERAS)
    assert back == request


def test_every_part_of_a_step_may_be_left_out():
    assert wire.StepRequest.from_json({}, ARMS, CAMERAS) == wire.StepRequest()


@pytest.mark.parametrize(
    "data, message",
    [
        ({"wait": -0.1}, "wait"),
        ({"wait": 1e6}, "wait"),
        ({"since": "now"}, "since"),
        ({"images": "side"}, "images must be true"),
        ({"images": ["front"]}, "no camera 'front'; known: side, wrist_1"),
        ({"images": [["side"]]}, "no camera"),
        ({"encoding": "png"}, "encoding must be one of jpeg, raw"),
        ({"encoding": ["raw"]}, "encoding must be one of"),
        ({"wate": 1}, "no 'wate'"),
        ([], "a step must be an object"),
    ],
)
def test_what_is_no_step_is_refused(data, message):
    with pytest.raises(ActionError, match=message):
        wire.StepRequest.from_json(data, ARMS, CAMERAS)


def test_raw_images_come_back_to_the_bit_and_are_the_callers_own():
    sent = frames()
    answer, received = wire.unpack(wire.pack({"time": 1.0}, sent, "raw"))
    assert answer["time"] == 1.0 and list(received) == list(sent)
    for name, frame in sent.items():
        np.testing.assert_array_equal(received[name].image, frame.image)
        assert (received[name].time, received[name].number) == (frame.time, frame.number)
        received[name].image[:] = 0


def test_jpeg_images_come_back_nearly_the_same():
    smooth = np.tile(np.linspace(0, 255, 128).astype(np.uint8)[:, None, None], (1, 128, 3))
    answer, received = wire.unpack(wire.pack({}, {"side": Frame(smooth, 0.0, 1)}, "jpeg"))
    assert answer["images"][0]["bytes"] < smooth.size / 10
    assert np.abs(received["side"].image.astype(int) - smooth).max() < 6


@pytest.mark.parametrize("encoding", wire.ENCODINGS)
def test_any_cut_of_an_answer_is_noticed(encoding):
    body = wire.pack({"time": 1.0}, frames(), encoding)
    for length in [0, 1, 20, body.index(b"\n"), body.index(b"\n") + 1, len(body) - 1]:
        with pytest.raises(RobotError, match="no step's"):
            wire.unpack(body[:length])
    with pytest.raises(RobotError, match="no step's"):
        wire.unpack(body + b"x")


@pytest.mark.parametrize("body", [b"[]\n", b"{}\n", b'{"images": [{}]}\n', b"<html>\n"])
def test_an_answer_that_is_no_steps(body):
    with pytest.raises(RobotError, match="no step's"):
        wire.unpack(body)
