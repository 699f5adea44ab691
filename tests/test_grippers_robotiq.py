"""A Robotiq 2F-85 over real Modbus: it opens, closes and holds, and every way of losing it."""

import logging
import re
import time

import pytest

from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.robot import ArmCommand
from hilserl_envs.wrappers.gripper_state import OPEN_ABOVE
from robot_servers.grippers import robotiq
from robot_servers.parts import FakeArm, Gripper
from robot_servers.station import Station
from tests import needs


@pytest.fixture
def server():
    needs.module("pymodbus", "server")
    from tests.robotiq_stand_in import RobotiqServer

    made = RobotiqServer()
    yield made
    made.close()


@pytest.fixture
def open_gripper(server):
    opened = []

    def opener(**settings):
        opened.append(robotiq.Robotiq(robotiq.RobotiqSettings(server.address, **settings)))
        return opened[-1]

    yield opener
    for gripper in opened:
        gripper.close()


@pytest.fixture
def gripper(open_gripper):
    return open_gripper()


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(robotiq, "RETRY", 0.05)


def until(condition, what, timeout=10.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.005)


def arrive(gripper):
    until(lambda: gripper.status.moving, "the fingers' start")
    until(lambda: not gripper.status.moving, "the fingers' arrival")


def test_open_and_closed_are_what_the_env_takes_for_them(gripper):
    assert isinstance(gripper, Gripper)
    station = Station({"arm": FakeArm()}, {"arm": gripper})
    station.command({"arm": ArmCommand(gripper=0.0)})
    arrive(gripper)
    assert station.read().arms["arm"].gripper_pose == 0
    station.command({"arm": ArmCommand(gripper=1.0)})
    arrive(gripper)
    assert station.read().arms["arm"].gripper_pose == 1 > OPEN_ABOVE
    assert station.errors() == {}


def test_it_goes_part_of_the_way_too(gripper):
    for opening in (0.5, 0.9, 0.1):
        gripper.move(opening)
        arrive(gripper)
        assert gripper.opening() == pytest.approx(opening, abs=0.02)


def test_what_it_holds_is_held_with_the_force_asked_for(server, open_gripper):
    gripper, server.fingers.object = open_gripper(force=0.5), 120
    gripper.move(0.0)
    until(lambda: gripper.status.held == "closing", "the object")
    assert 0.4 < gripper.opening() < 0.6 and gripper.error() is None
    assert server.fingers.writes[-1] == [0x0900, 255, 255 << 8 | 128]  # it goes on squeezing
    gripper.move(1.0)
    arrive(gripper)
    assert gripper.status.held is None and gripper.opening() == 1


def test_speed_is_a_share_of_the_highest(server, gripper):
    for speed, register in ((1.0, 255), (0.1, 0), (0.3, 49)):
        gripper.move(0.5, speed)
        until(
            lambda register=register: server.fingers.writes[-1:] == [[0x0900, 114, register << 8 | 30]], "it"
        )


def test_a_shorter_stroke_is_all_the_way_open_to_the_env(server, open_gripper):
    # 175 is the public code's "open", which its own threshold never takes for open.
    gripper = open_gripper(open_position=175)
    gripper.move(0.0)
    arrive(gripper)
    gripper.move(1.0)
    arrive(gripper)
    assert server.fingers.position == 175 and gripper.opening() == 1


def test_the_newest_command_counts(server, gripper):
    server.fingers.delay = 0.1
    for opening in (0.0, 1.0, 0.25, 0.5):
        gripper.move(opening)
    until(lambda: server.fingers.writes and server.fingers.writes[-1][1] == 114, "the newest")
    assert len(server.fingers.writes) <= 2  # the first may have been under way
    server.fingers.delay = 0.0


def test_nobody_waits_for_a_gripper_that_hangs(server, gripper):
    gripper.move(0.5)
    arrive(gripper)
    server.fingers.delay = 1.0
    until(gripper.error, "the silence being noticed")
    assert "stopped answering" in gripper.error()
    began = time.monotonic()
    for _ in range(100):
        gripper.move(0.0)
        assert gripper.opening() == pytest.approx(0.5, abs=0.02)
        gripper.error()
    assert time.monotonic() - began < 0.25
    server.fingers.delay = 0.0


def test_a_lost_connection_is_reported_once_and_made_again(server, gripper, soon, caplog):
    server.stop()
    until(gripper.error, "the loss")
    until(lambda: "does not answer" in (gripper.error() or ""), "the tries to connect")
    gripper.move(0.0)
    server.start()
    until(lambda: gripper.opening() == 0, "what was wanted meanwhile")
    assert gripper.error() is None
    said = [record for record in caplog.records if record.name == robotiq.log.name]
    assert [record.levelno for record in said] == [logging.WARNING] * 2
    assert server.address in said[0].getMessage() and "is back" in said[1].getMessage()


def test_a_command_that_came_too_early_moves_nothing_later(server, gripper, soon, monkeypatch, caplog):
    monkeypatch.setattr(robotiq, "LAPSE", 0.1)
    server.stop()
    until(gripper.error, "the loss")
    gripper.move(0.0)
    until(lambda: "a command is given up" in caplog.text, "the command's end")
    server.start()
    until(lambda: gripper.error() is None, "the connection")
    time.sleep(0.1)
    assert server.fingers.writes == [] and gripper.opening() == 1


