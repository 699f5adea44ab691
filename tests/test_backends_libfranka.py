"""The libfranka backend against a simulated FR3: libfranka itself, over the network."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import mujoco
import numpy as np
import pytest

from hilserl_envs import impedance
from hilserl_envs.errors import ActionError, ConfigError, RobotError
from hilserl_envs.impedance import Compliance, LawParameters
from hilserl_envs.kinematics import forward_kinematics
from hilserl_envs.poses import displacement
from hilserl_envs.robot import WRENCH_TIMEOUT
from robot_servers.backends import BackendSettings, make_station
from robot_servers.backends.libfranka import open_station
from robot_servers.backends.libfranka_arm import LibfrankaArm
from robot_servers.backends.libfranka_loop import STALE, Collision
from robot_servers.grippers.franka_hand import FrankaHand
from robot_servers.station import Station
from tests import needs
from tests.franka_simulator import CUBE, START, FrankaSimulator

pytestmark = pytest.mark.slow

# The simulated joints have more friction than real ones: 20 N stop 2 mm short of the target.
STIFF = Compliance(translational_stiffness=4000, translational_damping=126, rotational_stiffness=250)
DOWN = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def simulator():
    for module in ("aiofranka", "pylibfranka", "franky_sim"):
        needs.module(module, "libfranka")
    with FrankaSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def one_arm(simulator):
    arm = LibfrankaArm(simulator.host)
    yield arm
    arm.close()


@pytest.fixture
def arm(one_arm):
    """At its start posture, with nothing wrong."""
    if one_arm.error() is not None:
        one_arm.recover()
    one_arm.configure(STIFF)
    one_arm.reset_joints(np.array(START))
    return one_arm


def robot_time(arm):
    return arm._loop.newest().time.to_sec()


def wait(arm, seconds):
    """By the robot's clock, which in a simulator on a busy machine is slow."""
    end = robot_time(arm) + seconds
    while robot_time(arm) < end:
        time.sleep(0.005)


def stream(arm, goal, steps):
    """Command a straight line at 10 Hz."""
    start = arm.read().tcp_pose
    for part in np.arange(1, steps + 1) / steps:
        pose = goal.copy()
        pose[:3] = start[:3] + part * (goal[:3] - start[:3])
        arm.command(pose)
        wait(arm, 0.1)


def moved(pose, x=0.0, y=0.0, z=0.0):
    return pose + [x, y, z, 0, 0, 0, 0]


def distance(a, b):
    return np.linalg.norm(a[:3] - b[:3])


def test_it_holds_where_it_is_from_the_start(arm):
    # The loop's thread alone has real-time priority.
    assert os.sched_getscheduler(0) not in (os.SCHED_FIFO, os.SCHED_RR)
    pose = arm.read().tcp_pose
    wait(arm, 0.5)
    state = arm.read()
    assert arm.error() is None
    assert distance(state.tcp_pose, pose) < 1e-3
    np.testing.assert_allclose(state.q, START, atol=0.01)
    assert np.abs(displacement(state.tcp_pose, forward_kinematics("fr3", state.q))).max() < 1e-4
    assert state.jacobian.shape == (6, 7) and state.gripper_pose == 1.0
    np.testing.assert_allclose(state.tcp_vel, state.jacobian @ state.dq)


def test_it_reaches_what_is_commanded_at_10_hz_while_parameters_change(arm):
    start = arm.read().tcp_pose
    goal = moved(start, x=0.05)
    arm.configure(Compliance())
    stream(arm, moved(start, x=0.025), 3)
    arm.configure(STIFF)
    stream(arm, goal, 3)
    wait(arm, 2.0)
    state = arm.read()
    assert distance(state.tcp_pose, goal) < 0.002
    assert np.linalg.norm(displacement(state.tcp_pose, goal)[3:]) < 0.02


def test_clips_bound_the_force(arm):
    """A target far away pulls with stiffness times clip, less than the joints' friction here."""
    start = arm.read().tcp_pose
    arm.configure(Compliance(translational_clip_x=0.0005, translational_clip_neg_x=0.0005))
    wait(arm, 1.0)
    arm.command(moved(start, x=0.05))
    wait(arm, 1.0)
    assert distance(arm.read().tcp_pose, start) < 0.005
    arm.configure(Compliance())
    wait(arm, 1.0)
    assert arm.read().tcp_pose[0] > start[0] + 0.02


