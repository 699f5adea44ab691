import doctest

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import FakeDevice, TeleopCommand
from hilserl_envs.wrappers import FrameLabels, Intervention, frame_labels
from tests.generic_env import GenericEnv


def test_a_held_button_labels_the_frame():
    roles = [(), ("success",), ("failure",), ("success", "failure"), ("success", "takeover")]
    device = FakeDevice([TeleopCommand(held=frozenset(held)) for held in roles])
    env = FrameLabels(Intervention(GenericEnv(), device))
    env.reset(seed=0)
    assert [env.step(np.zeros(7))[4]["label"] for _ in roles] == [0, 1, -1, 0, 1]
    assert env.counts == {"success": 2, "failure": 1}
    env.reset()
    assert env.counts == {"success": 0, "failure": 0}


def test_an_episode_ends_after_so_many_frames_of_success():
    held = 2 * ["success", "failure", "success"]
    device = FakeDevice([TeleopCommand(held=frozenset({role})) for role in held])
    env = FrameLabels(Intervention(GenericEnv(), device), successes_per_episode=2)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(np.zeros(7))[3] for _ in range(3)] == [False, False, True]
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        FrameLabels(Intervention(GenericEnv(), device), successes_per_episode=0)


def test_without_a_device_there_is_nobody_to_ask():
    with pytest.raises(ConfigError, match="outside of one"):
        FrameLabels(GenericEnv())


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(frame_labels).failed == 0
