"""The monitor: what a run's folder says, whatever state it is in."""

import json
import math
import time
from datetime import datetime

import numpy as np
import pytest

from hilserl_envs.learning.actor import redo_from
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.loops import Budget, run_in_turns
from hilserl_envs.learning.monitor import Monitor, Progress
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from hilserl_envs.recording import appender as appender_module
from hilserl_envs.recording import writer as writer_module
from tests.learning_run import STEP_SECONDS, act, demonstrations, log, new_run, open_writer, settings


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


def test_a_run_in_which_nothing_has_happened(run):
    monitor = Monitor(run)
    assert monitor.look() == Progress()
    assert monitor.look().line() == "nothing to tell yet" and monitor.look().scalars() == {}
    assert len(monitor.episodes().steps) == 0 and len(monitor.learner()["updates"]) == 0


def test_what_comes_later_is_seen(run):
    monitor = Monitor(run)
    monitor.look()
    with open_writer(run) as writer:
        assert monitor.look().episodes == 0
        act(writer, 10, success=True)
        assert (monitor.look().episodes, monitor.look().steps) == (1, 10)
        act(writer, 5, end=False)
        assert (monitor.look().episodes, monitor.look().steps) == (1, 15)
    log(run, 25)
    assert monitor.look().updates == 25
    log(run, 50)
    assert (monitor.look().updates, monitor.look().q) == (50, 0.5)


def test_rates_are_means_over_episodes(run):
    with open_writer(run) as writer:
        act(writer, 10, success=True, interventions=5)
        act(writer, 20, success=True)
        act(writer, 40, interventions=40)
        act(writer, 40)
    progress = Monitor(run).look()
    assert (progress.episodes, progress.steps) == (4, 110)
    assert progress.success_rate == 0.5 and progress.unaided_success_rate == 0.25
    assert progress.intervention_rate == (0.5 + 0 + 1 + 0) / 4  # not 45 / 110
    assert progress.cycle_time == pytest.approx((10 + 20) / 2 * STEP_SECONDS)  # of the successes
    assert progress.total_reward == 0.5


def test_rates_forget_old_episodes(run):
    with open_writer(run) as writer:
        for _ in range(5):
            act(writer, 8, interventions=8)
        for _ in range(20):
            act(writer, 2, success=True)
    progress = Monitor(run).look()
    assert progress.success_rate == 1.0 and progress.intervention_rate == 0.0
    assert progress.cycle_time == pytest.approx(2 * STEP_SECONDS)


def test_episodes_that_are_not_used_or_did_not_end_count_in_no_rate(run):
    with open_writer(run) as writer:
        act(writer, 10, success=True)
        act(writer, 7, kept=False, why="discarded")
        act(writer, 5, outcome="stopped", why="stopped")  # by the end of a session, not by its own
        act(writer, 3, end=False)
    with open_writer(run) as writer:  # the third one's process had died
        act(writer, 2, end=False)
        progress = Monitor(run).look()
    assert (progress.episodes, progress.success_rate) == (1, 1.0)
    assert progress.steps == 10 + 5 + 3 + 2  # but their transitions are learned from


def test_a_run_that_goes_back_to_its_checkpoint(run):
    with open_writer(run) as writer:
        for _ in range(3):
            act(writer, 10, success=True)
    for updates in (25, 50, 75):
        log(run, updates)
    monitor = Monitor(run)
    assert (monitor.look().steps, monitor.look().updates) == (30, 75)
    redo_from(run, 1)
    assert (monitor.look().episodes, monitor.look().steps) == (1, 10)
    with open_writer(run) as writer:
        act(writer, 20)
    log(run, 50, q=7.0)
    progress = monitor.look()
    assert (progress.episodes, progress.steps, progress.success_rate) == (2, 30, 0.5)
    assert (progress.updates, progress.q) == (50, 7.0)
    np.testing.assert_array_equal(monitor.learner()["updates"], [25, 50])
    np.testing.assert_array_equal(monitor.learner()["q"], [0.25, 7.0])
    assert monitor.learner()["q"].tolist() == [line["q"] for line in run.learner_lines()]


