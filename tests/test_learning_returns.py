import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.learning.returns import Returns

REWARDS = st.lists(st.tuples(st.floats(-2, 2, width=32), st.booleans()), min_size=1, max_size=20)


def returns_of(steps):
    rewards, ends = (np.array(column) for column in zip(*steps, strict=True))
    return Returns.of(rewards, np.float32(~ends))


@given(REWARDS, st.floats(0.5, 1.0))
def test_no_episode_of_such_rewards_comes_to_more_or_less(steps, discount):
    low, high = returns_of(steps).bounds(discount)
    total, weight = 0.0, 1.0
    for reward, ended in steps:
        total, weight = total + weight * reward, weight * discount
        if ended:
            break
    assert low - 1e-6 <= total <= high + 1e-6


def test_success_that_ends_the_episode_is_worth_its_reward():
    steps = [(0.0, False)] * 5 + [(1.0, True), (0.0, True)]
    assert returns_of(steps).bounds(0.97) == returns_of(steps).bounds(1.0) == (0.0, 1.0)


def test_a_reward_at_every_step_may_come_without_end():
    assert returns_of([(1.0, False), (0.5, True)]).bounds(0.9) == pytest.approx((0.0, 10.5))
    assert returns_of([(-0.02, False), (1.0, True)]).bounds(1.0) == (-np.inf, 1.0)
    assert returns_of([(-0.02, False), (1.0, True)]).bounds(0.98) == pytest.approx((-1.0, 1.0))


@given(REWARDS, REWARDS)
def test_together_they_allow_what_all_the_rewards_do(some, others):
    assert returns_of(some) | returns_of(others) == returns_of(some + others)


def test_of_nothing():
    assert Returns.of(np.empty(0), np.empty(0)).bounds(0.9) == (0.0, 0.0)
