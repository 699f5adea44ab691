"""The `ros` backend on a real roscore, through roslaunch and rospy, with a stand-in for the arm's nodes."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import PANDA, forward_kinematics
from hilserl_envs.poses import displace, displacement
from hilserl_envs.tasks.setup import Load
from robot_servers.backends import BackendSettings, make_station, ros_controllers
from robot_servers.backends.ros import open_station
from robot_servers.backends.ros_arm import RosArm
from robot_servers.backends.ros_controllers import IMPEDANCE, WRENCH
from robot_servers.backends.ros_install import message_class
from robot_servers.backends.ros_launch import Launch, check_launch_file
from robot_servers.backends.ros_messages import arm_state
from robot_servers.backends.ros_node import RosNode
from robot_servers.backends.ros_topics import wait_until, within
from robot_servers.serve import open_server
from tests.ros_world import free_port, ros_world, roscore
from tests.test_dynamic_tasks import Push

pytestmark = pytest.mark.slow

ROBOT_IP = "172.16.0.2"
NONE = np.zeros(3)
FIRM = Compliance(rotational_stiffness=250, rotational_damping=9)


class Lab:
    """A station that is brought up when it is asked for, and what happens to the arm from outside."""

    def __init__(self, state_file: Path):
        self.node, self._state_file = RosNode(), state_file
        self.words = self.node.publisher("/stand_in", "std_msgs", "String")
        self.station = None

    def arm(self) -> RosArm:
        """The arm, its impedance controller running."""
        if self.station is None:
            self.station = open_station(ROBOT_IP)
        arm = self.station.parts["arm"]
        if arm.error() is not None:
            arm.recover()
        arm.configure(FIRM)
        return arm

    def close(self) -> None:
        """The arm will be where it was at first."""
        if self.station is not None:
            self.station.close()
            self.station = None
        self._state_file.unlink(missing_ok=True)

    def do(self, word: str) -> None:
        """Something happens to the arm: see `ros_controller.StandIn`."""
        assert wait_until(lambda: self.words.get_num_connections() > 0, 5)
        self.words.publish(word)
        time.sleep(0.1)

    def kill(self, how: signal.Signals) -> None:
        os.kill(self.node.parameter("/stand_in/pid"), how)

    @contextlib.contextmanager
    def parameter(self, name: str, value):
        self.node.set_parameter(name, value)
        try:
            yield
        finally:
            self.node._ask_master("deleteParam", name)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with ros_world(tmp_path_factory.mktemp("ros")) as state_file, pytest.MonkeyPatch.context() as patch:
        # Where many tests run at once, everything takes its time.
        patch.setattr(ros_controllers, "STALE", 1.0)
        patch.setattr(ros_controllers, "START_TIMEOUT", 120.0)
        lab = Lab(state_file)
        try:
            yield lab
        finally:
            lab.close()


@pytest.fixture
def arm(lab):
    return lab.arm()


def go(arm: RosArm, pose: np.ndarray, seconds: float = 2.0) -> None:
    """Command a pose at 10 Hz, as an env does."""
    for _ in range(round(seconds * 10)):
        arm.command(pose=pose)
        time.sleep(0.1)


def away(arm: RosArm, *xyz: float) -> np.ndarray:
    return displace(arm.read().tcp_pose, np.array(xyz), NONE)


# Motion.


def test_the_arm_goes_where_it_is_sent_and_turns(arm):
    goal = displace(arm.read().tcp_pose, np.array([-0.03, 0.05, 0.02]), np.array([0, 0, 0.2]))
    go(arm, goal, 2.5)
    left = displacement(arm.read().tcp_pose, goal)
    assert np.linalg.norm(left[:3]) < 0.002 and np.linalg.norm(left[3:]) < 0.02


def test_the_state_is_of_one_piece(arm):
    arm.command(pose=away(arm, 0, -0.05, 0))
    time.sleep(0.3)
    state = arm.read()
    np.testing.assert_allclose(state.tcp_pose[:3], forward_kinematics("panda", state.q)[:3], atol=1e-6)
    assert state.tcp_vel[1] < -0.02  # it is on its way
    np.testing.assert_allclose(state.tcp_vel, state.jacobian @ state.dq)
    assert state.tcp_force.shape == state.tcp_torque.shape == (3,) and state.gripper_pose == 1.0


def test_without_a_controller_the_jacobian_is_that_of_the_joints(arm):
    go(arm, arm.read().tcp_pose, 1.0)
    there = arm.read()
    own = arm_state(arm._nodes.states.message, None)
    np.testing.assert_allclose(own.jacobian, there.jacobian, atol=1e-3)


def test_compliance_changes_while_it_moves(arm):
    clips = {f"translational_clip{side}_x": 0.001 for side in ("", "_neg")}
    arm.configure(Compliance(**clips))
    time.sleep(0.3)
    goal = away(arm, -0.06 if arm.read().tcp_pose[0] > 0.5 else 0.06, 0, 0)
    go(arm, goal, 0.8)
    slow = abs(arm.read().tcp_vel[0])
    arm.configure(Compliance())
    go(arm, goal, 0.3)
    assert 0.005 < slow < 0.04 < abs(arm.read().tcp_vel[0])  # the clip bounds the force, so the speed


def test_wrenches_need_another_controller(arm):
    assert arm.takes == ("pose",)
    with pytest.raises(RobotError, match="cartesian_impedance_controller, which runs, takes no wrench"):
        arm.command(wrench=np.zeros(6))


# Compliance and load.


def reconfigured(lab: Lab, **values: float) -> dict[str, float]:
    """What dynamic_reconfigure's own client gets for values."""
    from dynamic_reconfigure.client import Client

    server = "/cartesian_impedance_controllerdynamic_reconfigure_compliance_param_node"
    client = Client(server, timeout=5)
    try:
        return within(5, "reconfigure", client.update_configuration, values)
    finally:
        client.close()


