"""The Franka hand in a simulator, and its bytes beside libfranka's."""

import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from hilserl_envs.errors import ActionError, RobotError
from hilserl_envs.wrappers.gripper_state import OPEN_ABOVE
from robot_servers.grippers.franka_hand import FrankaHand
from robot_servers.grippers.franka_hand_link import Command, FrankaHandLink
from robot_servers.parts import Gripper
from tests import needs
from tests.franka_simulator import FrankaSimulator

HOST = "127.255.255.252"


@pytest.fixture(scope="module")
def simulator():
    with FrankaSimulator() as simulator:
        yield simulator


@pytest.fixture
def hand(simulator):
    hand = FrankaHand(simulator.host)
    yield hand
    hand.close()


def arrives(hand, low, high):
    """Whether it gets to an opening and stays there, in the simulator's own time."""
    deadline, since = time.monotonic() + 20, None
    while time.monotonic() < deadline:
        inside = low <= hand.opening() <= high
        since = (since or time.monotonic()) if inside else None
        if since is not None and time.monotonic() - since > 0.3:
            return True
        time.sleep(0.02)
    return False


def test_it_reaches_what_the_env_calls_open_and_closed(hand):
    assert isinstance(hand, Gripper)
    hand.move(0.0)
    assert arrives(hand, 0.0, 0.02)
    hand.move(1.0)
    assert arrives(hand, OPEN_ABOVE + 0.1, 1.0)
    hand.move(0.5)
    assert arrives(hand, 0.48, 0.52)
    assert hand.error() is None


def test_the_newest_command_counts_at_once(hand):
    hand.move(1.0)
    assert arrives(hand, 0.95, 1.0)
    hand.move(0.0, speed=0.2)
    deadline = time.monotonic() + 10
    while hand.opening() > 0.9 and time.monotonic() < deadline:
        time.sleep(0.01)
    hand.move(1.0)
    assert arrives(hand, 0.95, 1.0)
    assert hand.error() is None


def test_a_wish_that_comes_back_while_it_is_stopped_counts(hand):
    hand.move(1.0)
    assert arrives(hand, 0.95, 1.0)
    hand.move(0.0, speed=0.2)
    time.sleep(0.2)
    hand.move(1.0)
    time.sleep(0.012)  # it was told to stop, or has just begun to open
    hand.move(0.0)
    assert arrives(hand, 0.0, 0.02)


def test_the_same_command_again_disturbs_nothing(hand):
    hand.move(1.0)
    assert arrives(hand, 0.95, 1.0)
    for _ in range(100):
        hand.move(0.0, speed=0.5)
        time.sleep(0.01)
    assert arrives(hand, 0.0, 0.02)


def test_no_other_thread_waits_for_the_fingers(hand):
    """libfranka's own Python holds all threads until they have arrived."""
    hand.move(1.0)
    assert arrives(hand, 0.95, 1.0)
    hand.move(0.0, speed=0.3)
    longest, last = 0.0, time.monotonic()
    while hand.opening() > 0.3:
        time.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 0.3


def test_activate_homes_it_as_often_as_one_likes(hand):
    for _ in range(2):
        hand.activate()
    assert hand.error() is None
    hand.move(1.0)
    assert arrives(hand, 0.98, 1.0)


@pytest.mark.parametrize(("opening", "speed"), [(1.5, 1.0), (-0.1, 1.0), (float("nan"), 1.0), (0.5, 0.0)])
def test_bad_commands_are_refused(hand, opening, speed):
    with pytest.raises(ActionError):
        hand.move(opening, speed)


def test_a_hand_that_is_gone_is_reported_and_found_again():
    with FrankaSimulator() as simulator:
        hand = FrankaHand(simulator.host)
        hand.move(1.0)
        simulator.kill()
        time.sleep(0.3)
        assert "is lost" in hand.error()
        for call in (hand.opening, lambda: hand.move(0.0), hand.activate):
            with pytest.raises(RobotError, match="is lost"):
                call()
        with pytest.raises(RobotError, match="no Franka hand answers"):
            hand.reset()
        simulator.restart()
        hand.reset()
        assert hand.error() is None
        time.sleep(0.3)
        assert hand.opening() < 0.9  # what was wished before counts no more
        simulator.freeze()
        time.sleep(1.3)
        with pytest.raises(RobotError, match="is silent"):
            hand.opening()
        simulator.freeze(False)
        hand.close()
        hand.close()


class Recorder:
    """Takes every command at once, and keeps what came over the wire: (command, number, body)."""

    def __init__(self, status=0):
        self.messages, self._status = [], status
        self._server = socket.create_server((HOST, 1338))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        connection, _ = self._server.accept()
        while header := connection.recv(10, socket.MSG_WAITALL):
            command, number, size = struct.unpack("<HII", header)
            body = connection.recv(size - 10, socket.MSG_WAITALL) if size > 10 else b""
            self.messages.append((command, number, body))
            answer = struct.pack("<HH", self._status, 3) if command == 0 else struct.pack("<H", 0)
            connection.sendall(struct.pack("<HII", command, number, 10 + len(answer)) + answer)

    def close(self):
        self._server.close()


THEIRS = f"""
import pylibfranka
hand = pylibfranka.Gripper("{HOST}")
hand.homing(), hand.move(0.04, 0.05), hand.grasp(0.0, 0.1, 70.0, 1.0, 1.0), hand.stop()
"""


def test_it_says_what_libfranka_says():
    needs.module("pylibfranka", "libfranka")
    recorder = Recorder()
    subprocess.run([sys.executable, "-c", THEIRS], check=True, timeout=30)
    theirs = recorder.messages
    recorder.close()

    recorder = Recorder()
    link = FrankaHandLink(HOST)
    for send in (link.home, lambda: link.move(0.04, 0.05), lambda: link.grasp(0.0, 0.1, 70.0), link.stop):
        number = send()
        deadline = time.monotonic() + 5
        while number not in link.ended():
            assert time.monotonic() < deadline
    link.close()
    ours = recorder.messages
    recorder.close()

    assert sorted(command for command, _, _ in ours) == list(Command)
    for mine, libfrankas in zip(ours, theirs, strict=True):
        assert mine[0] == libfrankas[0]
        port = 2 if mine[0] == Command.CONNECT else len(mine[2])  # each has a port of its own
        assert mine[2][:port] == libfrankas[2][:port] and len(mine[2]) == len(libfrankas[2])


def test_a_hand_of_another_version_is_refused():
    recorder = Recorder(status=1)
    with pytest.raises(RobotError, match="version 3"):
        FrankaHandLink(HOST)
    recorder.close()


def test_no_hand():
    with pytest.raises(RobotError, match="no Franka hand answers"):
        FrankaHand("127.255.255.253")
