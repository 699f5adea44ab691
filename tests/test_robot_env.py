"""What gymnasium is told of environments in either world."""

import gymnasium as gym
import pytest

import hilserl_envs  # noqa: F401 - registers the ids
from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.robot import FakeRobot

ID = "hilserl/PickCube-v0"


def real_robot():
    return FakeRobot(cameras={"front": (8, 8), "wrist_1": (8, 8)})


def test_a_real_robot_is_not_repeatable_and_has_no_window():
    env = gym.make(ID, robot=real_robot(), image_size=8)
    assert env.spec.nondeterministic and env.unwrapped.metadata["render_modes"] == ["rgb_array"]
    assert not gym.spec(ID).nondeterministic  # the id itself is as it was
    assert env.spec.kwargs["image_size"] == 8
    with pytest.raises(ConfigError, match="shows the twin"):
        gym.make(ID, robot=real_robot(), image_size=8, render_mode="human")


def test_a_twin_is_repeatable_and_has_a_window():
    env = gym.make(ID)
    assert not env.spec.nondeterministic and "human" in env.unwrapped.metadata["render_modes"]
    env.close()


def test_without_gymnasiums_make_there_is_no_spec():
    assert FrankaEnv("PickCube", robot=real_robot(), image_size=8).spec is None
