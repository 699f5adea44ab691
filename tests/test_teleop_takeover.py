import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import ArmMotion, Takeover, TeleopCommand
from hilserl_envs.teleop.takeover import TakeoverSettings

MOVING = TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, acting=True)
STILL, GONE = TeleopCommand(), TeleopCommand(connected=False)
HELD = TeleopCommand(held=frozenset({"takeover"}))
PRESS = TeleopCommand(held=frozenset({"takeover"}), pressed=frozenset({"takeover"}))
TAP = TeleopCommand(pressed=frozenset({"takeover"}))


def follow(commands, begin_before=None, **settings) -> list[bool]:
    takeover, control = Takeover(TakeoverSettings(**settings)), []
    for number, command in enumerate(commands):
        if number == begin_before:
            takeover.begin()
        control.append(takeover.update(command))
    return control


def test_hold_lasts_as_long_as_the_motion_and_the_delay():
    commands = [STILL, MOVING, MOVING, STILL, STILL, STILL, STILL]
    assert follow(commands, release_delay=0.2) == [False, True, True, True, True, False, False]
    assert follow(commands, release_delay=0.0) == [False, True, True, False, False, False, False]


def test_hold_bridges_pauses():
    assert all(follow([MOVING, STILL, STILL, MOVING, STILL, STILL], release_delay=0.2))


def test_holding_the_button_keeps_control_without_a_motion():
    assert follow([PRESS, HELD, HELD, STILL], release_delay=0.0) == [True, True, True, False]
    assert follow([TAP, STILL], release_delay=0.0) == [True, False]


def test_toggle_ignores_motions():
    commands = [MOVING, PRESS, HELD, STILL, MOVING, TAP, MOVING]
    assert follow(commands, mode="toggle") == [False, True, True, True, True, False, False]


def test_an_episode_starts_with_the_policy_unless_the_person_had_switched():
    assert follow([MOVING, STILL], begin_before=1) == [True, False]
    assert follow([PRESS, STILL], begin_before=1, mode="toggle") == [True, True]


@pytest.mark.parametrize("mode", ["hold", "toggle"])
def test_a_device_lost_in_control_keeps_it_and_one_lost_otherwise_does_not(mode):
    taking = PRESS if mode == "toggle" else MOVING
    assert follow([taking, *[GONE] * 20], mode=mode) == [True] * 21
    assert follow([STILL, GONE, GONE], mode=mode) == [False] * 3
    back = follow([taking, GONE, STILL, STILL, STILL], mode=mode, release_delay=0.1)
    assert back == [True, True, True, mode == "toggle", mode == "toggle"]


def test_a_new_episode_changes_nothing_while_the_device_is_gone():
    assert follow([MOVING, GONE, GONE, STILL], begin_before=2, release_delay=0.0) == [True, True, True, False]


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="unknown takeover mode 'push'"):
        TakeoverSettings(mode="push")
    with pytest.raises(ConfigError, match=r"outside \[0, 10\]"):
        TakeoverSettings(release_delay=-1.0)
