"""The real pyspacemouse and hidapi, on mice that umockdev makes up."""

import sys

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.tasks.setup import AXES
from hilserl_envs.teleop.polled import RETRY
from hilserl_envs.teleop.spacemouse import SpaceMouse, SpaceMouseSettings
from tests import needs
from tests.generic_env import GenericEnv
from tests.spacemouse_files import Among

SOON, BACK = 0.05, RETRY + 0.3  # [s]
# Numbers in spacemouse_files.MICE.
LEFT, RIGHT, SPARE = 2, 1, 0  # by their ports 1-7, 1-8, 1-9
NO_BUTTONS, INTERFACE, PRO = 3, 4, 5


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    needs.program("umockdev-run", "umockdev libhidapi-hidraw0")
    needs.shared_library("hidapi-hidraw", "umockdev libhidapi-hidraw0")
    needs.module("pyspacemouse")
    program = Among(tmp_path_factory.mktemp("umockdev"))
    yield program
    program.end()


@pytest.fixture
def mice(program):
    yield program
    program.clear()


def motion(command: dict, arm: str = "arm") -> np.ndarray:
    return np.array(command["arms"][arm][0])


# What the devices report is right-handed about x to the right, y towards the person, z down.
@pytest.mark.parametrize(
    ("axis", "sign", "expected"),
    [
        (1, -1, "+x"),  # pushed away from the person
        (0, -1, "+y"),  # to the left
        (2, -1, "+z"),  # lifted
        (4, -1, "+rx"),  # tilted to the right: a negative turn about the axis towards the person
        (3, -1, "+ry"),  # tilted away: a negative turn about the axis to the right
        (5, -1, "+rz"),  # turned to the left: a negative turn about the axis down
    ],
)
@pytest.mark.parametrize("mouse", [LEFT, PRO], ids=["two reports", "one report"])
def test_each_axis_and_sign(mice, mouse, axis, sign, expected):
    mice.plug(mouse)
    assert mice.open() is None
    for turned in (1, -1):
        raw = [0] * 6
        raw[axis] = turned * sign * 350
        if mouse == PRO:
            mice.report(mouse, 1, *raw)
        else:
            mice.report(mouse, 1, *raw[:3])
            mice.report(mouse, 2, *raw[3:])
        wanted = np.zeros(6)
        wanted[AXES.index(expected[1:])] = turned
        np.testing.assert_allclose(motion(mice.read(SOON)), wanted, atol=1e-9)


def test_speeds_and_dead_zones(mice):
    mice.plug(LEFT)
    mice.open(translation_speed=0.5, rotation_speed=0.25, translation_dead_zone=0.2, rotation_dead_zone=0.5)
    mice.report(LEFT, 1, 69, -210, -1000)
    mice.report(LEFT, 2, -262, 0, -174)
    got = motion(mice.read(SOON))
    np.testing.assert_allclose(got, [0.25, 0, 0.5, 0, 0.25 * (262 / 350 - 0.5) / 0.5, 0], atol=1e-9)


def test_the_newest_report_counts_and_a_short_press_is_not_lost(mice):
    mice.plug(LEFT)
    mice.open()
    for level in (-350, -70, -175):
        mice.report(LEFT, 1, 0, level, 0)
    mice.report(LEFT, 3, 0b10)
    mice.report(LEFT, 3, 0)
    command = mice.read(SOON)
    assert motion(command)[0] == pytest.approx((0.5 - 0.1) / 0.9)
    assert command["pressed"] == ["open"] and command["held"] == []
    assert command["arms"]["arm"][1] == "open"
    assert mice.read()["pressed"] == []
    mice.report(LEFT, 3, 0b01)
    assert mice.read(SOON)["held"] == ["close"] and mice.read()["held"] == ["close"]


def test_fifteen_buttons_and_roles_of_ones_own(mice):
    mice.plug(PRO)
    assert mice.open(buttons=["pause"] + [""] * 13 + ["success"]) is None
    mice.report(PRO, 3, 0b11)  # MENU, the first, and FIT, the last
    assert mice.read(SOON)["held"] == ["pause", "success"]


def test_no_buttons_at_all(mice):
    mice.plug(NO_BUTTONS)
    assert mice.open() is None
    mice.report(NO_BUTTONS, 1, 0, -350, 0)
    assert mice.read(SOON)["acting"]


def test_a_mouse_that_falls_silent_is_at_rest(mice):
    mice.plug(PRO)
    mice.open(silence=0.3)
    mice.report(PRO, 1, 0, -350, 0, 0, 0, 0)
    assert mice.read(SOON)["acting"]
    assert not mice.read(0.4)["acting"]