def test_the_controller_takes_the_compliance_and_clamps_as_its_ranges_say(lab, arm):
    arm.configure(Compliance(translational_stiffness=1234.0, rotational_clip_neg_z=0.03))
    taken = reconfigured(lab)
    assert taken["translational_stiffness"] == 1234.0 and taken["rotational_clip_neg_z"] == 0.03
    # The public compliance set of RAM insertion asks for 0.5.
    assert reconfigured(lab, rotational_clip_x=0.5)["rotational_clip_x"] == 0.1


def test_a_controller_with_other_ranges_is_reported(lab, arm):
    with lab.parameter("/stand_in/narrow", {"translational_clip_x": 0.004}):
        arm.stop()
        with pytest.raises(
            RobotError, match="translational_clip_x 0.004 for 0.01: its cfg file has other ranges"
        ):
            arm.start()
    arm.stop()


def test_a_load_is_taken_only_while_nothing_moves_the_arm(lab, arm):
    inertia = np.array([[1.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 3.0]])
    with pytest.raises(RobotError, match="activated control.*press its activation device"):
        arm.load(0.5, np.array([0, 0, 0.1]), inertia)
    lab.do("press")
    arm.load(0.5, np.array([0, 0, 0.1]), inertia)
    state = arm._nodes.states
    assert wait_until(lambda: state.message.m_load == 0.5, 3)
    assert (state.message.F_x_Cload, state.message.I_load) == ((0, 0, 0.1), tuple(inertia.ravel()))
    lab.do("release")
    arm.recover()
    with pytest.raises(ConfigError, match="at least 0 kg"):
        arm.load(-1.0, NONE, inertia)


# What stops the arm.


