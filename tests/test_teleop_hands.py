import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop.hands import Hand, Hands, button_roles, check_roles, without_dead_zone
from tests.generic_env import GenericEnv

ONE, TWO, BARE = (GenericEnv(*of).action_layout for of in ((1,), (2,), (1, False)))
X = np.eye(6)[0]


def press(*roles: str) -> Hand:
    return Hand(pressed=frozenset(roles))


def test_a_hand_drives_the_arm():
    command = Hands(ONE).command([Hand(X)])
    np.testing.assert_array_equal(command.arms["arm"].motion, X)
    assert command.acting and not Hands(ONE).command([Hand()]).acting


def test_two_hands_drive_two_arms():
    command = Hands(TWO).command([Hand(X), Hand(-X, held=frozenset({"close"}))])
    np.testing.assert_array_equal(command.arms["left"].motion, X)
    np.testing.assert_array_equal(command.arms["right"].motion, -X)
    assert (command.arms["left"].gripper, command.arms["right"].gripper) == ("stay", "close")


def test_one_hand_switches_between_arms():
    hands = Hands(TWO)
    assert list(hands.command([Hand(X)]).arms) == ["left"]
    assert list(hands.command([Hand(X, pressed=frozenset({"switch_arm"}))]).arms) == ["right"]
    assert list(hands.command([Hand(X)]).arms) == ["right"] and hands.selected == "right"
    assert list(hands.command([press("switch_arm")]).arms) == ["left"]


def test_what_the_gripper_button_does_is_decided_where_the_gripper_is_known():
    command = Hands(ONE).command([press("gripper")])
    assert command.arms["arm"].gripper == "toggle" and command.acting
    assert Hands(ONE).command([press("gripper", "open")]).arms["arm"].gripper == "open"


def test_with_both_gripper_buttons_down_it_squeezes():
    assert Hands(ONE).command([Hand(held=frozenset({"open", "close"}))]).arms["arm"].gripper == "close"


def test_who_presses_the_gripper_button_of_an_arm_without_one_does_not_act():
    for role in ("gripper", "close", "open"):
        assert not Hands(BARE).command([press(role)]).acting


def test_a_device_that_says_nonsense_moves_nothing():
    assert not Hands(ONE).command([Hand(np.array([np.nan, 1, 1, 1, 1, 1]))]).acting
    motion = Hands(ONE).command([Hand(np.full(6, 7.0))]).arms["arm"].motion
    np.testing.assert_array_equal(motion, np.ones(6))


def test_roles_reach_the_command():
    command = Hands(ONE).command([Hand(held=frozenset({"pause"}), pressed=frozenset({"success"}))])
    assert command.held == {"pause"} and command.pressed == {"success"} and not command.acting


def test_buttons_without_a_gripper_mean_something_else():
    assert button_roles(ONE)[:2] == ("close", "open")
    assert button_roles(BARE)[:2] == ("success", "failure")
    assert button_roles(ONE, ["", "pause"]) == ("", "pause")
    with pytest.raises(ConfigError, match="did you mean 'success'"):
        button_roles(ONE, ["succes"])
    with pytest.raises(ConfigError, match="a mapping"):
        check_roles(["w"], ["+x"], "keys")


def test_the_dead_zone_leaves_the_whole_range():
    values = [without_dead_zone(v, 0.2) for v in (-1.0, -0.6, -0.2, 0.0, 0.1, 0.6, 1.0)]
    np.testing.assert_allclose(values, [-1, -0.5, 0, 0, 0, 0.5, 1], atol=1e-12)
