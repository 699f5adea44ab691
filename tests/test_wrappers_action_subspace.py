import doctest

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.wrappers import ActionSubspace, FixedGripper, RelativeFrame, action_subspace
from tests.generic_env import GenericEnv


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("gripper", [True, False])
def test_the_other_axes_keep_still(arms, gripper):
    base = GenericEnv(arms, gripper)
    env = ActionSubspace(base, ["rz", "x"])
    env.reset(seed=0)
    size = 3 if gripper else 2
    assert env.action_space.shape == (arms * size,)
    action = np.linspace(0.1, 0.9, arms * size)
    env.step(action)
    for arm in range(arms):
        inner = np.zeros(6 + gripper)
        inner[[0, 5, *[6] * gripper]] = action[arm * size : (arm + 1) * size]  # the order of the axes
        np.testing.assert_array_equal(base.actions[-1].reshape(arms, -1)[arm], inner)
    np.testing.assert_array_equal(env.reverse_action(base.actions[-1]), action)


def test_each_arm_may_have_its_own_axes():
    base = GenericEnv(2)
    env = FixedGripper(ActionSubspace(base, {"left": ["z"]}), "open")
    env.reset(seed=0)
    assert [arm.axes for arm in env.action_layout] == [("z",), ("x", "y", "z", "rx", "ry", "rz")]
    env.step(np.array([0.5, 1, 2, 3, 4, 5, 6]) / 10)
    np.testing.assert_allclose(base.actions[-1], [0, 0, 0.05, 0, 0, 0, 1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1])


def test_a_second_subspace_takes_from_the_first():
    env = ActionSubspace(ActionSubspace(GenericEnv(), ["x", "y"]), ["y"])
    assert env.action_layout[0].axes == ("y",)
    with pytest.raises(ConfigError, match="unknown axis 'z'"):
        ActionSubspace(ActionSubspace(GenericEnv(), ["x", "y"]), ["z"])


def test_wrong_axes_are_refused():
    for axes, message in (
        (["yaw"], "unknown axis"),
        ("xyz", "a list of names"),
        (5, "a list of names"),
        (["x", "x"], "must differ"),
        ({"third": ["x"]}, "unknown arm"),
    ):
        with pytest.raises(ConfigError, match=message):
            ActionSubspace(GenericEnv(), axes)
    with pytest.raises(ConfigError, match="no axis is left"):
        ActionSubspace(GenericEnv(gripper=False), [])
    with pytest.raises(ConfigError, match="inside of ActionSubspace"):
        RelativeFrame(ActionSubspace(GenericEnv(), ["x"]))


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(action_subspace).failed == 0