def test_a_reflex_is_named_refuses_commands_and_recovers(lab, arm):
    lab.do("collide")
    assert "a reflex stopped it (cartesian_reflex)" in arm.error()
    with pytest.raises(RobotError, match="takes no commands: a reflex"):
        arm.command(pose=arm.read().tcp_pose)
    before = arm.read().tcp_pose
    arm.recover()
    assert arm.error() is None
    time.sleep(0.5)
    np.testing.assert_allclose(arm.read().tcp_pose, before, atol=0.002)


def test_the_activation_device_stops_it_until_released_and_recovered(lab, arm):
    lab.do("press")
    assert "activation device is pressed" in arm.error()
    with pytest.raises(RobotError, match="error_recovery failed: .*user stopped"):
        arm.recover()
    with pytest.raises(RobotError, match="does not move the arm: its activation device"):
        arm.start()
    lab.do("release")
    assert "idle" in arm.error()
    arm.recover()
    assert arm.error() is None


def test_a_stopped_arm_says_so_and_starts_where_it_is(lab, arm):
    go(arm, away(arm, 0, 0, 0.03), 0.3)
    arm.stop()
    assert arm.error() == "stopped"
    with pytest.raises(RobotError, match="stopped"):
        arm.command(pose=np.array([0.5, 0, 0.3, 1, 0, 0, 0]))
    with pytest.raises(RobotError, match="no state of the arm: stopped"):
        arm.read()
    arm.stop()  # again does no harm
    arm.start()
    where = arm.read().tcp_pose
    assert arm.error() is None
    time.sleep(0.5)
    np.testing.assert_allclose(arm.read().tcp_pose, where, atol=0.002)  # the old target is forgotten
    pid = lab.node.parameter("/stand_in/pid")
    arm.start()  # where it runs, nothing
    assert lab.node.parameter("/stand_in/pid") == pid


def test_a_controller_killed_on_the_way_is_reported_and_a_recovery_starts_it_again(lab, arm):
    arm.configure(Compliance(translational_stiffness=1500))
    goal = away(arm, 0, 0.08 if arm.read().tcp_pose[1] < 0 else -0.08, 0)
    go(arm, goal, 0.3)
    lab.kill(signal.SIGKILL)
    assert wait_until(lambda: arm.error() is not None, 2)
    with pytest.raises(RobotError, match="takes no commands"):
        arm.command(pose=goal)
    # It was required, so its launch ends too, and says why.
    assert wait_until(lambda: "roslaunch impedance.launch ended" in arm.error(), 10)
    time.sleep(ros_controllers.STALE)
    with pytest.raises(RobotError, match="no state of the arm: roslaunch impedance.launch ended"):
        arm.read()
    arm.recover()
    assert reconfigured(lab)["translational_stiffness"] == 1500  # set again
    arm.configure(FIRM)
    go(arm, goal)
    np.testing.assert_allclose(arm.read().tcp_pose[:3], goal[:3], atol=0.002)


def test_a_controller_that_hangs_is_reported_and_replaced(lab, arm):
    lab.kill(signal.SIGSTOP)
    assert wait_until(lambda: arm.error() is not None, 2)
    assert "nothing on /franka_state_controller/franka_states" in arm.error()
    with pytest.raises(RobotError, match="takes no commands: nothing on"):
        arm.command(pose=np.array([0.5, 0, 0.3, 1, 0, 0, 0]))
    with pytest.raises(RobotError, match="set_parameters"):
        arm.configure(Compliance())
    arm.start()
    assert arm.error() is None


# Joint reset.


def test_joints_are_reset_through_the_launch_files(lab, arm):
    arm.configure(Compliance(translational_damping=80))
    q = np.array(PANDA.ready) + [0.25, -0.1, 0, 0, 0, 0.1, -0.3]
    seen, pose = set(), arm.read().tcp_pose
    with threaded(arm.reset_joints, q) as reset:
        while reset.is_alive():
            seen.add(arm.error())
            with contextlib.suppress(RobotError):
                pose = arm.read().tcp_pose
            time.sleep(0.05)
    assert reset.error is None and "its joints are being reset" in seen
    np.testing.assert_allclose(arm.read().q, q, atol=0.02)
    assert lab.node.parameter("/stand_in/robot_ip") == ROBOT_IP
    assert reconfigured(lab)["translational_damping"] == 80
    np.testing.assert_allclose(pose, arm.read().tcp_pose, atol=0.02)  # it was read on the way
    goal = away(arm, 0, 0, 0.02)
    go(arm, goal, 1.5)
    np.testing.assert_allclose(arm.read().tcp_pose[:3], goal[:3], atol=0.003)


