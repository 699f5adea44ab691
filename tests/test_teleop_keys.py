"""Held keys as motion: it grows, stops at once, and never leaves [-1, 1]."""

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.tasks.setup import AXES
from hilserl_envs.teleop.keys import BINDINGS, MOTIONS, START, KeyMotion


def test_a_held_key_speeds_up_and_stops_at_once():
    keys = KeyMotion(ramp=0.4)
    levels = [keys.hand({"w"}, set(), 0.1 * i).motion[0] for i in range(8)]
    assert levels[0] == START and levels[-1] == 1.0
    assert all(a <= b for a, b in zip(levels, levels[1:], strict=False))
    assert not keys.hand(set(), set(), 0.8).motion.any()
    assert keys.hand({"w"}, set(), 0.9).motion[0] == START


def test_every_axis_has_a_key_for_each_direction():
    keys = KeyMotion(ramp=0.0)
    for motion in MOTIONS:
        (key,) = (key for key, meaning in BINDINGS.items() if meaning == motion)
        expected = np.zeros(6)
        expected[AXES.index(motion[1:])] = 1.0 if motion[0] == "+" else -1.0
        np.testing.assert_array_equal(keys.hand({key}, set(), 0.0).motion, expected)


def test_opposite_keys_cancel_and_fine_slows_down():
    keys = KeyMotion(ramp=0.0, speed=0.5, fine=0.2)
    assert not keys.hand({"w", "s"}, set(), 0.0).motion.any()
    assert keys.hand({"w", "shift"}, set(), 0.0).motion[0] == pytest.approx(0.1)


def test_a_tap_between_two_reads_is_a_nudge_and_its_role_is_pressed():
    hand = KeyMotion().hand(set(), {"a", "enter"}, 5.0)
    assert hand.motion[1] == START
    assert hand.pressed == {"success"} and not hand.held


def test_unknown_meanings_are_refused():
    with pytest.raises(ConfigError, match="unknown meaning in key bindings 'fire'"):
        KeyMotion({"w": "fire"})
