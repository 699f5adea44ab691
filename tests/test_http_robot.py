"""`HttpRobot` over a real server whose arms, grippers, cameras and clock are fakes."""

import contextlib
import copy
import dataclasses
import time

import numpy as np
import pytest

from hilserl_envs import served_arms, server_connection
from hilserl_envs.cameras import FakeCamera
from hilserl_envs.errors import ActionError, CameraError, ConfigError, RobotError
from hilserl_envs.http_robot import HttpRobot
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmCommand, Robot
from hilserl_envs.server_connection import TOKEN_FILE
from robot_servers.limits import GuardSettings
from robot_servers.station import Station
from tests.raw_server import ABOUT, RawServer, answer
from tests.servers import fake_server

POSE = np.array([0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
NEAR = np.array([0.52, 0.01, 0.28, 1.0, 0.0, 0.0, 0.0])


class StillClock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.time = 100.0
        self.waits = []

    def now(self):
        return self.time

    def wait_until(self, instant):
        self.waits.append(instant)
        self.time = max(self.time, instant)


@pytest.fixture
def connected():
    """A robot on a server of fakes, and its station; or on one server for each arm that is named."""
    with contextlib.ExitStack() as closing:

        def connected(servers=None, robot=None, **one):
            def start(settings):
                server = closing.enter_context(fake_server(**{"cameras": {}} | settings))
                stations.append(server.guard.station)
                return server.url

            stations: list[Station] = []
            urls = start(one) if servers is None else {arm: start(each) for arm, each in servers.items()}
            made = HttpRobot(urls, **(robot or {}))
            closing.callback(made.close)
            return made, *stations

        yield connected


def test_it_is_a_robot(connected):
    robot, _ = connected(cameras={"front": FakeCamera((20, 30)), "wrist_1": FakeCamera()})
    assert isinstance(robot, Robot)
    assert robot.arms == ("arm",)
    assert robot.cameras == {"front": (20, 30), "wrist_1": (128, 128)}
    assert robot.scene is None and robot.max_stride == (0.1, 0.5)


def test_the_stride_is_that_of_the_stricter_server(connected):
    strict = {"guard": GuardSettings(max_jump=0.02)}
    robot, *_ = connected({"left": strict, "right": {"guard": GuardSettings(max_turn=0.1)}})
    assert robot.max_stride == (0.02, 0.1)


def test_what_drives_an_arm_is_told_to_its_server(connected):
    robot, left, right = connected({"left": {}, "right": {}})
    left.parts["arm"].takes = right.parts["arm"].takes = ("pose",)
    robot.drive_by({"right": "wrench"})
    assert (left.parts["arm"].takes, right.parts["arm"].takes) == (("pose",), ("wrench",))
    with pytest.raises(ConfigError, match="unknown motion 'wrnch': did you mean 'wrench'"):
        robot.drive_by({"right": "wrnch"})


def test_a_state_arrives_as_it_is(connected):
    robot, station = connected()
    arm, rng = station.parts["arm"], np.random.default_rng(0)
    values = {
        field.name: rng.normal(size=np.shape(getattr(arm.state, field.name)))
        for field in dataclasses.fields(arm.state)
    }
    arm.state = dataclasses.replace(arm.state, **values)
    state = robot.read().arms["arm"]
    for name, value in values.items():
        if name != "gripper_pose":  # the gripper's own
            assert np.array_equal(getattr(state, name), value)
    assert state.gripper_pose == 1.0


def test_a_command_is_sent_with_the_wait_and_answered_with_its_state(connected):
    robot, station = connected()
    robot.command({"arm": ArmCommand(pose=NEAR, gripper=0.25)})
    assert station.parts["arm"].commands == []
    robot.wait(0.05)
    ((pose, wrench),) = station.parts["arm"].commands
    assert np.array_equal(pose, NEAR) and wrench is None
    state = robot.read()
    assert np.array_equal(state.arms["arm"].tcp_pose, NEAR)
    assert state.arms["arm"].gripper_pose == 0.25


@pytest.mark.parametrize(
    "call",
    [
        HttpRobot.read,
        HttpRobot.capture,
        HttpRobot.recover,
        lambda robot: robot.drive_by({"arm": "wrench"}),
        lambda robot: robot.command({"arm": ArmCommand(gripper=1.0)}),
        lambda robot: robot.configure({"arm": Compliance()}),
        lambda robot: robot.load("arm", 0.1, np.zeros(3), np.zeros((3, 3))),
        lambda robot: robot.reset_joints({"arm": np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])}),
    ],
)
def test_a_command_is_sent_before_anything_else_is_done(connected, call):
    robot, station = connected(cameras={"front": FakeCamera()})
    robot.command({"arm": ArmCommand(pose=NEAR)})
    call(robot)
    assert len(station.parts["arm"].commands) == 1
    robot.wait(0.0)
    assert len(station.parts["arm"].commands) == 1