def test_a_blocked_joint_reset_is_an_error_and_the_controller_runs_again(lab, arm, monkeypatch):
    monkeypatch.setattr(ros_controllers, "JOINT_TIMEOUT", 1.0)
    with lab.parameter("/stand_in/blocked", True):
        with pytest.raises(RobotError, match="does not reach its joint positions: waited 1 s"):
            arm.reset_joints(arm.read().q + 0.2)
    assert arm.error() is None


def test_a_stop_overrules_a_joint_reset(lab, arm):
    with lab.parameter("/stand_in/blocked", True):
        with threaded(arm.reset_joints, arm.read().q + 0.2) as reset:
            launched = lambda: (arm._nodes._launch.file, arm._nodes._launch.ended()) == ("joint.launch", None)  # noqa: E731
            assert wait_until(launched, 10)
            time.sleep(1.0)
            asked = time.monotonic()
            arm.stop()
            assert time.monotonic() - asked < 8
    assert isinstance(reset.error, RobotError) and "stopped" in str(reset.error)
    assert arm.error() == "stopped"
    time.sleep(1.0)
    assert lab.node._ask_master("lookupNode", "/franka_control")[0] != 1


@pytest.mark.parametrize("q", [[0.0] * 6, [np.nan] * 7])
def test_joint_positions_that_are_none_move_nothing(arm, q):
    with pytest.raises(ConfigError, match="joint positions"):
        arm.reset_joints(q)
    assert arm.error() is None


class threaded:  # noqa: N801
    """Runs a function in a thread as a context; `error` is what it raised."""

    def __init__(self, function, *arguments):
        self.error = None

        def run():
            try:
                function(*arguments)
            except Exception as error:
                self.error = error

        self._thread = threading.Thread(target=run)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._thread.join()


# Bringing it up.


def test_a_controller_that_runs_is_taken_over_and_left_running(lab, arm):
    second = RosArm(lab.node, ROBOT_IP)
    pid = lab.node.parameter("/stand_in/pid")
    go(second, away(second, 0, 0, 0.02), 0.5)
    second.close()
    second.close()
    assert second.error() == "closed"
    assert arm.error() is None and lab.node.parameter("/stand_in/pid") == pid


def test_a_controller_that_was_taken_over_is_stopped_too(lab, arm):
    second = RosArm(lab.node, ROBOT_IP)
    second.stop()
    assert second.error() == "stopped"
    assert wait_until(lambda: "ended" in (arm.error() or ""), 10)
    second.close()


def test_no_master_is_said_with_its_address(lab, monkeypatch):
    port = free_port()
    monkeypatch.setenv("ROS_MASTER_URI", f"http://localhost:{port}")
    with pytest.raises(
        RobotError, match=f"no ROS master answers at http://localhost:{port}.*start `roscore`"
    ):
        open_station(ROBOT_IP)
    monkeypatch.setenv("ROS_MASTER_URI", "localhost:11311")
    with pytest.raises(RobotError, match="no ROS master answers at localhost:11311"):
        RosNode()
    with socket.socket() as mute:  # takes connections, and never says a word
        mute.bind(("localhost", port))
        mute.listen()
        monkeypatch.setenv("ROS_MASTER_URI", f"http://localhost:{port}")
        monkeypatch.setattr("robot_servers.backends.ros_node.TIMEOUT", 0.5)
        with pytest.raises(RobotError, match="no ROS master answers.*timed out"):
            RosNode()