def test_the_loop_computes_what_the_law_computes(arm):
    """Replayed tick by tick from what the loop read, with MuJoCo's own Coriolis torque."""
    fields = ["time", "q", "dq", "ee", "jac", "last_torque", "tau"]
    fields += ["compliance", "equilibrium", "feedforward", "joint_motion"]
    pose = arm.read().tcp_pose
    with arm._loop._controller.record(fields, seconds=60) as recording:
        wait(arm, 0.1)
        arm.recover()
        stream(arm, moved(pose, x=0.03, z=-0.02), 3)
        arm.command(wrench=np.array([0, 10, 0, 0, 0, 1.0]))
        arm.configure(Compliance(translational_Ki=10, nullspace_stiffness=5))
        stream(arm, moved(pose, y=0.04), 4)
    assert recording.dropped == 0
    rows = recording.data()
    errors = replayed(rows, arm._loop._robot.model, arm._loop.tool)
    assert len(errors) > 500 and np.ptp(rows["compliance"][:, 0]) > 0
    assert np.abs(errors).max() < 2e-6  # where the rate limits, libfranka's rounding is 1e-6 Nm


def replayed(rows, model, tool):
    """Difference (ticks, 7) of the law's torque to the recorded one, from the hold on."""
    memory, data = impedance.new_memory(), mujoco.MjData(model)
    (holds,) = np.nonzero(np.diff(rows["joint_motion"][:, 0]))
    first, wrench_end, differences = holds[0] + 1, -1.0, []
    for i in range(first, len(rows["time"])):
        q, dq, compliance = rows["q"][i], rows["dq"][i], rows["compliance"][i]
        parameters = LawParameters(*np.split(compliance, [6, 12, 18, 24, 30]))
        tcp, shift = rows["ee"][i] @ tool, rows["ee"][i][:3, :3] @ tool[:3, 3]
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, tcp[:3, :3].ravel())
        quat_xyzw = quat[[1, 2, 3, 0]]
        jacobian = rows["jac"][i].copy()
        jacobian[:3] += np.cross(jacobian[3:].T, shift).T
        if i == first:
            impedance.start(memory, q, tcp[:3, 3], quat_xyzw)
            impedance.settle_gains(parameters, memory)
        if rows["equilibrium"][i, 0] != rows["equilibrium"][i - 1, 0]:
            impedance.set_target(memory, rows["equilibrium"][i, 1:4], rows["equilibrium"][i, 4:])
        if rows["feedforward"][i, 0] != rows["feedforward"][i - 1, 0]:
            memory.wrench[:], wrench_end = rows["feedforward"][i, 1:], rows["time"][i] + WRENCH_TIMEOUT
        if rows["time"][i] > wrench_end:
            memory.wrench[:] = 0
        torque = np.empty(7)
        impedance.impedance_torque(
            parameters, memory, q, dq, tcp[:3, 3].copy(), quat_xyzw, jacobian, coriolis(model, data, q, dq),
            rows["last_torque"][i], torque,
        )  # fmt: skip
        differences.append(torque - rows["tau"][i])
    return np.array(differences)


def coriolis(model, data, q, dq):
    data.qpos[:], data.qvel[:] = q, dq
    mujoco.mj_forward(model, data)
    moving = data.qfrc_bias.copy()
    data.qvel[:] = 0
    mujoco.mj_forward(model, data)
    return moving - data.qfrc_bias


def test_coriolis_torque_is_the_robots_own(arm):
    """libfranka computes it from the model that the robot sends."""
    interface = arm._loop._interface
    arm.stop()
    try:
        model, state = interface.robot.load_model(), interface.robot.read_once()
        data, rng = mujoco.MjData(arm._loop._robot.model), np.random.default_rng(0)
        for _ in range(20):
            q, dq = np.array(START) + rng.uniform(-0.5, 0.5, 7), rng.uniform(-1, 1, 7)
            state.q, state.dq = q.tolist(), dq.tolist()
            ours = coriolis(arm._loop._robot.model, data, q, dq)
            np.testing.assert_allclose(ours, model.coriolis(state), atol=1e-4)
    finally:
        arm.start()


