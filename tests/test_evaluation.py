"""Episodes as they went, and what they come to."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import hilserl_envs
from hilserl_envs.errors import ConfigError, DivergedError
from hilserl_envs.evaluation import (
    Episode,
    describe,
    markdown_table,
    run_episodes,
    summarize,
    wilson_interval,
)
from hilserl_envs.policies import ExpertPolicy, RandomPolicy
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand

DONE = Episode(0, True, 20, 2.0, mean_force=1.0, peak_force=5.0, total_reward=1.0)
FAILED = Episode(1, False, 100, 10.0, mean_force=3.0, peak_force=11.0, total_reward=0.0)


def make_env(**arguments):
    return hilserl_envs.make_env("PickCube", **{"obs": "state", "max_episode_steps": 5, **arguments})


@given(st.integers(1, 500), st.data())
def test_the_interval_is_wilsons(trials, data):
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, trials), [expected.low, expected.high], atol=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ConfigError, match="0 <= successes <= trials"):
        wilson_interval(successes, trials)


def test_cycle_times_are_those_of_successes_only():
    slow, slower = (dataclasses.replace(DONE, seconds=seconds) for seconds in (3.0, 7.0))
    summary = summarize([DONE, slow, slower, FAILED])
    assert (summary["mean_cycle_time_s"], summary["median_cycle_time_s"]) == (4.0, 3.0)
    assert summary["mean_steps"] == 40
    assert summary["mean_force_n"] == 1.5
    assert (summary["mean_peak_force_n"], summary["max_peak_force_n"]) == (6.5, 11.0)
    text = describe(summary)
    assert "3/4 = 75.0%" in text and "4.00 s over the successes, median 3.00 s" in text
    assert not any(word in text for word in ("unaided", "interventions", "task says", "diverged"))


def test_no_success_has_no_cycle_time_and_no_episode_no_summary():
    summary = summarize([FAILED])
    assert summary["mean_cycle_time_s"] is None and summary["median_cycle_time_s"] is None
    assert "cycle time     -" in describe(summary)
    with pytest.raises(ConfigError, match="no episodes"):
        summarize([])


def test_interventions_are_a_share_of_the_steps():
    helped, alone = (dataclasses.replace(DONE, interventions=steps) for steps in (6, 0))
    summary = summarize([helped, alone, dataclasses.replace(FAILED, interventions=50)])
    assert summary["intervention_rate"] == 56 / 140
    assert (summary["successes"], summary["unaided_successes"]) == (2, 1)
    assert "unaided        1/3 = 33.3%" in describe(summary) and "40.0% of the steps" in describe(summary)


def test_the_tasks_own_success_is_told_apart():
    wrong = dataclasses.replace(DONE, task_success=False, task_success_at_any_step=False)
    lifted = dataclasses.replace(wrong, task_success_at_any_step=True)
    unseen = dataclasses.replace(FAILED, task_success=True, task_success_at_any_step=True)
    summary = summarize([wrong, unseen, lifted])
    assert (summary["successes"], summary["task_successes"]) == (2, 1)
    assert "task says      1/3 = 33.3% at the end, 2/3 = 66.7% at any step" in describe(summary)
    header, _, row = cells(markdown_table([("seen", summary)]))
    assert row[header.index("task's own success") :][:2] == ["1/3 = 33.3%", "2/3 = 66.7%"]


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_a_table_has_a_row_for_each_policy_and_no_empty_column():
    helped = dataclasses.replace(DONE, interventions=10)
    rows = [("runs/a (best)", summarize([DONE, FAILED])), ("chance", summarize([FAILED]))]
    header, line, *body = cells(markdown_table(rows))
    assert len(header) == len(line) == len(body[0]) == len(body[1])
    assert set(line) == {"---"} and "interventions" not in header and "unaided" not in header
    assert [row[0] for row in body] == ["runs/a (best)", "chance"]
    assert body[0][1:3] == ["1/2 = 50.0%", "9.5% to 90.5%"]
    assert body[1][header.index("cycle time, mean")] == "-"
    header, _, *body = cells(markdown_table([*rows, ("helped", summarize([helped]))]))
    assert [row[header.index("interventions")] for row in body] == ["-", "-", "50.0%"]


def test_a_name_cannot_break_the_table():
    assert markdown_table([("a|b", summarize([DONE]))]).splitlines()[-1].startswith(r"| a\|b | 1/1")


def test_episodes_are_seeded_and_watched():
    env, seen = make_env(), []
    runs = [list(run_episodes(env, RandomPolicy(env), [3, 4], seen.append)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert [episode.seed for episode in runs[0]] == [3, 4]
    assert [episode.steps for episode in runs[0]] == [5, 5]
    assert runs[0][0].interventions is None and runs[0][0].task_success is None
    assert len(seen) == 2 * 2 * 6
    np.testing.assert_allclose(runs[0][0].seconds, 0.5)


def test_forces_are_those_after_the_steps():
    env = hilserl_envs.make_env("RamInsertion", obs="state")
    seen = []
    (episode,) = run_episodes(
        env, ExpertPolicy(env), [0], lambda _: seen.append(env.unwrapped.robot_state.arms["arm"].tcp_force)
    )
    lengths = [np.linalg.norm(force) for force in seen[1:]]
    np.testing.assert_allclose([episode.mean_force, episode.peak_force], [np.mean(lengths), max(lengths)])
    assert 0.1 < episode.mean_force < episode.peak_force


def test_steps_in_which_somebody_took_over_are_counted():
    moving = TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, acting=True)
    device = FakeDevice([moving, moving, TeleopCommand()])
    env = make_env(device=device, intervention={"release_delay": 0.0})
    first, second = run_episodes(env, RandomPolicy(env), [0, 1])
    assert (first.interventions, first.steps) == (2, 5)
    assert second.interventions == 0


def test_an_episode_that_a_person_discards_is_run_again():
    discard = TeleopCommand(pressed=frozenset({"discard"}))
    env, alone = make_env(device=FakeDevice([TeleopCommand(), discard])), make_env()
    (episode,) = run_episodes(env, RandomPolicy(env), [3])
    (expected,) = run_episodes(alone, RandomPolicy(alone), [3])
    assert episode == dataclasses.replace(expected, interventions=0)


def test_who_judges_and_what_the_task_says():
    env = make_env(reward={"classifier": lambda observation: 0.9, "consecutive": 3}, max_episode_steps=50)
    (episode,) = run_episodes(env, RandomPolicy(env), [0])
    assert (episode.success, episode.task_success, episode.task_success_at_any_step) == (True, False, False)
    assert episode.steps == 2  # the reset was a frame too
    says = iter([False, True, False, False])
    env.unwrapped._succeeded = lambda: next(says)
    (episode,) = run_episodes(env, RandomPolicy(env), [0])
    assert (episode.task_success, episode.task_success_at_any_step) == (False, True)


class Diverging(gymnasium.Wrapper):
    """Diverges in the third step of its first episode."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            raise DivergedError("the simulation diverged")
        return self.env.step(action)


def test_an_episode_that_diverges_is_no_success_and_the_next_one_goes_on():
    env = Diverging(make_env())
    policy = RandomPolicy(env)
    diverged, whole = run_episodes(env, policy, [0, 1])
    assert (diverged.diverged, diverged.success, diverged.steps) == (True, False, 2)
    assert (whole.diverged, whole.steps) == (False, 5)
    summary = summarize([diverged, whole])
    assert summary["diverged"] == 1 and "the simulation, in 1 episodes" in describe(summary)


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