def test_another_master_is_noticed_by_the_arm_and_by_a_new_one(lab, arm, monkeypatch):
    port = free_port()
    with roscore(port, dict(os.environ)):
        monkeypatch.setenv("ROS_MASTER_URI", f"http://localhost:{port}")
        with pytest.raises(
            RobotError, match="is not the one that this server joined.*Start this server again"
        ):
            open_station(ROBOT_IP)


def test_what_roslaunch_lacks_is_said(lab, monkeypatch):
    with pytest.raises(RobotError, match="no ROS package 'lab_controllers' in ROS_PACKAGE_PATH"):
        check_launch_file("lab_controllers", "impedance.launch")
    with pytest.raises(RobotError, match="no launch/egg.launch; it has .*'impedance.launch'"):
        check_launch_file("serl_franka_controllers", "egg.launch")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RobotError, match="no program roslaunch.*apt-get install python3-roslaunch"):
        check_launch_file("serl_franka_controllers", "impedance.launch")


def test_a_launch_that_fails_is_quoted(lab, monkeypatch):
    lab.close()
    monkeypatch.setenv("STAND_IN_PYTHON", "/no/such/python")
    with pytest.raises(RobotError, match="roslaunch impedance.launch ended: .*/no/such/python: not found"):
        open_station(ROBOT_IP)


def test_a_launch_ends_even_if_its_node_hangs(lab):
    launch = Launch("serl_franka_controllers", "joint.launch", {"robot_ip": ROBOT_IP})
    pid = lab.node.parameter("/stand_in/pid")
    assert wait_until(lambda: lab.node.parameter("/stand_in/pid") != pid, 60)
    lab.kill(signal.SIGSTOP)
    launch.stop()
    launch.stop()
    assert "roslaunch joint.launch ended" in launch.ended()
    pid = lab.node.parameter("/stand_in/pid")
    state = subprocess.run(["ps", "-o", "stat=", str(pid)], capture_output=True, text=True).stdout
    assert state == "" or state.startswith("Z")  # nobody may care for orphans here


def test_settings_of_a_server_are_checked(lab):
    with pytest.raises(ConfigError, match="on ROS a server drives one arm"):
        make_station("ros", BackendSettings(robot_ip=("172.16.0.2", "172.16.0.3")))
    with pytest.raises(ConfigError, match="unknown gripper on ROS 'robotiq'"):
        open_station(ROBOT_IP, gripper="robotiq")


# The wrench controller.


@pytest.fixture
def wrench_arm(lab):
    lab.close()
    station = open_station(ROBOT_IP, (WRENCH, IMPEDANCE), gripper=None)
    yield station.parts["arm"]
    station.close()


def pushed(arm: RosArm) -> bool:
    """Push once, and see whether the arm moves."""
    arm.command(wrench=np.array([0, 5.0, 0, 0, 0, 0]))
    return speed(arm) > 0.1  # damping is 20 Ns/m, so 5 N end at 0.25 m/s


def speed(arm: RosArm) -> float:
    time.sleep(0.05)
    return arm.read().tcp_vel[1]


def test_a_wrench_pushes_and_lapses(wrench_arm):
    assert wait_until(lambda: pushed(wrench_arm), 3)
    assert wait_until(lambda: speed(wrench_arm) < 0.02, 1)  # nobody pushes any more
    with pytest.raises(RobotError, match="takes no pose"):
        wrench_arm.command(pose=wrench_arm.read().tcp_pose)
    wrench_arm.recover()
    assert wrench_arm.error() is None and wrench_arm.takes == ("wrench",)


def test_a_wrench_controller_that_would_go_on_pushing_is_refused(lab, wrench_arm):
    name = "/cartesian_wrench_controller/max_duration_between_commands"
    for value in (1.0, 0.01):
        with lab.parameter(name, value):
            with pytest.raises(RobotError, match=f"{name} is {value}, but a wrench must lapse after 0.1 s"):
                open_station(ROBOT_IP, (WRENCH,), gripper=None)