def test_a_gripper_that_just_got_power_is_activated_at_the_start_and_then_when_asked(server, open_gripper):
    server.fingers.power_cycle()
    gripper = open_gripper()
    assert gripper.error() is None and server.fingers.writes == [[0x0100, 0, 0]]
    gripper.activate()
    assert len(server.fingers.writes) == 1  # it is active: nothing moves
    server.fingers.power_cycle()
    until(gripper.error, "the activation being missed")
    assert "is not activated, which opens and closes its fingers" in gripper.error()
    gripper.move(0.0)
    time.sleep(0.1)
    assert server.fingers.writes == []
    gripper.activate()
    assert gripper.error() is None and server.fingers.writes == [[0x0100, 0, 0]]
    time.sleep(0.1)
    assert server.fingers.position < 10  # what was wanted before is forgotten


def test_without_leave_it_is_not_activated(server, open_gripper):
    server.fingers.power_cycle()
    gripper = open_gripper(activate=False)
    assert "is not activated" in gripper.error() and server.fingers.writes == []


def test_that_it_is_being_activated_is_said(server, open_gripper):
    server.fingers.power_cycle()
    gripper = open_gripper(activate=False)
    server.fingers.write([0x0100, 0, 0])
    until(lambda: "is being activated" in (gripper.error() or ""), "the activation")
    until(lambda: gripper.error() is None, "its end")


@pytest.mark.parametrize(
    "fault, words",
    [
        (0x08, "too hot"),
        (0x09, "heard nothing from its controller"),
        (0x0A, "supply voltage is too low; reset it"),
        (0x0D, "activation failed.*; reset it"),
        (0x0E, "motor current was too high; reset it"),
        (0x02, "fault 2"),
    ],
)
def test_faults_are_told_in_words(server, gripper, fault, words):
    server.fingers.fault = fault
    until(gripper.error, "the fault")
    assert re.search(f"Robotiq at {server.address}: .*{words}", gripper.error())


def test_a_reset_clears_a_fault_and_makes_it_ready(server, gripper):
    server.fingers.fault = 0x0E
    until(gripper.error, "the fault")
    gripper.reset()
    assert gripper.error() is None
    assert server.fingers.writes == [[0, 0, 0], [0x0100, 0, 0]]
    gripper.move(0.0)
    arrive(gripper)
    assert gripper.opening() == 0


def test_an_activation_that_fails_or_takes_too_long_says_so(server, open_gripper, monkeypatch):
    server.fingers.power_cycle()
    gripper = open_gripper(activate=False)
    monkeypatch.setattr(robotiq, "ACTIVATION", 0.1)
    with pytest.raises(RobotError, match=r"was not activated within 0.1 s"):
        gripper.activate()
    server.fingers.power_cycle()
    server.fingers.fault = 0x0D
    with pytest.raises(RobotError, match="was not activated: its activation failed.*reset it"):
        gripper.activate()
    server.stop()
    with pytest.raises(RobotError, match="answer"):
        gripper.activate()
    server.start()


def test_a_controller_without_its_gripper_says_so(server, gripper, soon):
    server.fingers.refuses = 11
    until(gripper.error, "the refusal")
    assert "Modbus exception" in gripper.error() and "is the gripper itself plugged in" in gripper.error()
    server.fingers.refuses = None
    until(lambda: gripper.error() is None, "its return")


def test_closing_is_said_and_leaves_the_fingers_where_they_are(server, gripper):
    gripper.close()
    gripper.close()
    assert gripper.error() == f"Robotiq at {server.address} is closed"
    assert server.fingers.writes == []


def test_an_error_nobody_foresaw_is_logged_and_survived(gripper, soon, monkeypatch, caplog):
    with monkeypatch.context() as patched:
        patched.setattr(robotiq.RobotiqBus, "talk", lambda bus, command=None: 1 / 0)
        until(gripper.error, "the error")
        assert "fails: ZeroDivisionError" in gripper.error()
    until(lambda: gripper.error() is None, "its return")
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize(
    "opening, speed", [(-0.1, 1.0), (1.1, 1.0), (float("nan"), 1.0), (0.5, 0.0), (0.5, 1.5), ("open", 1.0)]
)
def test_what_is_no_opening_is_refused_and_moves_nothing(server, gripper, opening, speed):
    with pytest.raises(ConfigError, match="a gripper command|an opening is 0 to 1"):
        gripper.move(opening, speed)
    assert server.fingers.writes == []


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"force": 1.5}, r"force = 1.5 is outside \[0, 1\]"),
        ({"open_position": 220}, r"closed_position \(228\) is at least 20 above open_position \(220\)"),
        ({"unit": 300}, "unit is 0 to 247"),
        ({"activate": 1}, "activate is true or false"),
        ({"address": ""}, "a Robotiq's address is"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        robotiq.RobotiqSettings(**{"address": "192.168.1.11"} | wrong)