def test_a_wrench_pushes_until_it_lapses(arm):
    wide = {"translational_clip_z": 0.1, "translational_clip_neg_z": 0.1}
    arm.configure(Compliance(translational_stiffness=1000, translational_damping=63, **wide))
    wait(arm, 1.0)
    start = arm.read().tcp_pose
    for _ in range(10):
        arm.command(wrench=np.array([0, 0, -40.0, 0, 0, 0]))
        wait(arm, 0.05)
    pushed = arm.read().tcp_pose
    wait(arm, 1.0)
    assert pushed[2] < start[2] - 0.01
    assert arm.read().tcp_pose[2] > pushed[2] + 0.008


def test_a_joint_reset_gets_there_and_the_law_goes_on(arm):
    goal = np.array(START) + [0.2, 0.1, -0.1, 0.2, 0.1, 0.2, -0.3]
    arm.reset_joints(goal)
    state = arm.read()
    np.testing.assert_allclose(state.q, goal, atol=0.02)
    wait(arm, 0.5)
    assert distance(arm.read().tcp_pose, state.tcp_pose) < 2e-3
    stream(arm, moved(state.tcp_pose, z=0.03), 3)
    wait(arm, 1.0)
    assert distance(arm.read().tcp_pose, moved(state.tcp_pose, z=0.03)) < 0.003


def test_a_blocked_joint_reset_says_so(arm, simulator):
    simulator.ask("push 100")
    try:
        with pytest.raises(RobotError, match=r"joint \d stopped \d\.\d+ rad from where it was sent"):
            arm.reset_joints(np.array(START) - [0, 0.2, 0, 0.4, 0, 0, 0])
    finally:
        simulator.ask("push 0")
    assert arm.error() is None


def test_a_stop_ends_a_joint_reset(arm):
    goal = np.array(START) + [1.0, 0, 0, 0, 0, 0, 0]
    failed = []

    def reset():
        try:
            arm.reset_joints(goal)
        except RobotError as error:
            failed.append(str(error))

    resetting = threading.Thread(target=reset)
    resetting.start()
    wait(arm, 0.5)
    with pytest.raises(RobotError, match="a joint reset is under way"):
        arm.command(arm.read().tcp_pose)
    arm.stop()
    resetting.join()
    assert "stopped" in failed[0]
    assert arm.read().q[0] < 0.8


def test_stopped_it_stands_and_refuses_until_it_is_started(arm):
    pose = arm.read().tcp_pose
    stream(arm, moved(pose, x=0.06), 2)  # and has not arrived
    arm.stop()
    stopped = arm.read().tcp_pose
    assert "stopped" in arm.error()
    with pytest.raises(RobotError, match="stopped; start its controller"):
        arm.command(pose)
    with pytest.raises(RobotError, match="stopped; start its controller"):
        arm.reset_joints(np.array(START))
    wait(arm, 0.5)
    assert distance(arm.read().tcp_pose, stopped) < 0.01
    stood = arm.read().tcp_pose
    arm.start()
    assert arm.error() is None
    wait(arm, 1.0)
    assert distance(arm.read().tcp_pose, stood) < 0.003  # the old target counts no more
    arm.start()  # of what runs is nothing
    wait(arm, 0.1)


def test_recover_while_it_moves_holds_it(arm):
    pose = arm.read().tcp_pose
    stream(arm, moved(pose, x=0.06), 1)
    arm.recover()
    held = arm.read().tcp_pose
    wait(arm, 1.0)
    assert distance(arm.read().tcp_pose, held) < 0.01
    assert distance(arm.read().tcp_pose, moved(pose, x=0.06)) > 0.02