def test_controllers_take_turns_and_the_compliance_comes_back(wrench_arm):
    wrench_arm.configure(FIRM)  # for when one that has a compliance runs
    wrench_arm.start("pose")
    assert wrench_arm.takes == ("pose",) and wrench_arm.error() is None
    taken = wrench_arm._node.call(
        "/cartesian_impedance_controllerdynamic_reconfigure_compliance_param_node/set_parameters",
        "dynamic_reconfigure",
        "Reconfigure",
        message_class("dynamic_reconfigure", "Config")(),
    )
    assert {"rotational_stiffness": 250.0}.items() <= {d.name: d.value for d in taken.config.doubles}.items()
    go(wrench_arm, goal := away(wrench_arm, 0, 0.03, 0))
    assert abs(wrench_arm.read().tcp_pose[1] - goal[1]) < 0.003
    wrench_arm.start("wrench")
    assert wait_until(lambda: pushed(wrench_arm), 3)


def test_an_arm_keeps_its_controller_where_the_other_is_missing(lab):
    lab.close()
    station = open_station(ROBOT_IP, (IMPEDANCE, dataclasses.replace(WRENCH, package="mine")), gripper=None)
    arm = station.parts["arm"]
    try:
        with pytest.raises(RobotError, match="no ROS package 'mine' in ROS_PACKAGE_PATH"):
            arm.start("wrench")
        assert arm.takes == ("pose",) and arm.error() is None
        go(arm, goal := away(arm, 0, 0.03, 0))
        assert abs(arm.read().tcp_pose[1] - goal[1]) < 0.003
    finally:
        station.close()


def test_an_arm_gets_its_controller_back_where_the_other_cannot_be_trusted(lab, arm, monkeypatch):
    monkeypatch.setattr(ros_controllers, "WRENCH_TIMEOUT", 0.2)
    with pytest.raises(RobotError, match="is 0.1, but a wrench must lapse after 0.2 s"):
        arm.start("wrench")
    assert arm.takes == ("pose",) and arm.error() is None


def test_an_environment_driven_by_a_wrench_resets_by_poses(lab):
    lab.close()
    server = open_server("ros", BackendSettings(robot_ip=(ROBOT_IP,), gripper="none"))
    try:
        arm = server.guard.station.parts["arm"]
        task = Push()
        env = FrankaEnv(task, robot=server.url)
        with pytest.raises(RobotError, match="the arm refused the load: .*press its activation device"):
            env.reset(seed=0)
        carry(lab, server.url, task.arms["arm"].load)
        for seed in range(2):
            env.reset(seed=seed)
            reset_pose = np.array(task.arms["arm"].reset_pose)
            left = displacement(env.robot_state.arms["arm"].tcp_pose, reset_pose)
            assert np.linalg.norm(left[:3]) < 0.015 and np.linalg.norm(left[3:]) < 0.06
            assert arm.takes == ("wrench",)
            for _ in range(task.horizon):
                *_, terminated, _, info = env.step(np.array([1.0, 0.0, 0.0]))
            assert terminated and info["is_success"]
        env.close()
        refused = requests.post(f"{server.url}/pose", json={"arr": arm.read().tcp_pose.tolist()}, timeout=10)
        assert refused.status_code == 409 and "startimp" in refused.json()["error"]
        assert requests.post(f"{server.url}/startimp", timeout=60).text == "Started impedance"
        assert arm.takes == ("pose",)
    finally:
        server.close()


def carry(lab: Lab, url: str, load: Load) -> None:
    """Do what docs/backend_ros.md has a person do."""
    body = {"arm": "arm", "mass": load.mass, "center": load.center, "inertia": np.diag(load.inertia).tolist()}
    lab.do("press")
    requests.post(f"{url}/load", json=body, timeout=10).raise_for_status()
    lab.do("release")
    requests.post(f"{url}/recover", timeout=60).raise_for_status()


