"""Real key presses on a virtual display, heard by pynput."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import keyboard as module
from hilserl_envs.teleop.keyboard import Keyboard, KeyboardSettings
from tests import needs
from tests.driven import Driven
from tests.generic_env import GenericEnv

ONE, TWO = GenericEnv().action_layout, GenericEnv(arms=2).action_layout
REPEAT_DELAY = 0.7  # X repeats a key that is held for longer [s]


class Display:
    """An X server of the test's own."""

    def __init__(self):
        number, told = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(told), "-screen", "0", "64x64x24", "-nolisten", "tcp", "-noreset"],
            pass_fds=[told],
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        with os.fdopen(number) as answer:
            self.name = f":{answer.readline().strip()}"

    def end(self) -> None:
        self._server.terminate()
        self._server.wait()


class Keys(Driven):
    """Presses keys as a person does, and reads the device that hears them."""

    def __init__(self):
        self.device: Keyboard | None = None

    def type(self, *xdotool: str) -> None:
        subprocess.run(["xdotool", *xdotool], check=True, timeout=10)

    def open(self, layout=ONE, armed: bool = True, **settings) -> Keyboard:
        self.device = Keyboard(layout, KeyboardSettings(ramp=0, **settings))
        time.sleep(0.1)  # pynput says that it listens a moment before it does
        if armed:
            self.type("key", "F9")
            self.until(lambda command: self.device.armed)
        return self.device

    def settle(self):
        """The command once everything typed has been heard."""
        before = self.device._used
        self.type("key", "F5")  # means nothing
        while self.device._used == before:
            time.sleep(0.005)
        return self.device.read()


@pytest.fixture(scope="module")
def display():
    needs.program("Xvfb", "xvfb")
    needs.program("xdotool", "xdotool")
    needs.module("pynput")
    display = Display()
    yield display.name
    display.end()


@pytest.fixture
def keys(display, monkeypatch):
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    keys = Keys()
    yield keys
    if keys.device is not None:
        keys.device.close()


def test_a_held_key_moves_the_arm_and_its_release_ends_that(keys):
    keys.open()
    keys.type("keydown", "w", "keydown", "Left")
    command = keys.until(lambda command: np.count_nonzero(command.arms["arm"].motion) == 2)
    np.testing.assert_array_equal(command.arms["arm"].motion, [1, 0, 0, -1, 0, 0])
    keys.type("keyup", "w", "keyup", "Left")
    keys.until(lambda command: not command.acting)


def test_letters_mean_the_same_whatever_shift_does(keys):
    keys.open(fine=0.25)
    keys.type("keydown", "w", "keydown", "Shift_L")
    keys.until(lambda command: command.arms["arm"].motion[0] == 0.25)
    keys.type("keyup", "w")  # it goes up as W
    keys.until(lambda command: not command.acting)
    keys.type("keyup", "Shift_L", "keydown", "Shift_R", "keydown", "d")  # it goes down as D
    keys.until(lambda command: command.arms["arm"].motion[1] == -0.25)
    keys.type("keyup", "Shift_R", "keyup", "d")
    keys.until(lambda command: not command.acting)


def test_a_key_that_shift_renames_does_not_stay_down(keys):
    keys.open(bindings={"1": "+x"})
    keys.type("keydown", "1")
    keys.until(lambda command: command.acting)
    keys.type("keydown", "Shift_L", "keyup", "1", "keyup", "Shift_L")  # it goes up as !
    keys.until(lambda command: not command.acting)


def test_a_tap_is_read_once_and_a_repeating_key_is_one_press(keys):
    keys.open()
    keys.type("key", "Return", "key", "p")
    keys.until(lambda command: command.pressed == {"success", "pause"})
    assert not keys.device.read().pressed
    keys.type("keydown", "g")
    grippers = [keys.until(lambda command: command.pressed == {"gripper"}).arms["arm"].gripper]
    time.sleep(REPEAT_DELAY)
    grippers.append(keys.settle().arms["arm"].gripper)
    keys.type("keyup", "g")
    assert grippers == ["toggle", "stay"]


def test_keys_count_only_while_armed(keys, caplog):
    device = keys.open(armed=False)
    keys.type("keydown", "w")
    assert not keys.settle().acting
    keys.type("key", "Return", "key", "F9")
    command = keys.settle()
    assert device.armed and not command.acting and not command.pressed  # w is down from before
    keys.type("keyup", "w", "keydown", "w")
    keys.until(lambda command: command.acting)
    keys.type("keydown", "F9")
    time.sleep(REPEAT_DELAY)  # held for long it is one press still
    keys.type("keyup", "F9", "keyup", "w", "keydown", "w")
    command = keys.settle()
    assert command.connected and not command.acting and not device.armed
    keys.type("keyup", "w")
    start, armed, disarmed = caplog.messages
    assert "disarmed. Press f9" in start and "Press f9" in disarmed
    assert "armed. Keys typed into any window drive the arms until f9" in armed