@pytest.mark.parametrize(
    ("method", "arguments", "error", "words"),
    [
        ("command", ([np.nan] * 7,), ActionError, "finite"),
        ("command", ([0.4, 0, 0.4, 0, 0, 0, 0.5],), ActionError, "unit quat_xyzw"),
        ("command", (None, [1, 2, 3]), ActionError, "shape"),
        ("reset_joints", ([0, 0, 0, 0, 0, 1.5, 0],), ConfigError, "joint 4 would go to 0.000 rad"),
        ("reset_joints", ([np.inf] * 7,), ConfigError, "finite"),
        ("load", (-1.0, [0, 0, 0], np.eye(3)), ConfigError, "at least 0 kg"),
        ("load", (0.5, [0, 0, 0], np.zeros((3, 3))), ConfigError, "without inertia"),
    ],
)
def test_bad_input_moves_nothing(arm, method, arguments, error, words):
    pose = arm.read().tcp_pose
    with pytest.raises(error, match=words):
        getattr(arm, method)(*arguments)
    wait(arm, 0.2)
    assert arm.error() is None
    assert distance(arm.read().tcp_pose, pose) < 1e-3


def test_a_load_reaches_the_robot_and_the_law(arm):
    links = arm._loop._controller.links.copy()
    arm.load(0.4, [0, 0, 0.15], np.diag([1e-3] * 3))
    try:
        wait(arm, 0.2)
        assert arm.error() is None
        assert arm._loop.newest().m_load == pytest.approx(0.4)
        assert arm._loop._controller.links[6, 12] == pytest.approx(links[6, 12] + 0.4)
    finally:
        arm.load(0.0, [0, 0, 0], np.zeros((3, 3)))
    np.testing.assert_allclose(arm._loop._controller.links, links)


def test_it_grasps_and_lifts_a_cube(arm, simulator):
    hand = FrankaHand(simulator.host)
    station = Station({"arm": arm}, {"arm": hand})
    hand.move(1.0)
    above = np.array([*CUBE[:2], 0.12, *DOWN])
    stream(arm, above, 25)
    stream(arm, np.array([*CUBE[:2], 0.03, *DOWN]), 10)
    wait(arm, 1.0)
    assert station.read().arms["arm"].gripper_pose > 0.85
    hand.move(0.0)
    wait(arm, 2.0)
    assert 0.4 < hand.opening() < 0.6  # the cube is half as wide as the hand
    stream(arm, above, 10)
    wait(arm, 0.5)
    assert simulator.ask("cube") > 0.08
    hand.move(1.0)
    wait(arm, 1.5)
    assert hand.opening() > 0.85
    assert simulator.ask("cube") < 0.03
    hand.close()


def test_a_frozen_connection_is_noticed_and_recovered_from(arm, simulator):
    pose = arm.read().tcp_pose
    simulator.freeze()
    try:
        time.sleep(STALE + 0.2)
        with pytest.raises(RobotError, match="no state comes"):
            arm.command(pose)
        time.sleep(2.0)
        assert arm.error() is not None
    finally:
        simulator.freeze(False)
    time.sleep(1.0)
    arm.recover()
    wait(arm, 0.3)
    assert arm.error() is None
    assert distance(arm.read().tcp_pose, pose) < 0.005


def test_a_stop_over_a_dead_connection_does_not_hang(arm, simulator):
    simulator.freeze()
    try:
        began = time.monotonic()
        stopping = threading.Thread(target=stop_anyway, args=(arm,))
        stopping.start()
        time.sleep(0.1)
        with pytest.raises(RobotError):
            arm.command(np.array([0.4, 0.0, 0.4, *DOWN]))
        stopping.join(20)
        assert not stopping.is_alive() and time.monotonic() - began < 10
    finally:
        simulator.freeze(False)


def stop_anyway(arm):
    with contextlib.suppress(RobotError):
        arm.stop()


def test_a_torque_that_is_no_number_is_never_sent(arm):
    pose, tool = arm.read().tcp_pose, arm._loop.tool
    arm._loop.set("tool", np.full((4, 4), np.nan))
    time.sleep(0.5)
    assert "the law met a number that is none" in arm.error()
    arm._loop.set("tool", tool)
    arm.recover()
    wait(arm, 0.5)
    assert distance(arm.read().tcp_pose, pose) < 0.01


def test_a_robot_that_restarts_is_found_again(arm, simulator):
    simulator.kill()
    time.sleep(1.5)
    assert "recover" in arm.error()
    with pytest.raises(RobotError):
        arm.read()
    with pytest.raises(RobotError, match="activate FCI"):
        arm.recover()
    simulator.restart()
    arm.recover()
    wait(arm, 0.3)
    assert arm.error() is None
    np.testing.assert_allclose(arm.read().q, START, atol=0.01)