def test_a_line_is_read_once_it_is_whole(run):
    log(run, 25)
    monitor = Monitor(run)
    with open(run.learner_log, "a") as file:
        file.write('{"updates": 50, "q"')
        file.flush()
        assert monitor.look().updates == 25
        file.write(": 0.5}\n")
    assert monitor.look().updates == 50


@pytest.mark.parametrize("torn", ['{"updates": 50, "q', "5", "[1]", '{"q": 1.0}', '{"updates": "x"}'])
def test_what_a_kill_tore_is_skipped(run, torn):
    log(run, 25)
    with open(run.learner_log, "a") as file:
        file.write(torn + "\n")
    log(run, 75)
    monitor = Monitor(run)
    monitor.look()
    np.testing.assert_array_equal(monitor.learner()["updates"], [25, 75])


def test_columns_stay_in_step_when_a_metric_comes_and_goes(run):
    log(run, 25)
    log(run, 50, entropy=-1.0)
    log(run, 75)
    monitor = Monitor(run)
    assert "entropy" not in monitor.look().metrics
    np.testing.assert_array_equal(monitor.learner()["entropy"], [math.nan, -1.0, math.nan])
    log(run, 50)
    monitor.look()
    np.testing.assert_array_equal(monitor.learner()["entropy"], [math.nan, math.nan])


@pytest.fixture
def clock(monkeypatch):
    """The writer's time, in a list of one number."""
    now = [1_800_000_000.0]

    class Dates:
        @staticmethod
        def now(zone):
            return datetime.fromtimestamp(now[0], zone)

    monkeypatch.setattr(writer_module.time, "time", lambda: now[0])
    monkeypatch.setattr(appender_module, "datetime", Dates)
    return now


def test_wall_clock_time_leaves_out_what_lies_between_sessions_and_what_was_made_again(run, clock):
    def at(seconds: float, writer: EpisodeWriter, **episode) -> None:
        """An episode that begins and ends then."""
        clock[0] = 1_800_000_000.0 + seconds
        act(writer, 1, **episode)

    with open_writer(run) as writer:
        at(30, writer)
        at(50, writer, kept=False, why="discarded")  # took time all the same
        at(70, writer)
        at(90, writer)
    redo_from(run, 3)
    clock[0] += 10_000
    with open_writer(run) as writer:
        at(90 + 10_000 + 15, writer)
    monitor = Monitor(run)
    assert monitor.look().seconds == pytest.approx(70 + 15)
    np.testing.assert_allclose(monitor.episodes().seconds, [30, 70, 85])
    np.testing.assert_array_equal(monitor.episodes().steps, [1, 2, 3])


def test_several_robots_act_at_the_same_time(run, clock):
    def at(seconds: float, writer: EpisodeWriter, steps: int, **episode) -> None:
        clock[0] = 1_800_000_000.0 + seconds
        act(writer, steps, **episode)

    monitor = Monitor(run)
    monitor.look()
    with open_writer(run, "left") as left, open_writer(run, "right") as right:
        at(20, left, 2)
        at(30, right, 3, success=True)
        assert (monitor.look().episodes, monitor.look().steps) == (2, 5)
        at(50, left, 4, success=True)
        at(60, right, 5, success=True)
    clock[0] += 10_000
    with open_writer(run, "left") as left:
        at(60 + 10_000 + 10, left, 1)
    progress = monitor.look()
    assert (progress.episodes, progress.steps, progress.success_rate) == (5, 15, 0.6)
    assert progress.seconds == pytest.approx(70)
    np.testing.assert_allclose(monitor.episodes().seconds, [20, 30, 50, 60, 70])
    np.testing.assert_array_equal(monitor.episodes().steps, [2, 5, 9, 14, 15])
    np.testing.assert_array_equal(monitor.episodes().success, [0, 1, 1, 1, 0])


