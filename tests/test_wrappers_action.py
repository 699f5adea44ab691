"""Actions go in through a stack of wrappers and come back out of it unchanged."""

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction

from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.poses import saturate
from hilserl_envs.wrappers import (
    FixedGripper,
    FlattenProprioception,
    RelativeFrame,
    RotationRepresentation,
    outer_action,
)
from tests.generic_env import GenericEnv

ORDERS = [
    stack
    for stack in itertools.permutations(
        [FixedGripper, RelativeFrame, RotationRepresentation, FlattenProprioception]
    )
    if stack.index(RelativeFrame) < stack.index(RotationRepresentation) < stack.index(FlattenProprioception)
]


def in_unit_balls(rng, arms, size):
    """An action whose motions are no longer than 1: what `FrankaEnv` executes as given."""
    action = rng.uniform(-1, 1, arms * size)
    for arm in range(arms):
        for half in (arm * size, arm * size + 3):
            action[half : half + 3] = saturate(action[half : half + 3], 1.0)
    return action


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(wrapper.__name__ for wrapper in order))
def test_a_correction_replayed_through_any_stack_reaches_the_arm_the_same(arms, order):
    rng = np.random.default_rng(0)
    for _ in range(20):
        inner = in_unit_balls(rng, arms, 7)
        inner[6::7] = -1.0  # FixedGripper would command the same
        base = GenericEnv(arms, info=lambda action, inner=inner: {"intervene_action": inner})
        env = base
        for wrapper in order:
            env = wrapper(env)
        env.reset(seed=int(rng.integers(1000)))
        expected = outer_action(env, inner)
        replayed = expected.copy()
        _, _, _, _, info = env.step(replayed)
        np.testing.assert_allclose(base.actions[-1], inner, atol=1e-6)
        np.testing.assert_allclose(info["intervene_action"], expected, atol=1e-6)
        assert env.action_space.contains(info["intervene_action"])
        assert env.action_space.shape == expected.shape
        assert np.abs(expected).max() <= 1 + 1e-9


def test_the_frame_of_a_correction_is_the_one_it_was_executed_in():
    """The pose after the step must not turn the action that led there."""
    correction = np.array([1.0, 0, 0, 0, 0, 1.0, 0.0])
    env = RelativeFrame(GenericEnv(info=lambda action: {"intervene_action": correction}))
    env.reset(seed=1)
    before = env.reverse_action(correction)
    _, _, _, _, info = env.step(np.zeros(7))
    np.testing.assert_allclose(info["intervene_action"], before, atol=1e-6)
    assert not np.allclose(env.reverse_action(correction), before)


def test_wrappers_that_cannot_be_undone_are_named():
    env = RescaleAction(GenericEnv(), np.float32(-2), np.float32(2))
    with pytest.raises(ConfigError, match="RescaleAction cannot be undone"):
        outer_action(env, np.zeros(7))


def test_environments_without_a_layout_are_refused():
    with pytest.raises(ConfigError, match="action_layout"):
        RelativeFrame(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    "wrong", [np.zeros(7), np.zeros(1), np.zeros((1, 6)), np.full(6, np.nan), None, "up"]
)
def test_wrong_actions_reach_no_arm(wrong):
    base = GenericEnv()
    env = RelativeFrame(FixedGripper(base))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(6))
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(wrong)
    assert base.actions == []