def test_closing_moves_nothing(connected):
    robot, station = connected()
    robot.command({"arm": ArmCommand(pose=NEAR)})
    robot.close()
    robot.close()
    assert station.parts["arm"].commands == []


def test_a_state_is_handed_out_once_then_asked_for(connected):
    robot, station = connected()
    robot.wait(0.0)
    station.parts["arm"].command(NEAR)
    assert np.array_equal(robot.read().arms["arm"].tcp_pose, POSE)
    assert np.array_equal(robot.read().arms["arm"].tcp_pose, NEAR)


def test_looking_leaves_no_old_state_behind(connected):
    robot, station = connected(cameras={"front": FakeCamera()})
    robot.wait(0.0)
    robot.read()
    robot.capture()
    station.parts["arm"].command(NEAR)
    assert np.array_equal(robot.read().arms["arm"].tcp_pose, NEAR)


def test_images_come_with_a_wait_where_they_are_looked_at(connected):
    camera = FakeCamera((4, 4))
    robot, _ = connected(cameras={"front": camera})

    def taken():
        return int(camera.frame().image[0, 0, 0]) - 1

    robot.wait(0.0)
    before = taken()
    robot.wait(0.0)
    assert taken() == before + 1, "nobody looked at any, but they were taken"
    assert robot.capture()["front"][0, 0, 0] == before + 3
    robot.wait(0.0)  # takes one
    station_took = taken()
    assert station_took == before + 4
    assert robot.capture()["front"][0, 0, 0] == station_took
    assert robot.capture()["front"][0, 0, 0] == station_took + 2, "an old image was handed out twice"


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_images_are_their_owners_own(connected, encoding):
    cameras = {"front": FakeCamera((20, 30)), "wrist_1": FakeCamera((8, 8))}
    robot, _ = connected(cameras=cameras, robot={"encoding": encoding})
    images = robot.capture()
    assert {name: image.shape for name, image in images.items()} == {
        "front": (20, 30, 3),
        "wrist_1": (8, 8, 3),
    }
    for image in images.values():
        assert image.dtype == np.uint8 and image.flags.writeable and image[0, 0, 0] > 0


def test_cameras_that_are_not_wanted_may_be_broken(connected):
    broken = FakeCamera()
    robot, _ = connected(cameras={"front": broken, "wrist_1": FakeCamera()}, robot={"cameras": ["wrist_1"]})
    assert list(robot.cameras) == ["wrist_1"]
    broken.trouble = "unplugged"
    assert list(robot.capture()) == ["wrist_1"]


def test_cameras_that_are_not_there(connected):
    with pytest.raises(ConfigError, match=r"http://.* lacks cameras \['side'\]; it has \['front'\]"):
        connected(cameras={"front": FakeCamera()}, robot={"cameras": ["front", "side"]})


def test_a_robot_without_cameras_captures_nothing(connected):
    robot, _ = connected()
    assert robot.capture() == {}


def test_a_broken_camera_is_told_and_forgiven(connected):
    camera = FakeCamera()
    robot, _ = connected(cameras={"front": camera})
    robot.capture()
    camera.trouble = "no frame for 2 s"
    with pytest.raises(CameraError, match="http://.*no frame for 2 s"):
        robot.wait(0.0)
    camera.trouble = None
    robot.wait(0.0)
    assert robot.capture()["front"].shape == (128, 128, 3)


def test_waits_count_from_the_last_answer_where_half_is_left(connected):
    clock = StillClock()
    robot, _ = connected(clock=clock)
    robot.wait(0.1)
    assert clock.waits[-1] == pytest.approx(100.1)
    clock.time += 0.03  # the policy thinks
    robot.wait(0.1)
    assert clock.waits[-1] == pytest.approx(100.2)
    time.sleep(0.06)
    clock.time += 0.06
    robot.wait(0.1)
    assert clock.waits[-1] == pytest.approx(100.36)


def test_a_long_wait_is_several(connected):
    clock = StillClock()
    robot, _ = connected(clock=clock)
    robot.wait(25.0)
    assert robot.read().time == pytest.approx(125.0)