MOVE_FAR = """
import sys, time
import numpy as np
from robot_servers.backends.libfranka import LibfrankaArm
arm = LibfrankaArm(sys.argv[1])
pose = arm.read().tcp_pose
print("moving", flush=True)
for _ in range(600):
    pose[1] += 0.002
    arm.command(pose)
    time.sleep(0.05)
"""


def test_a_process_that_is_killed_leaves_the_arm_standing(simulator):
    with FrankaSimulator() as other:
        process = subprocess.Popen(
            [sys.executable, "-c", MOVE_FAR, other.host], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        )
        assert process.stdout.readline() == "moving\n"
        time.sleep(3.0)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        arm = LibfrankaArm(other.host)
        stood = arm.read().tcp_pose
        wait(arm, 1.0)
        assert stood[1] > 0.005  # it had moved
        assert distance(arm.read().tcp_pose, stood) < 0.003
        arm.close()
        arm.close()
        assert "closed" in arm.error()


def test_a_station_of_two_arms(simulator):
    with FrankaSimulator() as left, FrankaSimulator() as right:
        station = open_station({"left": left.host, "right": right.host})
        state = station.read()
        assert sorted(state.arms) == ["left", "right"] and station.errors() == {}
        pose = moved(state.arms["right"].tcp_pose, z=0.05)
        station.parts["right"].configure(STIFF)
        stream(station.parts["right"], pose, 5)
        wait(station.parts["right"], 1.0)
        after = station.read()
        assert distance(after.arms["right"].tcp_pose, pose) < 0.003
        assert distance(after.arms["left"].tcp_pose, state.arms["left"].tcp_pose) < 1e-3
        station.close()


def test_addresses_without_a_robot(simulator):
    with pytest.raises(RobotError, match="no such host; check the robot's address"):
        LibfrankaArm("no-such-host.invalid")
    with pytest.raises(RobotError, match="unlock the joints and activate FCI"):
        LibfrankaArm("127.255.255.250")


def test_a_robot_of_another_version(simulator):
    """A Panda answers so: its server speaks version 5 of the protocol."""
    answer = (
        'import socket, struct, sys\ns = socket.create_server(("127.255.255.251", 1337))\nprint(flush=True)\n'
    )
    answer += "s.accept()\nc, _ = s.accept()\ncommand, number, size = struct.unpack('<III', c.recv(12))\n"
    answer += "c.recv(size)\nc.sendall(struct.pack('<IIIHH4x', command, number, 20, 1, 5))\nc.recv(1)\n"
    with subprocess.Popen([sys.executable, "-c", answer], stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        with pytest.raises(RobotError, match=r"Incompatible library version.*take `ros`"):
            LibfrankaArm("127.255.255.251")
        server.kill()


def test_a_servers_station_has_the_hand_too(simulator):
    with FrankaSimulator() as other:
        station = make_station("libfranka", BackendSettings(robot_ip=(other.host,)))
        station.grippers["arm"].move(1.0)
        assert station.errors() == {}
        assert 0 <= station.read().arms["arm"].gripper_pose <= 1
        station.close()
    with pytest.raises(ConfigError, match="one arm or two"):
        make_station("libfranka", BackendSettings())
    with pytest.raises(RobotError, match="no Franka hand answers"):
        make_station("libfranka", BackendSettings(robot_ip=(other.host,)))


def test_another_kind_of_arm_is_refused(simulator):
    with FrankaSimulator() as other:
        with pytest.raises(RobotError, match="mm from where an FR3 has it"):
            LibfrankaArm(other.host, max_model_error=-1.0)


def test_what_is_missing_or_in_the_way_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiofranka", None)
    with pytest.raises(ConfigError, match=r"needs aiofranka: pip install"):
        LibfrankaArm("127.0.0.1")
    monkeypatch.setitem(sys.modules, "franky", sys)
    with pytest.raises(ConfigError, match="don't import franky"):
        LibfrankaArm("127.0.0.1")


def test_collision_thresholds_are_checked():
    with pytest.raises(ConfigError, match="Collision.wrench"):
        Collision(wrench=(1000.0,) * 6)
