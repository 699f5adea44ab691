"""A Robotiq's registers, on the examples of its manual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_servers.grippers.robotiq_registers import (
    decode,
    encode_activate,
    encode_go_to,
    encode_reset,
    speed_to_register,
)


def test_the_manuals_example_of_fingers_that_opened():
    status = decode([0xF900, 0x0000, 0x0D00])
    assert status.active and not status.moving and status.held is None
    assert (status.fault, status.position) == (0, 13)


def test_the_manuals_example_of_fingers_that_hold_something():
    status = decode([0xB900, 0x00FF, 0xBD00])
    assert status.active and not status.moving and status.held == "closing" and status.position == 189


@pytest.mark.parametrize(
    "register, expected",
    [
        (0x0000, {"active": False, "activating": False, "reset": True}),
        (0x1100, {"active": False, "activating": True, "reset": False}),
        (0x3100, {"active": True, "moving": False, "held": None}),  # not sent anywhere yet
        (0x3900, {"active": True, "moving": True, "held": None}),
        (0x7900, {"active": True, "moving": False, "held": "opening"}),
        (0x0100, {"active": False, "activating": False, "reset": False}),  # in fault
    ],
)
def test_status(register, expected):
    status = decode([register, 0x0E00, 0])
    assert status.fault == 0x0E
    assert {name: getattr(status, name) for name in expected} == expected


def test_the_controllers_own_faults_are_another_half_of_the_byte():
    assert decode([0x3100, 0xF000, 0]).fault == 0


def test_commands_are_the_manuals():
    assert encode_activate() == [0x0100, 0x0000, 0x0000]
    assert encode_go_to(255, 255, 255) == [0x0900, 0x00FF, 0xFFFF]
    assert encode_reset() == [0, 0, 0]


@given(st.floats(0, 1), st.floats(0, 1))
def test_faster_is_never_slower(one, other):
    slow, fast = sorted((one, other))
    assert 0 <= speed_to_register(slow) <= speed_to_register(fast) <= 255
