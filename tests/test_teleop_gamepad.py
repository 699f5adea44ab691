"""Pads that SDL makes up, read as real ones are: by pygame, in the process that reads them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.tasks.setup import AXES
from hilserl_envs.teleop import gamepad as module
from hilserl_envs.teleop.gamepad import Gamepad, GamepadSettings
from hilserl_envs.teleop.gamepad_process import AXES as PAD_AXES
from hilserl_envs.teleop.gamepad_process import BUTTONS
from tests import needs
from tests.driven import Driven
from tests.generic_env import GenericEnv
from tests.virtual_gamepad import UNKNOWN

ONE, TWO = GenericEnv().action_layout, GenericEnv(arms=2).action_layout
# GUIDs under Linux: bus, vendor, product, version. Newer Xbox pads need no entry: their kernel
# driver tells SDL which button is which.
PADS = {
    "Xbox 360": "030000005e0400008e02000010010000",
    "Xbox One S, Bluetooth": "050000005e040000e002000003090000",
    "DualShock 4": "030000004c050000cc09000011810000",
    "DualShock 4, Bluetooth": "050000004c050000cc09000000810000",
    "DualSense": "030000004c050000e60c000011810000",
    "DualSense, Bluetooth": "050000004c050000e60c000000810000",
}


class Pads(Driven):
    """A process full of pads, and the device that reads one of them."""

    def __init__(self, pipe: Path, monkeypatch: pytest.MonkeyPatch):
        self._pipe, self._monkeypatch = pipe, monkeypatch
        self.device: Gamepad | None = None
        os.mkfifo(pipe)
        monkeypatch.setattr(module, "PROCESS", Path(__file__).with_name("virtual_gamepad.py"))
        monkeypatch.setenv("VIRTUAL_GAMEPAD", str(pipe))

    def open(self, *pads, layout=ONE, **settings) -> Gamepad:
        self._monkeypatch.setenv("VIRTUAL_PADS", json.dumps(pads or [["Some Pad"]]))
        self.device = Gamepad(layout, GamepadSettings(**settings))
        self.do()
        return self.device

    def do(self, *commands) -> None:
        """Move the newest pad; nothing of it has happened before."""
        with open(self._pipe, "w") as pipe:
            pipe.write("".join(json.dumps(command) + "\n" for command in commands))


@pytest.fixture
def pads(tmp_path, monkeypatch):
    needs.module("pygame")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    pads = Pads(tmp_path / "pipe", monkeypatch)
    yield pads
    if pads.device is not None:
        pads.device.close()


def axis(name: str, level: float) -> list:
    return ["axis", PAD_AXES.index(name), level]


def button(name: str, down: bool = True) -> list:
    return ["button", BUTTONS.index(name), down]


def trigger(name: str, level: float) -> list:
    return ["axis", PAD_AXES.index(name), 2 * level - 1]  # SDL's triggers rest at -1


@pytest.mark.parametrize(
    ("command", "motion"),
    [
        (axis("lefty", -1), "+x"),
        (axis("lefty", 1), "-x"),
        (axis("leftx", -1), "+y"),
        (axis("leftx", 1), "-y"),
        (axis("righty", -1), "+z"),
        (axis("righty", 1), "-z"),
        (trigger("righttrigger", 1), "+rx"),
        (trigger("lefttrigger", 1), "-rx"),
        (button("rightshoulder"), "+ry"),
        (button("leftshoulder"), "-ry"),
        (axis("rightx", -1), "+rz"),
        (axis("rightx", 1), "-rz"),
    ],
)
def test_sticks_triggers_and_shoulders_move_one_axis_each(pads, command, motion):
    pads.open()
    pads.do(command)
    got = pads.until(lambda command: command.acting).arms["arm"].motion
    expected = np.zeros(6)
    expected[AXES.index(motion[1:])] = 1.0 if motion[0] == "+" else -1.0
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_speeds_dead_zone_and_fine(pads):
    pads.open(translation_speed=0.5, rotation_speed=0.25, fine=0.1, dead_zone=0.2)
    pads.do(axis("lefty", -0.6), axis("rightx", -1), axis("leftx", 0.15))
    command = pads.until(lambda command: command.acting and command.arms["arm"].motion[5] > 0.24)
    np.testing.assert_allclose(command.arms["arm"].motion, [0.25, 0, 0, 0, 0, 0.25], atol=2e-3)
    pads.do(button("leftstick"))
    command = pads.until(lambda command: command.arms["arm"].motion[0] < 0.2)
    np.testing.assert_allclose(command.arms["arm"].motion, [0.025, 0, 0, 0, 0, 0.025], atol=2e-3)


def test_buttons_have_roles_and_a_short_press_is_not_lost(pads):
    pads.open()
    pads.do(button("x"))
    assert pads.until(lambda command: command.held).held == {"takeover"}
    pads.do(button("x", False), *[button(name, down) for name in ("y", "start") for down in (True, False)])
    pads.until(lambda command: not command.held and command.pressed == {"success", "pause"})
    assert not pads.device.read().pressed
    pads.do(button("a"), button("a", False))
    assert pads.until(lambda command: command.acting).arms["arm"].gripper == "toggle"


def test_one_pad_drives_two_arms_in_turn(pads):
    pads.open(layout=TWO)
    assert list(pads.device.read().arms) == ["left"]
    pads.do(button("rightstick"))
    pads.until(lambda command: list(command.arms) == ["right"])


def test_an_unplugged_pad_stops_the_arm_and_is_found_again(pads, caplog):
    pads.open(["Some Pad"])
    pads.do(axis("lefty", -1), button("x"))
    pads.until(lambda command: command.acting)
    pads.do(["unplug", 0])
    command = pads.until(lambda command: not command.connected)
    assert not command.arms and not command.held and not command.acting
    pads.do(["plug", "Some Pad"], button("b"))
    command = pads.until(lambda command: command.connected)
    assert not command.acting and command.held == {"failure"} and not command.pressed
    pads.do(axis("lefty", 1))
    assert pads.until(lambda command: command.acting).arms["arm"].motion[0] == -1
    gone, back = caplog.messages
    assert "Some Pad is unplugged" in gone and "back" in back


def test_the_pad_is_chosen_by_its_name(pads):
    pads.open(["First Pad"], ["Second Pad"], pad="second")
    pads.do(axis("lefty", -1))  # the newest pad
    assert pads.until(lambda command: command.acting).arms["arm"].motion[0] == 1


def test_without_a_pad_the_error_says_what_to_do(pads):
    with pytest.raises(
        ConfigError, match="no gamepad called 'Third' was found: plug it in.*--device browser"
    ):
        pads.open(["First Pad"], pad="Third")


def test_a_pad_that_sdl_does_not_know_works_with_its_line_in_a_mapping_file(pads, tmp_path):
    with pytest.raises(ConfigError, match="does not know the buttons of 'Odd Pad'") as error:
        pads.open(["Odd Pad", UNKNOWN])
    guid = str(error.value).partition("(GUID ")[2].partition(")")[0]
    path = tmp_path / "odd.json"
    line = f"{guid},Odd Pad,a:b3,lefty:a5,platform:Linux,"
    path.write_text(json.dumps({"controls": {"a": "success", "lefty": "-z"}, "sdl": [line]}))
    pads.open(["Odd Pad", UNKNOWN], mapping=str(path))
    pads.do(["axis", 5, -1], ["button", 3, True])
    command = pads.until(lambda command: command.acting and command.held)
    assert command.arms["arm"].motion[2] == 1 and command.held == {"success"}


def test_a_process_that_hangs_or_dies_stops_the_arm_and_is_replaced(pads, caplog, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_LIMIT", 0.3)
    pads.open()
    pads.do(axis("lefty", -1))
    pads.until(lambda command: command.acting)
    pads.do(["hang"])
    assert not pads.until(lambda command: not command.connected).acting
    pads.until(lambda command: command.connected)
    monkeypatch.setattr(module, "SILENCE_LIMIT", 60.0)
    os.kill(pads.device._process.pid, signal.SIGKILL)
    pads.until(lambda command: not command.connected)
    pads.until(lambda command: command.connected)
    assert "hangs" in caplog.messages[0] and "ended" in caplog.messages[2]


def test_closing_ends_the_process(pads):
    process = pads.open()._process
    pads.device.close()
    pads.device.close()
    assert process.poll() is not None and not pads.device.read().connected


def test_the_process_ends_with_its_reader(pads):
    """However the reader ended: the pipe breaks."""
    process = pads.open()._process
    pads.device._closing.set()
    pads.device._shut = lambda: None
    pads.device._thread.join()
    process.stdout.close()
    assert process.wait(timeout=5) == 0


def test_the_window_of_a_live_view_is_left_alone(pads):
    """SDL is one to a process: in this one the device does not touch it."""
    before = "pygame" in sys.modules
    pads.open()
    assert ("pygame" in sys.modules) == before and "SDL_VIDEODRIVER" not in os.environ


def test_sdl_knows_the_pads_that_people_have():
    needs.module("pygame")
    script = """