def test_it_disarms_when_no_key_is_used_for_long(keys):
    device = keys.open(disarm_after=0.4, arm_key="f8", armed=False)
    keys.type("key", "F8")
    keys.until(lambda command: device.armed)
    keys.type("keydown", "w")
    time.sleep(0.6)
    assert keys.until(lambda command: command.acting) and device.armed  # a held key is used
    keys.type("keyup", "w")
    assert keys.settle() and device.armed
    time.sleep(0.6)
    keys.type("keydown", "w")  # nobody has read since
    assert not keys.settle().acting and not device.armed
    keys.type("keyup", "w")


def test_shortcuts_of_other_windows_do_not_count(keys):
    keys.open()
    keys.type("key", "ctrl+c", "key", "alt+Tab", "key", "super+p")
    command = keys.settle()
    assert not command.pressed and not command.acting
    keys.type("key", "c")
    assert keys.until(lambda command: command.acting).arms["arm"].gripper == "close"
    keys.type("keydown", "w")
    keys.until(lambda command: command.arms["arm"].motion.any())
    keys.type("keydown", "ctrl")
    keys.until(lambda command: not command.acting)
    keys.type("keyup", "ctrl", "keyup", "w")


def test_bindings_of_ones_own_come_on_top(keys):
    keys.open(bindings={"i": "+x", "ctrl": "takeover", "w": ""})
    keys.type("keydown", "w", "keydown", "i", "keydown", "ctrl")
    command = keys.until(lambda command: command.held)
    assert command.arms["arm"].motion[0] == 1 and command.held == {"takeover"}
    keys.type("keyup", "i", "keyup", "ctrl")
    assert not keys.settle().acting
    keys.type("keyup", "w")


def test_one_keyboard_drives_two_arms_in_turn(keys):
    keys.open(layout=TWO)
    keys.type("key", "Tab", "keydown", "w")
    command = keys.until(lambda command: command.acting)
    assert list(command.arms) == ["right"]
    keys.type("keyup", "w")


def test_closing_twice_ends_the_threads(keys):
    before = threading.active_count()
    device = keys.open()
    device.close()
    device.close()
    assert threading.active_count() == before
    assert not device.read().connected


def test_a_key_whose_release_was_lost_does_not_drive_on(keys, caplog):
    """Here it is held and does not repeat yet, which looks the same."""
    keys.open(hold_limit=0.3)
    keys.type("keydown", "w")
    keys.until(lambda command: command.acting)
    keys.until(lambda command: not command.acting)
    keys.type("keyup", "w")
    assert "nothing heard of the held keys" in caplog.text


def test_one_of_two_shifts_going_up_leaves_the_other(keys):
    keys.open()
    from pynput.keyboard import Controller, Key  # xdotool lets go of both

    fingers = Controller()
    for key in ("w", Key.shift, Key.shift_r):
        fingers.press(key)
    keys.until(lambda command: command.acting and command.arms["arm"].motion[0] < 1)
    fingers.release(Key.shift_r)
    assert keys.settle().arms["arm"].motion[0] < 1
    fingers.release(Key.shift)
    keys.until(lambda command: command.arms["arm"].motion[0] == 1)
    fingers.release("w")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # pynput's thread
def test_when_the_display_goes_the_arms_get_no_commands(keys, monkeypatch, caplog):
    own = Display()
    monkeypatch.setenv("DISPLAY", own.name)
    keys.open()
    keys.type("keydown", "w")
    keys.until(lambda command: command.acting)
    own.end()
    command = keys.until(lambda command: not command.connected)
    assert not command.arms and not keys.device.read().connected
    assert ["the display is gone" in message for message in caplog.messages].count(True) == 1


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "DISPLAY is not set"),
        ({"DISPLAY": ":9999"}, "cannot use this display"),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "under Wayland no program hears"),
        ({"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "under Wayland no program hears"),
    ],
)
def test_where_no_keys_can_be_heard_the_error_says_why_and_what_instead(environment, reason):
    needs.module("pynput")
    script = """
from hilserl_envs.teleop.keyboard import Keyboard
from tests.generic_env import GenericEnv
Keyboard(GenericEnv().action_layout)
"""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE")
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    message = done.stderr.strip().splitlines()[-1]
    assert "ConfigError" in message and reason in message and "--device browser" in message


def test_without_permission_on_macos_the_error_says_where_to_give_it(keys, monkeypatch):
    from pynput import keyboard

    monkeypatch.setattr(keyboard.Listener, "IS_TRUSTED", False, raising=False)
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="Privacy & Security.*--device browser"):
        keys.open()


def test_without_pynput_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    monkeypatch.setitem(sys.modules, "pynput", None)
    with pytest.raises(ConfigError, match="pynput: pip install.*--device browser"):
        Keyboard(ONE)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bindings": {"w": "+w"}}, "unknown meaning in key bindings"),
        ({"bindings": {"return": "success"}}, "unknown key 'return'"),
        ({"bindings": {"f9": "success"}}, "arm_key 'f9' means 'success' already"),
        ({"bindings": "w"}, "bindings are meanings by key name"),
        ({"arm_key": "f99"}, "unknown key 'f99'"),
        ({"speed": 0}, "speed = 0 is outside"),
        ({"finer": 0.1}, "did you mean 'fine'"),
    ],
)
def test_wrong_settings_are_named(keys, settings, said):
    with pytest.raises(ConfigError, match=said):
        Keyboard(ONE, KeyboardSettings(**settings))