def test_compliance_load_and_joints_arrive(connected):
    robot, station = connected()
    arm = station.parts["arm"]
    compliance = Compliance(translational_stiffness=1000, rotational_clip_x=0.02)
    robot.configure({"arm": compliance})
    assert arm.compliance == compliance
    robot.load("arm", 0.3, np.array([0.0, 0.0, 0.05]), np.eye(3) * 1e-3)
    goal = np.array([0.1, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])
    robot.reset_joints({"arm": goal})
    assert np.array_equal(robot.read().arms["arm"].q, goal)
    robot.recover()
    assert arm.calls == ["load", "reset_joints", "recover"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (NEAR + [0.5, 0, 0, 0, 0, 0, 0], "box"),
        (NEAR + [0, 0.2, 0, 0, 0, 0, 0], "0.1 m"),
    ],
)
def test_a_pose_that_the_server_refuses_is_an_action_error(connected, wrong, says):
    robot, station = connected()
    robot.command({"arm": ArmCommand(pose=wrong)})
    with pytest.raises(ActionError, match=f"http://.*/step.*{says}"):
        robot.wait(0.1)
    robot.wait(0.0)  # what was refused is gone
    assert station.parts["arm"].commands == []


def test_an_arm_in_error_is_a_robot_error_until_it_recovers(connected):
    robot, station = connected()
    station.parts["arm"].trouble = "cartesian_reflex"
    robot.command({"arm": ArmCommand(pose=NEAR)})
    with pytest.raises(RobotError, match="http://.*cartesian_reflex"):
        robot.wait(0.1)
    robot.recover()
    robot.command({"arm": ArmCommand(pose=NEAR)})
    robot.wait(0.0)
    assert np.array_equal(robot.read().arms["arm"].tcp_pose, NEAR)