# The hand.


@pytest.fixture
def hand(lab, arm):
    hand = lab.station.grippers["arm"]
    hand.move(1.0)
    assert wait_until(lambda: hand.error() is None and hand.opening() > 0.99, 5)
    time.sleep(0.5)
    lab.node.set_parameter("/stand_in/grips", [])
    return hand


def test_the_hand_opens_closes_and_stops_in_between(lab, hand):
    hand.move(0.0)
    assert wait_until(lambda: hand.opening() < 0.02, 5)
    assert lab.node.parameter("/stand_in/grip_force") == 70
    hand.move(0.5)
    assert wait_until(lambda: abs(hand.opening() - 0.5) < 0.02, 5)
    assert lab.station.read().arms["arm"].gripper_pose == pytest.approx(0.5, abs=0.05)


def test_the_newest_command_counts_at_once_and_a_repeated_one_is_one(lab, hand):
    hand.move(0.0)
    time.sleep(0.3)
    for _ in range(10):
        hand.move(1.0)
        time.sleep(0.05)
    assert wait_until(lambda: hand.opening() > 0.99, 5)
    assert lab.node.parameter("/stand_in/grips") == [0.0, 1.0]


def test_a_fault_of_the_hand_is_said_and_the_next_command_tries_again(lab, hand):
    with lab.parameter("/stand_in/hand_broken", True):
        hand.move(0.0)
        assert wait_until(lambda: hand.error() is not None, 5)
        assert "connection lost" in hand.error()
    hand.move(0.0)
    assert wait_until(lambda: hand.opening() < 0.02, 5)
    assert hand.error() is None


def test_activating_homes_the_hand_and_a_reset_stops_it_before(lab, hand):
    homed = lab.node.parameter("/stand_in/homed") or 0
    hand.move(0.0)
    hand.activate()
    assert hand.opening() > 0.99
    hand.reset()
    assert lab.node.parameter("/stand_in/homed") == homed + 2 and hand.error() is None


def test_a_silent_hand_is_reported(lab, hand):
    lab.do("silence")
    try:
        assert wait_until(lambda: hand.error() is not None, 3)
        assert "the hand's node is silent" in hand.error() and "load_gripper" in hand.error()
        with pytest.raises(RobotError, match="silent"):
            hand.opening()
    finally:
        lab.do("silence")


# Over HTTP.


def test_the_public_routes_drive_it(lab):
    lab.close()
    server = open_server("ros", BackendSettings(robot_ip=(ROBOT_IP,)))
    try:

        def post(route: str, **body) -> requests.Response:
            answer = requests.post(f"{server.url}/{route}", json=body, timeout=60)
            assert answer.status_code == 200, f"{route}: {answer.text}"
            return answer

        state = post("getstate").json()
        assert state["gripper_pos"] > 0.9 and np.shape(state["jacobian"]) == (6, 7)
        goal = [*state["pose"][:2], state["pose"][2] + 0.03, *state["pose"][3:]]
        for _ in range(15):
            post("pose", arr=goal)
            time.sleep(0.1)
        assert post("getpos").json()["pose"][2] == pytest.approx(goal[2], abs=0.003)
        post("update_param", translational_stiffness=1000, rotational_clip_x=0.5)
        post("close_gripper")
        assert wait_until(lambda: post("get_gripper").json()["gripper"] < 0.02, 5)
        lab.do("collide")
        refused = requests.post(f"{server.url}/pose", json={"arr": goal}, timeout=10)
        assert refused.status_code == 409 and "cartesian_reflex" in refused.json()["error"]
        post("clearerr")
        post("jointreset")
        post("stopimp")
        assert requests.get(f"{server.url}/health", timeout=10).json()["errors"]["arm"] == "stopped"
        post("startimp")
        post("getq")
    finally:
        server.close()
