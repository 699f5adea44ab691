"""A device read from a thread: newest state, no press lost, nothing left standing when it is gone."""

import logging
import threading
import time

import numpy as np
import pytest

from hilserl_envs.errors import DeviceError
from hilserl_envs.teleop import polled
from hilserl_envs.teleop.hands import Hand
from hilserl_envs.teleop.polled import PolledDevice
from tests.generic_env import GenericEnv

LAYOUT = GenericEnv().action_layout
X = np.eye(6)[0]


class Scripted(PolledDevice):
    """Says what the test puts into `say`: hands, an error to raise, or something to call."""

    def __init__(self, say):
        super().__init__(LAYOUT)
        self.say, self.looks, self.shut = say, 0, 0
        self._start()

    def _look(self):
        self.looks += 1
        if isinstance(self.say, Exception):
            raise self.say
        return self.say() if callable(self.say) else self.say

    def _shut(self):
        self.shut += 1

    def look(self, times=2):
        """Wait until the thread has looked again."""
        looks = self.looks + times
        while self.looks < looks:
            time.sleep(0.002)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(polled, "RETRY", 0.02)


def test_the_newest_is_read_and_closing_ends_the_thread():
    device = Scripted([Hand(X)])
    np.testing.assert_array_equal(device.read().arms["arm"].motion, X)
    device.say = [Hand(-X)]
    device.look()
    np.testing.assert_array_equal(device.read().arms["arm"].motion, -X)
    device.close()
    device.close()
    assert device.shut == 1 and "Scripted" not in [thread.name for thread in threading.enumerate()]
    assert not device.read().connected


def test_a_press_between_two_reads_is_read_once():
    device = Scripted([Hand()])
    looks = iter([[Hand(pressed=frozenset({"success"}))], [Hand(pressed=frozenset({"pause"}))]])
    device.say = lambda: next(looks, [Hand()])
    device.look(4)
    assert device.read().pressed == {"success", "pause"}
    assert device.read().pressed == set()
    device.close()


def test_a_lost_device_gives_nothing_says_so_once_and_comes_back(caplog):
    device = Scripted([Hand(X, held=frozenset({"takeover"}), pressed=frozenset({"takeover"}))])
    device.say = DeviceError("the cable is out")
    device.look(3)
    command = device.read()
    assert not command.connected and not command.acting
    assert not command.arms and not command.held and not command.pressed
    device.say = [Hand(-X)]
    device.look()
    assert device.read().connected and device.read().arms["arm"].motion[0] == -1
    device.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    gone, back = caplog.messages
    assert "the cable is out" in gone and "no commands" in gone and "back" in back


def test_an_error_nobody_foresaw_stops_the_arms_and_starts_anew(caplog):
    device = Scripted([Hand(X)])
    device.say = ZeroDivisionError("oops")
    device.look()
    assert not device.read().connected and device.shut >= 1
    assert caplog.records[0].exc_info is not None
    device.say = [Hand(X)]
    device.look()
    assert device.read().connected
    device.close()


def test_what_a_hanging_device_said_last_does_not_stand(monkeypatch):
    monkeypatch.setattr(polled, "STALE", 0.05)
    device, go_on = Scripted([Hand(X)]), threading.Event()
    device.say = lambda: go_on.wait() and [Hand(X)]
    time.sleep(0.1)
    assert not device.read().connected
    go_on.set()
    device.look()
    assert device.read().connected
    device.close()


def test_the_constructor_raises_what_the_first_look_raised():
    with pytest.raises(DeviceError, match="nothing is plugged in"):
        Scripted(DeviceError("nothing is plugged in"))
