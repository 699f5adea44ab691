"""Tests of the twin as a backend: its time, its parts, its order, and its arm when a client is gone."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import requests

from hilserl_envs.errors import CameraError, DivergedError, RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmCommand
from hilserl_envs.tasks import make_task
from robot_servers.backends import BackendSettings, make_station
from robot_servers.parts import Arm, Clock, Gripper
from tests.servers import twin_server

SPEED = 5.0  # times real time


def make_twin(task="RamInsertion", speed=SPEED, seed=0):
    return make_station("twin", BackendSettings(task=make_task(task), speed=speed, seed=seed))


@pytest.fixture
def station():
    station = make_twin()
    yield station
    station.close()


@pytest.fixture
def arm(station):
    return station.parts["arm"]


def pose(station):
    return station.read().arms["arm"].tcp_pose


def raised(station, by):
    target = pose(station)
    target[2] += by
    return target


def test_the_parts_are_what_a_server_is_made_of(station):
    assert isinstance(station.parts["arm"], Arm) and isinstance(station.grippers["arm"], Gripper)
    assert isinstance(station.clock, Clock)
    assert station.cameras == {"wrist_1": (128, 128), "wrist_2": (128, 128)}


def test_time_passes_by_itself_at_the_speed_asked_for(station):
    time.sleep(1.2)
    start, began = station.clock.now(), time.monotonic()
    time.sleep(0.5)
    assert station.clock.now() - start == pytest.approx(
        station.world.reached * (time.monotonic() - began), rel=0.3
    )
    assert station.world.reached <= 1.05 * SPEED


def test_waiting_ends_on_the_chunk(station):
    instant = station.clock.now() + 0.1
    station.clock.wait_until(instant)
    assert station.clock.now() >= instant
    assert station.clock.now() - instant < 0.1
    station.clock.wait_until(0.0)


def test_a_twin_that_cannot_keep_up_says_so(caplog):
    station = make_twin(speed=100.0)
    time.sleep(1.3)
    reached = station.world.reached
    station.close()
    assert 0 < reached < 90 and "not the 100 asked for" in caplog.text


def test_an_episode_has_begun(station):
    state = station.read().arms["arm"]
    setup = make_task("RamInsertion").arms["arm"]
    assert np.abs(state.tcp_pose[:3] - setup.reset_pose[:3]).max() < 0.021
    held = station.world.do(lambda: station.world.robot.scene.pose_in_tcp("module", "arm"))
    assert np.linalg.norm(held[:3]) < 0.02
    assert not station.world.succeeded()


def test_a_command_moves_and_the_clips_bound_how_fast(station, arm):
    target = raised(station, 0.02)
    arm.command(pose=target)
    station.wait(2.0)
    np.testing.assert_allclose(pose(station)[:3], target[:3], atol=0.003)


def test_a_wrench_pushes_for_a_tenth_of_a_second(station, arm):
    before = pose(station)[2]
    arm.command(wrench=np.array([0, 0, 20.0, 0, 0, 0]))
    station.wait(0.1)
    assert pose(station)[2] > before + 0.001
    station.wait(1.0)
    assert abs(pose(station)[2] - before) < 0.001


def test_a_stopped_arm_stays_and_listens_to_nobody(station, arm):
    arm.command(pose=raised(station, 0.05))
    station.wait(0.2)
    station.stop()
    assert station.errors() == {"arm": "stopped"}
    station.wait(0.5)
    still = pose(station)
    with pytest.raises(RobotError, match="stopped"):
        arm.command(pose=still)
    with pytest.raises(RobotError, match="stopped"):
        arm.reset_joints(station.read().arms["arm"].q)
    station.wait(2.0)
    np.testing.assert_allclose(pose(station), still, atol=2e-4)
    station.start()
    station.wait(1.0)
    np.testing.assert_allclose(pose(station)[:3], still[:3], atol=1e-3)
    assert station.errors() == {}
    arm.command(pose=raised(station, 0.01))


def test_recovering_holds_the_measured_pose(station, arm):
    arm.command(pose=raised(station, 0.05))
    station.wait(0.3)
    station.recover()
    here = pose(station)
    station.wait(1.0)
    assert np.linalg.norm(pose(station)[:3] - here[:3]) < 0.01


def test_joints_go_where_they_are_sent(station):
    q = make_task("RamInsertion").reset_q("arm")
    q[0] += 0.2
    station.reset_joints({"arm": q})
    np.testing.assert_allclose(station.read().arms["arm"].q, q, atol=0.02)
    station.parts["arm"].command(pose=raised(station, 0.01))


def test_a_stop_ends_a_joint_reset_on_the_way(station, arm):
    start = station.read().arms["arm"].q
    q = start.copy()
    q[0] += 1.0
    caught = []

    def reset():
        try:
            station.reset_joints({"arm": q})
        except RobotError as error:
            caught.append(error)

    moving = threading.Thread(target=reset)
    moving.start()
    station.wait(0.8)
    station.stop()
    moving.join(5)
    assert "stopped" in str(caught[0])
    station.wait(0.5)
    where = station.read().arms["arm"].q[0]
    assert start[0] + 0.1 < where < start[0] + 0.9
    station.wait(1.0)
    assert abs(station.read().arms["arm"].q[0] - where) < 0.01


def test_a_gripper_opens_closes_and_goes_slowly():
    station = make_twin("PickCube")
    gripper = station.grippers["arm"]
    try:
        times = []
        for speed in (1.0, 0.2):
            gripper.move(1.0)
            station.wait(2.0)
            assert gripper.opening() > 0.95
            began = station.clock.now()
            gripper.move(0.0, speed)
            while gripper.opening() > 0.1:
                station.wait(0.05)
            times.append(station.clock.now() - began)
        assert times[1] / times[0] == pytest.approx(5, rel=0.3)
        station.wait(1.0)
        assert gripper.opening() < 0.02
        gripper.move(0.0, 0.2)
        gripper.move(0.5)  # the newest counts
        station.wait(2.0)
        assert gripper.opening() == pytest.approx(0.5, abs=0.03)
    finally:
        station.close()


def test_compliance_and_load_reach_the_law(station, arm):
    physics = station.world.robot.scene.physics
    station.configure({"arm": Compliance(translational_stiffness=1234)})
    arm.load(0.5, np.array([0, 0, 0.1]), np.zeros((3, 3)))
    station.wait(0.01)
    assert 1234.0 in [float(np.ravel(value)[0]) for value in physics.arms[0].parameters]
    assert physics.arms[0].payload[0] == 0.5


def test_cameras_show_the_newest_state_each_its_own(station, arm):
    first = station.frames()
    assert (first["wrist_1"].image != first["wrist_2"].image).any()
    assert abs(first["wrist_1"].time - time.monotonic()) < 1
    arm.command(pose=raised(station, 0.03))
    station.wait(1.0)
    second = station.frames()
    assert second["wrist_1"].number == first["wrist_1"].number + 1
    assert np.abs(second["wrist_1"].image.astype(int) - first["wrist_1"].image).max() > 50


def test_many_threads_look_and_command_at_once(station, arm):
    failed = []

    def work(number):
        try:
            for _ in range(20):
                station.capture() if number % 2 else arm.command(pose=pose(station))
                station.read()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed


def test_putting_things_back_starts_an_episode_and_not_the_clock(station, arm):
    arm.command(pose=raised(station, 0.05))
    station.wait(1.0)
    before = station.clock.now()
    station.rearrange(seed=7)
    assert station.clock.now() >= before
    other = make_twin(seed=7)
    try:
        np.testing.assert_allclose(pose(station), pose(other), atol=2e-4)
    finally:
        other.close()
    station.stop()
    station.rearrange()
    assert station.errors() == {"arm": "stopped"}


def test_a_diverged_twin_stands_still_says_so_and_starts_over(station, arm, monkeypatch):
    def diverge(seconds):
        raise DivergedError("the simulation diverged")

    monkeypatch.setattr(station.world.robot.scene.physics, "advance", diverge)
    with pytest.raises(RobotError, match="diverged"):
        station.wait(1.0)
    assert "POST /twin/rearrange" in station.errors()["arm"]
    with pytest.raises(RobotError, match="diverged"):
        arm.command(pose=pose(station))
    monkeypatch.undo()
    station.rearrange()
    station.wait(0.2)
    assert station.errors() == {}


def test_a_closed_twin_lets_everybody_go():
    station = make_twin()
    waiting = threading.Thread(target=lambda: pytest.raises(RobotError, station.wait, 1000))
    waiting.start()
    time.sleep(0.1)
    station.close()
    station.close()
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(RobotError, match="closed"):
        station.read()
    with pytest.raises(CameraError):
        station.frames()
    assert not [thread for thread in threading.enumerate() if thread.name == "twin"]


def test_the_server_tells_whether_the_task_is_done_and_puts_it_back():
    with twin_server() as server:
        state = requests.get(f"{server.url}/state", timeout=5).json()
        assert state["succeeded"] is False
        answer = requests.post(f"{server.url}/twin/rearrange", json={"seed": 4}, timeout=5).json()
        assert answer["targets"] == {"arm": None}
        again = requests.post(f"{server.url}/twin/rearrange", json={"seed": 4}, timeout=5).json()
        np.testing.assert_allclose(answer["arms"]["arm"]["q"], again["arms"]["arm"]["q"], atol=1e-4)
        for body in ({"seed": -1}, {"seed": "x"}, {"sed": 1}, {"seed": True}):
            assert requests.post(f"{server.url}/twin/rearrange", json=body, timeout=5).status_code == 400
        requests.post(f"{server.url}/emergency_stop", timeout=5)
        assert requests.post(f"{server.url}/twin/rearrange", timeout=5).status_code == 423


def test_the_emergency_stop_stops_a_moving_arm():
    with twin_server() as server:
        station = server.guard.station
        server.guard.command({"arm": ArmCommand(pose=raised(station, 0.09))})
        station.wait(0.15)
        assert station.read().arms["arm"].tcp_vel[2] > 0.02
        assert requests.post(f"{server.url}/emergency_stop", timeout=5).ok
        stopped_at = pose(station)
        station.wait(0.5)
        assert np.abs(station.read().arms["arm"].tcp_vel).max() < 0.005
        assert np.linalg.norm(pose(station)[:3] - stopped_at[:3]) < 0.01
        requests.post(f"{server.url}/emergency_stop/clear", timeout=5)
        here = pose(station)
        station.wait(1.0)
        assert np.linalg.norm(pose(station)[:3] - here[:3]) < 0.002  # it does not go on


DRIVE = """
import sys, requests
url, session = sys.argv[1], requests.Session()
while True:
    state = session.get(url + "/state").json()
    pose = state["arms"]["arm"]["tcp_pose"]
    pose[2] = min(pose[2] + 0.09, 0.45)
    session.post(url + "/step", json={"commands": {"arm": {"pose": pose}}, "wait": 0.1}).raise_for_status()
    print("moving", flush=True)
"""


def test_an_arm_whose_client_is_killed_holds_within_the_deadman_time():
    with twin_server() as server:
        station, deadman = server.guard.station, server.guard.settings.deadman
        client = subprocess.Popen([sys.executable, "-c", DRIVE, server.url], stdout=subprocess.PIPE)
        try:
            for _ in range(5):
                assert client.stdout.readline() == b"moving\n"
            client.send_signal(signal.SIGKILL)
            killed = station.clock.now()
        finally:
            client.kill()
            client.wait()
            client.stdout.close()
        while not (state := server.guard.state())["held_by_deadman"]:
            assert station.clock.now() < killed + deadman + 0.2
            station.wait(0.01)
        held = np.array(state["targets"]["arm"])
        station.wait(0.3)
        assert np.abs(station.read().arms["arm"].tcp_vel).max() < 0.03
        station.wait(1.0)
        assert np.linalg.norm(pose(station)[:3] - held[:3]) < 0.003