@pytest.mark.parametrize(
    "call",
    [
        lambda robot: robot.command({"left": ArmCommand(gripper=1.0)}),
        lambda robot: robot.configure({"left": Compliance()}),
        lambda robot: robot.load("left", 0.1, np.zeros(3), np.zeros((3, 3))),
        lambda robot: robot.reset_joints({"left": np.zeros(7)}),
        lambda robot: robot.load("arm", np.nan, np.zeros(3), np.zeros((3, 3))),
        lambda robot: robot.reset_joints({"arm": np.zeros(6)}),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_sent(connected, call):
    with pytest.raises(ConfigError):
        call(connected()[0])


def test_two_arms_on_one_server(connected):
    robot, station = connected(arms=("left", "right"))
    assert robot.arms == ("left", "right")
    robot.command({"right": ArmCommand(pose=NEAR)})
    robot.wait(0.0)
    state = robot.read()
    assert np.array_equal(state.arms["right"].tcp_pose, NEAR)
    assert np.array_equal(state.arms["left"].tcp_pose, POSE)
    assert station.parts["left"].commands == []


def test_two_arms_on_two_servers(connected):
    robot, left, right = connected(
        {"left": {"cameras": {"wrist_1": FakeCamera()}}, "right": {"cameras": {"wrist_2": FakeCamera()}}}
    )
    assert robot.arms == ("left", "right")
    assert list(robot.cameras) == ["wrist_1", "wrist_2"]
    robot.command({"left": ArmCommand(gripper=0.5), "right": ArmCommand(pose=NEAR)})
    began = time.monotonic()
    robot.wait(0.2)
    assert time.monotonic() - began < 0.4, "the servers waited one after the other"
    state = robot.read()
    assert state.arms["left"].gripper_pose == 0.5 and state.arms["right"].gripper_pose == 1.0
    assert np.array_equal(state.arms["right"].tcp_pose, NEAR)
    assert sorted(robot.capture()) == ["wrist_1", "wrist_2"]
    soft = Compliance(translational_stiffness=500)
    robot.configure({"right": soft})
    assert right.parts["arm"].compliance == soft != left.parts["arm"].compliance
    robot.load("right", 0.1, np.zeros(3), np.zeros((3, 3)))
    robot.reset_joints({"left": left.parts["arm"].state.q})
    assert (left.parts["arm"].calls, right.parts["arm"].calls) == (["reset_joints"], ["load"])


def test_two_servers_have_the_first_ones_time(connected):
    early, late = StillClock(), StillClock()
    late.time = 5000.0
    robot, *_ = connected({"left": {"clock": early}, "right": {"clock": late}})
    for _ in range(3):
        robot.wait(0.1)
    assert robot.read().time == pytest.approx(100.3)
    assert late.time == pytest.approx(5000.3)


def test_one_of_two_servers_refuses(connected):
    robot, *_ = connected({"left": {}, "right": {}})
    right = str(robot).rstrip(")").split(", ")[1]
    robot.command({"left": ArmCommand(pose=NEAR), "right": ArmCommand(pose=NEAR + [0.5, 0, 0, 0, 0, 0, 0])})
    with pytest.raises(ActionError, match=right):
        robot.wait(0.0)


def test_servers_that_do_not_fit_together(connected):
    with pytest.raises(ConfigError, match="names a server with one arm, but that has .*left"):
        connected({"left": {"arms": ("left", "right")}, "right": {}})
    with pytest.raises(ConfigError, match="both have a camera 'front'"):
        connected({arm: {"cameras": {"front": FakeCamera()}} for arm in ("left", "right")})


def test_it_connects_again_when_the_server_is_back():
    with fake_server() as server:
        url = server.url
        robot = HttpRobot(url)
        robot.wait(0.0)
        robot.read()
    with pytest.raises(RobotError, match=f"{url} does not answer"):
        robot.read()
    robot.command({"arm": ArmCommand(pose=NEAR)})
    with pytest.raises(RobotError, match=f"{url} does not answer.*not sent again"):
        robot.wait(0.1)
    with fake_server(port=int(url.rpartition(":")[2])) as back:
        assert np.array_equal(robot.read().arms["arm"].tcp_pose, POSE)
        robot.wait(0.0)
        assert back.guard.station.parts["arm"].commands == [], "an old command went to the new server"
    robot.close()


def test_a_server_that_was_started_again_unnoticed_refuses_commands_until_its_state_is_read():
    with fake_server() as server:
        url = server.url
        robot = HttpRobot(url)
        robot.read()
        robot.command({"arm": ArmCommand(pose=NEAR)})
        robot.wait(0.0)
    with fake_server(port=int(url.rpartition(":")[2])) as back:
        with contextlib.suppress(RobotError):
            robot.wait(0.0)  # if its connection broke, it is made anew
        robot.command({"arm": ArmCommand(pose=NEAR)})
        with pytest.raises(RobotError, match=f"{url} refused POST /step: .*started again"):
            robot.wait(0.1)
        arm = back.guard.station.parts["arm"]
        assert arm.commands == []
        robot.wait(0.0)
        robot.command({"arm": ArmCommand(pose=NEAR)})
        with pytest.raises(RobotError, match="started again"):  # what a wait told is no reading
            robot.wait(0.0)
        assert np.array_equal(robot.read().arms["arm"].tcp_pose, POSE)
        robot.command({"arm": ArmCommand(pose=NEAR)})
        robot.wait(0.0)
        assert len(arm.commands) == 1
    robot.close()


def test_a_token_opens_the_door(tmp_path, monkeypatch):
    token = "a-long-enough-token"
    (tmp_path / "token").write_text(f"{token}\n")
    with fake_server(token=token) as server:
        with pytest.raises(ConfigError, match=f"{server.url} .*token.*{TOKEN_FILE}"):
            HttpRobot(server.url)
        monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
        robot = HttpRobot(server.url)
        robot.wait(0.0)
        assert sorted(robot.capture()) == ["wrist_1", "wrist_2"]
        assert token not in repr(robot)
        robot.close()


@pytest.mark.parametrize(
    "about",
    [
        answer({}),
        answer(ABOUT | {"arms": 5}),
        answer(ABOUT | {"cameras": {"front": 5}}),
        answer(ABOUT | {"speed": 0}),
        answer(ABOUT | {"speed": "fast"}),
        answer(b"no robot"),
        answer(b"not found", 404),
    ],
)
def test_what_is_no_robot_server_is_told(about):
    server = RawServer({"/robot": about})
    try:
        with pytest.raises(RobotError, match=server.url):
            HttpRobot(server.url)
    finally:
        server.close()


@pytest.mark.parametrize("body", [b"", b"{}\n", b"garbage", b'{"images": []}\n', b'{"images": [{}]}\nabc'])
def test_garbage_for_a_step_is_told(body):
    server = RawServer({"/step": answer(body)})
    try:
        robot = HttpRobot(server.url)
        with pytest.raises(RobotError, match=server.url):
            robot.wait(0.1)
    finally:
        server.close()


def test_a_server_that_hangs_does_not_hang_the_robot(monkeypatch):
    monkeypatch.setattr(server_connection, "ANSWER_TIMEOUT", 0.1)
    server = RawServer({"/step": None, "/reset_joints": None})
    try:
        robot = HttpRobot(server.url)
        robot.command({"arm": ArmCommand(pose=NEAR)})
        with pytest.raises(RobotError, match="did not answer within 0.2 s"):
            robot.wait(0.1)
        monkeypatch.setattr(served_arms, "JOINT_RESET_TIME", 0.2)
        with pytest.raises(RobotError, match="did not answer within 0.3 s"):
            robot.reset_joints({"arm": np.zeros(7)})
    finally:
        server.close()
    assert server.paths() == ["/robot", "/step", "/reset_joints"]


def test_a_copy_is_the_same_robot(connected):
    robot, _ = connected()
    assert copy.deepcopy({"robot": robot})["robot"] is robot