def test_the_history_of_episodes(run):
    with open_writer(run) as writer:
        act(writer, 10, success=True, interventions=5)
        act(writer, 4, end=False)
    with open_writer(run) as writer:
        act(writer, 20, success=True)
        act(writer, 40, interventions=10)
    monitor = Monitor(run)
    monitor.look()
    history = monitor.episodes()
    np.testing.assert_array_equal(history.steps, [10, 34, 74])  # the one that died is on the way
    np.testing.assert_array_equal(history.success, [1, 1, 0])
    np.testing.assert_array_equal(history.unaided, [0, 1, 0])
    np.testing.assert_array_equal(history.intervention_rate, [0.5, 0, 0.25])
    np.testing.assert_allclose(history.cycle_time, [1.0, 2.0, math.nan])


def test_the_demonstrations_cycle_time_is_that_of_those_that_succeed(run):
    expert, other = EpisodeStore(run.demonstrations).episodes
    assert expert.success and not other.success
    assert Monitor(run).demonstrations_cycle_time() == pytest.approx(expert.steps / 10)


def test_a_line_for_the_terminal():
    progress = Progress(
        20, 1500, 60.0, 0.85, 0.6, 0.125, 4.31, 0.85, 300, 51.6, 0.04, {"q": 0.612, "critic_loss": 4.2e-5}
    )
    assert progress.line() == (
        "success 85%, alone 60%, interventions 12%, cycle 4.3 s, Q 0.61, loss 4.2e-05, 52 updates/s, "
        "lag 0.0 s"
    )
    assert Progress(updates=25, metrics={"bc_loss": 0.1}).line() == "loss 1.0e-01"


def test_scalars_are_what_is_new():
    first = Progress(episodes=3, updates=25, success_rate=0.5, metrics={"q": 0.1, "actor_loss": -0.1})
    assert first.scalars() == {
        "episode/success_rate": 0.5, "learner/q": 0.1, "learner/actor_loss": -0.1,
    }  # fmt: skip
    assert first.scalars(since=first) == {}
    second = Progress(episodes=4, updates=25, success_rate=0.6, cycle_time=2.0, metrics={"q": 0.1})
    assert second.scalars(since=first) == {"episode/success_rate": 0.6, "episode/cycle_time_s": 2.0}
    third = Progress(episodes=4, updates=50, success_rate=0.6, metrics={"q": 0.2})
    assert third.scalars(since=second) == {"learner/q": 0.2}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_real_run(tmp_path, one_thread):
    run = RunFolder.create(
        tmp_path / "run",
        settings(demonstrations=False, env={"max_episode_steps": 30}, training_starts=20, overseer={}),
        None,
    )
    run_in_turns(run, Budget(60))
    progress = Monitor(run).look()
    episodes = EpisodeStore(run.replay).episodes
    assert progress.episodes == len(episodes) >= 2 and progress.steps == 30 * len(episodes)
    assert progress.success_rate is not None and progress.intervention_rate is not None
    assert 0 < progress.seconds < 600
    newest = list(run.learner_lines())[-1]
    assert progress.updates == newest["updates"] > 0 and progress.q == newest["q"]
    assert progress.updates_per_second > 0 and progress.lag_seconds == 0
    assert {"q", "critic_loss", "entropy", "temperature"} <= set(progress.metrics)
    assert progress.loss == progress.metrics["critic_loss"]
    json.dumps(progress.scalars())


def test_a_run_in_which_nobody_acts(tmp_path, one_thread):
    run = RunFolder.create(tmp_path / "bc", settings(algorithm="bc"), demonstrations())
    run_in_turns(run, Budget(50))
    progress = Monitor(run).look()
    assert (progress.episodes, progress.steps, progress.updates) == (0, 50, 50)
    assert progress.success_rate is None and progress.lag_seconds is None and progress.seconds > 0
    assert progress.loss == progress.metrics["bc_loss"]


def test_a_look_at_a_long_run_is_quick(run):
    with open_writer(run) as writer:
        for _ in range(500):
            act(writer, 1)
    with open(run.learner_log, "w") as file:
        file.writelines(json.dumps({"updates": n, "q": 0.1}) + "\n" for n in range(1, 10_001))
    monitor = Monitor(run)
    monitor.look()
    costs = []
    for _ in range(5):
        log(run, monitor.look().updates + 1)
        begin = time.perf_counter()
        monitor.look()
        costs.append(time.perf_counter() - begin)
    assert min(costs) < 0.02
