import doctest

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import Intervention, PersonReward, person_reward
from tests.generic_env import GenericEnv

NOTHING, YES, NO, BOTH = (
    TeleopCommand(pressed=frozenset(roles))
    for roles in ((), ("success",), ("failure",), ("success", "failure"))
)


def limited(steps: int) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(GenericEnv(info=lambda action: {"is_success": True}), steps)


def outcome(env, steps):
    """(reward, terminated, truncated) of every step."""
    env.reset(seed=0)
    return [env.step(np.ones(7))[1:4] for _ in range(steps)]


def test_a_press_ends_the_episode():
    assert outcome(PersonReward(limited(9), FakeDevice([NOTHING, YES])), 2) == [
        (0, False, False),
        (1, True, False),
    ]
    assert outcome(PersonReward(limited(9), FakeDevice([NO])), 1) == [(0, True, False)]


def test_both_at_once_is_no_success():
    assert outcome(PersonReward(limited(9), FakeDevice([BOTH])), 1) == [(0, True, False)]


def test_without_a_word_the_time_limit_truncates():
    assert outcome(PersonReward(limited(2), FakeDevice()), 2) == [(0, False, False), (0, False, True)]


def test_a_word_at_the_last_step_counts():
    assert outcome(PersonReward(limited(1), FakeDevice([YES])), 1) == [(1, True, False)]


def test_grace_holds_the_arm_still_until_the_person_says_so():
    env = limited(2)
    device = FakeDevice([NOTHING] * 4 + [YES])
    wrapped = PersonReward(env, device, grace=0.5)
    assert outcome(wrapped, 5) == [(0, False, False)] * 4 + [(1, True, False)]
    np.testing.assert_array_equal(env.unwrapped.actions, [[1.0] * 7] * 2 + [[0.0] * 7] * 3)


def test_grace_ends_and_says_what_was_executed():
    wrapped = PersonReward(limited(1), FakeDevice(), grace=0.2)
    assert outcome(wrapped, 3) == [(0, False, False), (0, False, False), (0, False, True)]
    wrapped.reset(seed=0)
    first, second = (wrapped.step(np.ones(7))[4] for _ in range(2))
    assert "waiting_for_label" not in first and second["waiting_for_label"]
    assert not second["intervened"] and not second["intervene_action"].any()


def test_the_persons_word_stands_beside_the_tasks():
    env = PersonReward(limited(3), FakeDevice([NOTHING, YES]))
    env.reset(seed=0)
    infos = [env.step(np.zeros(7))[4] for _ in range(2)]
    assert [info["is_success"] for info in infos] == [False, True] and infos[0]["task_success"]


def test_presses_come_from_the_intervention_inside():
    env = PersonReward(Intervention(limited(9), FakeDevice([NOTHING, YES])))
    assert outcome(env, 2) == [(0, False, False), (1, True, False)]
    with pytest.raises(ConfigError, match="outside of Intervention"):
        PersonReward(limited(9))


def test_in_the_grace_period_nobody_moves_the_arm_not_even_the_person():
    push = TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, acting=True)
    env = limited(2)
    wrapped = PersonReward(Intervention(env, FakeDevice([push] * 9)), grace=0.3)
    wrapped.reset(seed=0)
    infos = [wrapped.step(np.ones(7))[4] for _ in range(5)]
    np.testing.assert_array_equal([action[0] for action in env.unwrapped.actions], [1, 1, 0, 0, 0])
    assert [info["intervened"] for info in infos] == [True, True, False, False, False]
    wrapped.reset(seed=0)
    assert wrapped.step(np.ones(7))[4]["intervened"]


def test_stacks_in_which_somebody_else_decides_first_are_refused():
    with pytest.raises(ConfigError, match="ends_on_success=False"):
        PersonReward(hilserl_envs.make_env("PickCube", obs="state"), FakeDevice())
    with pytest.raises(ConfigError, match="put PersonReward outside of it"):
        Intervention(PersonReward(limited(9), FakeDevice()), FakeDevice())
    inner = hilserl_envs.make_env("PickCube", obs="state", ends_on_success=False, overseer={})
    with pytest.raises(ConfigError, match="inside of ScriptedOverseer"):
        PersonReward(inner, FakeDevice())


def test_wrong_actions_and_settings_are_refused():
    env = PersonReward(limited(9), FakeDevice())
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(np.zeros(3))
    with pytest.raises(ConfigError, match="at least 0 s"):
        PersonReward(limited(9), FakeDevice(), grace=-1)


def test_in_the_twin_the_person_decides_alone():
    inner = hilserl_envs.make_env("PickCube", obs="state", ends_on_success=False, max_episode_steps=3)
    env = PersonReward(inner, FakeDevice([NOTHING] * 4 + [YES]), grace=1.0)
    env.reset(seed=0)
    before = None
    for _ in range(5):
        _, reward, terminated, truncated, _ = env.step(np.array([1.0, 0, 0, 0, 0, 0, 0]))
        moved, before = before, env.unwrapped.robot_state.arms["arm"].tcp_vel[:3]
    assert (reward, terminated, truncated) == (1, True, False)
    assert np.linalg.norm(before) < np.linalg.norm(moved) or np.linalg.norm(before) < 1e-3
    env.close()


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(person_reward).failed == 0