def test_unplugged_it_stops_the_arm_and_plugged_in_again_it_goes_on(mice):
    mice.plug(SPARE)
    mice.open()
    mice.report(SPARE, 1, 0, -350, 0)
    mice.report(SPARE, 3, 1)
    assert mice.read(SOON)["acting"]
    mice.unplug(SPARE)
    lost = mice.read(SOON)
    assert not lost["connected"] and not lost["acting"]
    assert lost["arms"] == {} and lost["held"] == lost["pressed"] == []
    (notice,) = lost["said"]
    assert "USB port 1-9" in notice and "is unplugged" in notice
    assert mice.read(BACK)["said"] == []  # said once, while it is looked for
    mice.plug(RIGHT)  # another port, another file
    back = mice.read(BACK)
    assert back["connected"] and not back["acting"]
    assert len(back["said"]) == 1 and "back" in back["said"][0]
    mice.report(RIGHT, 1, 0, 350, 0)
    assert motion(mice.read(SOON))[0] == -1


def test_two_mice_drive_two_arms_in_the_order_of_their_ports(mice):
    for mouse in (RIGHT, LEFT):
        mice.plug(mouse)
    assert mice.open(arms=2) is None
    mice.report(LEFT, 1, 0, -350, 0)
    mice.report(RIGHT, 1, 0, 350, 0)
    mice.report(RIGHT, 3, 0b01)
    command = mice.read(SOON)
    assert (motion(command, "left")[0], motion(command, "right")[0]) == (1, -1)
    assert [command["arms"][arm][1] for arm in ("left", "right")] == ["stay", "close"]
    (notice,) = command["said"]
    assert "left is the SpaceMouseCompact at USB port 1-7" in notice


def test_losing_one_of_two_stops_both_and_hands_stay_the_same(mice):
    mice.plug(LEFT)
    mice.plug(RIGHT)
    mice.open(arms=2)
    mice.unplug(LEFT)
    assert not mice.read(SOON)["connected"]
    mice.plug(SPARE)  # the left hand's mouse, at a port behind the other one's
    assert mice.read(BACK)["connected"]
    mice.report(SPARE, 1, 0, -350, 0)
    command = mice.read(SOON)
    assert (motion(command, "left")[0], motion(command, "right")[0]) == (1, 0)


@pytest.mark.parametrize("names", [("1-8", "1-7"), ("/dev/hidraw1", "/dev/hidraw2"), ("SN1", "SN2")])
def test_settings_say_which_is_which(mice, names):
    for mouse in (LEFT, RIGHT, SPARE):
        mice.plug(mouse)
    assert mice.open(arms=2, devices=names) is None
    mice.report(RIGHT, 1, 0, -350, 0)
    assert motion(mice.read(SOON), "left")[0] == 1


def test_one_mouse_drives_two_arms_in_turn(mice):
    mice.plug(LEFT)
    assert "none of its 2 buttons is 'switch_arm'" in mice.open(arms=2)
    assert mice.open(arms=2, buttons=["gripper", "switch_arm"]) is None
    assert list(mice.read()["arms"]) == ["left"]
    mice.report(LEFT, 3, 0b10)
    assert list(mice.read(SOON)["arms"]) == ["right"]


def test_too_few_mice_say_what_is_there_and_what_to_check(mice):
    error = mice.open()
    assert error.startswith("ConfigError: too few SpaceMice, 1 needed; plugged in: none")
    for advice in ("lsusb", "/etc/udev/rules.d", 'MODE="0666"', "--device browser"):
        assert advice in error
    mice.plug(LEFT)
    assert "2 needed; plugged in: SpaceMouseCompact at USB port 1-7" in mice.open(arms=2, mice=2)
    assert "called SN9; plugged in: SpaceMouseCompact" in mice.open(devices=["SN9"])
    assert "the same SpaceMouse twice" in mice.open(arms=2, devices=["1-7", "SN2"])
    assert "this task has one" in mice.open(mice=2)


def test_without_permission_the_error_has_the_rule(mice):
    mice.forbid(LEFT)
    error = mice.open()
    assert "cannot be opened, most often for lack of permission" in error and "rules.d" in error


def test_other_interfaces_of_a_receiver_are_no_spacemice(mice):
    mice.plug(INTERFACE)
    assert "plugged in: none" in mice.open()


def test_closing_twice_ends_the_thread(mice):
    mice.plug(LEFT)
    mice.open()
    assert mice.close() == []
    assert mice.open() is None  # it was released


def test_without_hidapi_the_error_names_the_package(mice, tmp_path):
    apart = Among(tmp_path)
    apart.lose_hidapi()
    error = apart.open()
    apart.end()
    assert "apt-get install libhidapi-hidraw0" in error and "--device browser" in error


def test_without_pyspacemouse_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspacemouse", None)
    monkeypatch.setitem(sys.modules, "easyhid", None)
    with pytest.raises(ConfigError, match="pip install .*teleop.*--device browser"):
        SpaceMouse(GenericEnv().action_layout)


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match="silence = 0 is outside"):
        SpaceMouseSettings(silence=0)
    with pytest.raises(ConfigError, match="devices is a list of names, got '1-7'"):
        SpaceMouseSettings(devices="1-7")
    with pytest.raises(ConfigError, match="one mouse or two"):
        SpaceMouseSettings(mice=1.5)
    with pytest.raises(ConfigError, match="1 mice, but devices"):
        SpaceMouseSettings(mice=1, devices=["a", "b"])
