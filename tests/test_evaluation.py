import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation import Episode, describe, run_episodes, summarize, wilson_interval
from hilserl_envs.policies import ExpertPolicy, RandomPolicy


@given(st.integers(1, 500), st.data())
def test_the_interval_is_wilsons(trials, data):
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, trials), [expected.low, expected.high], atol=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ConfigError, match="0 <= successes <= trials"):
        wilson_interval(successes, trials)


def test_cycle_time_is_that_of_successes_only():
    episodes = [Episode(0, True, 20, 2.0, 5.0, 1.0), Episode(1, False, 100, 10.0, 11.0, 0.0)]
    summary = summarize(episodes)
    assert summary["mean_cycle_time_s"] == 2.0
    assert summary["mean_steps"] == 60
    assert summary["max_peak_force_n"] == 11.0
    assert "1/2 = 50.0%" in describe(summary)


def test_no_success_has_no_cycle_time_and_no_episode_no_summary():
    assert summarize([Episode(0, False, 1, 0.1, 0.0, 0.0)])["mean_cycle_time_s"] is None
    with pytest.raises(ConfigError, match="no episodes"):
        summarize([])


def test_episodes_are_seeded_and_watched():
    env = hilserl_envs.make_env("PickCube", obs="state", max_episode_steps=5)
    seen = []
    runs = [list(run_episodes(env, RandomPolicy(env), [3, 4], seen.append)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert [episode.steps for episode in runs[0]] == [5, 5]
    assert len(seen) == 2 * 2 * 6
    np.testing.assert_allclose(runs[0][0].seconds, 0.5)


@pytest.mark.parametrize("task", ["PickCube", "RamInsertion"])
def test_the_expert_solves_at_least_95_of_100_in_the_standard_stack(task):
    env = hilserl_envs.make_env(task, obs="state")
    summary = summarize(list(run_episodes(env, ExpertPolicy(env), range(100))))
    assert summary["successes"] >= 95, describe(summary)


@pytest.mark.parametrize("task", ["PickCube", "RamInsertion"])
def test_chance_solves_nothing(task):
    env = hilserl_envs.make_env(task, obs="state")
    summary = summarize(list(run_episodes(env, RandomPolicy(env), range(20))))
    assert summary["successes"] == 0, describe(summary)