import ctypes, sys
import pygame
from pygame._sdl2 import controller
controller.init()
class Guid(ctypes.Structure):
    _fields_ = [("data", ctypes.c_uint8 * 16)]
sdl = ctypes.CDLL(pygame.base.__file__)
sdl.SDL_JoystickGetGUIDFromString.restype = Guid
sdl.SDL_GameControllerMappingForGUID.argtypes = [Guid]
sdl.SDL_GameControllerMappingForGUID.restype = ctypes.c_char_p
for guid in sys.argv[1:]:
    print(sdl.SDL_GameControllerMappingForGUID(sdl.SDL_JoystickGetGUIDFromString(guid.encode())).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *PADS.values()], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if "," in line]
    assert len(lines) == len(PADS)
    for line in lines:
        for control in (*PAD_AXES, "a", "b", "x", "y", "back", "start", "leftshoulder", "rightshoulder"):
            assert f",{control}:" in line, line


def test_without_pygame_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ConfigError, match="pygame-ce: pip install.*--device browser"):
        Gamepad(ONE)


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match="fine = 2 is outside"):
        GamepadSettings(fine=2)
    with pytest.raises(ConfigError, match="did you mean 'dead_zone'"):
        GamepadSettings(deadzone=0.1)
    with pytest.raises(ConfigError, match="pad is a text"):
        GamepadSettings(pad=1)
