import doctest

import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import FlattenProprioception, GripperPenalty, Intervention, gripper_penalty
from tests.generic_env import GenericEnv


def with_openings(*openings: float) -> GenericEnv:
    """Arms whose grippers are measured at these openings, always."""
    env = GenericEnv(len(openings))

    def state():
        measured = env._random_state()
        for arm, opening in zip(env.action_layout, openings, strict=True):
            measured[f"{arm.prefix}gripper_pose"] = np.array([opening], np.float32)
        return measured

    env._state = state
    return env


def penalties(env, commands) -> list[float]:
    """What a row of gripper commands (one an arm, each step) costs."""
    env.reset(seed=0)
    costs = []
    for command in commands:
        action = np.zeros(env.action_space.shape)
        action[6::7] = command
        costs.append(env.step(action)[4]["grasp_penalty"])
    return costs


@pytest.mark.parametrize("opening", [1.0, 0.9])
def test_of_an_open_gripper_only_closing_costs(opening):
    env = GripperPenalty(with_openings(opening), 0.1)
    assert penalties(env, [1, 0.6, 0, -0.4, -1, -0.6, 0, 0.2, 1, 1]) == [0] * 4 + [-0.1] + [0] * 3 + [-0.1, 0]


@pytest.mark.parametrize("opening", [0.0, 0.5, 0.8])
def test_of_one_that_holds_something_from_the_start_only_opening_costs(opening):
    env = GripperPenalty(with_openings(opening), 0.1)
    assert penalties(env, [-1, -1, 0, 1, 1]) == [0, 0, 0, -0.1, 0]


def test_a_gripper_that_never_gets_where_it_was_told_to_is_judged_by_what_it_was_told():
    env = GripperPenalty(with_openings(0.95), 0.1)
    assert penalties(env, [-1, -1, 1, 1, -1]) == [-0.1, 0, -0.1, 0, -0.1]


def test_two_arms_each_pay_for_their_own():
    env = GripperPenalty(with_openings(1.0, 0.2), 0.1)
    assert penalties(env, [(-1, -1), (0, 1), (1, -1)]) == pytest.approx([-0.1, -0.1, -0.2])


def test_a_reset_looks_again():
    env = GripperPenalty(with_openings(1.0), 0.1)
    assert penalties(env, [-1]) == penalties(env, [-1]) == [-0.1]


@pytest.mark.parametrize(("into", "reward"), [("info", 0.0), ("reward", -0.02)])
def test_where_the_penalty_goes(into, reward):
    env = GripperPenalty(with_openings(1.0), into=into)
    env.reset(seed=0)
    step = env.step(np.array([0, 0, 0, 0, 0, 0, -1.0]))
    assert step[1] == reward and step[4]["grasp_penalty"] == -0.02


def test_the_person_pays_for_what_they_do_and_not_for_what_the_policy_wanted():
    closing = TeleopCommand({"arm": ArmMotion(gripper="close")}, acting=True)
    env = GripperPenalty(Intervention(with_openings(1.0), FakeDevice([closing, closing])))
    assert penalties(env, [1, 1]) == [-0.02, 0]


def test_a_flattened_state_is_read_by_key_too():
    env = GripperPenalty(FlattenProprioception(with_openings(0.1)))
    assert penalties(env, [-1, 1]) == [0, -0.02]


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="no arm of this environment has a gripper"):
        GripperPenalty(GenericEnv(gripper=False))
    with pytest.raises(ConfigError, match="at least 0"):
        GripperPenalty(GenericEnv(), -0.02)
    with pytest.raises(ConfigError, match="unknown place"):
        GripperPenalty(GenericEnv(), into="action")
    with pytest.raises(ConfigError, match="gripper_pose"):
        GripperPenalty(FlattenProprioception(GenericEnv(), ["tcp_pose"]))


def test_in_the_twin_an_expert_pays_once_to_grasp():
    env = hilserl_envs.make_env("PickCube", obs="state", device="expert", gripper_penalty=0.05)
    env.reset(seed=0)
    costs, over = [], False
    while not over:
        *_, terminated, truncated, info = env.step(np.zeros(7))
        costs.append(info["grasp_penalty"])
        over = terminated or truncated
    assert info["is_success"] and sum(costs) == -0.05
    env.close()


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(gripper_penalty).failed == 0
