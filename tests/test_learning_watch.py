"""What a person sees of a run as it goes, and when its time is over."""

import json
import time

import pytest
import torch

from hilserl_envs.errors import LearningError
from hilserl_envs.learning import watch as watch_module
from hilserl_envs.learning.tensor_files import save_tensors
from hilserl_envs.learning.trackers import Tracker
from hilserl_envs.learning.watch import Watch
from tests.learning_run import act, log, new_run, open_writer
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


@pytest.fixture
def clock(monkeypatch):
    """The time that passes, in a list of one number."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


class Noted(Tracker):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.points, self.closed = [], False

    def log(self, scalars, step):
        self.points.append((step, dict(scalars)))

    def close(self):
        self.closed = True


@pytest.fixture
def tracker(monkeypatch):
    tracker = Noted()
    monkeypatch.setattr(watch_module, "make_tracker", lambda name, run: tracker)
    return tracker


def test_minutes_are_those_of_earlier_sessions_too(run, clock):
    save_tensors(run.checkpoint(), {"a": torch.zeros(1)}, {"seconds": 90.0})
    with Watch(run, None, 2.0, "none") as watch:
        assert not watch.is_over()
        clock[0] += 29
        assert not watch.is_over() and watch.seconds == 119
        clock[0] += 1
        assert watch.is_over()
    with Watch(run, 10, None, "none") as watch:
        clock[0] += 10_000
        assert not watch.is_over()  # steps are the sides' affair


def test_it_looks_once_a_second_and_tells_the_tracker_what_is_new(run, clock, tracker):
    with open_writer(run) as writer, Watch(run, None, None, "tensorboard") as watch:
        watch.is_over()
        act(writer, 5, success=True)
        watch.is_over()
        assert tracker.points == []
        clock[0] += 1.1
        watch.is_over()
        ((step, scalars),) = tracker.points
        assert step == 5 and scalars["episode/success_rate"] == 1.0
        act(writer, 3)
    assert tracker.points[-1][0] == 8 and tracker.closed  # at the end it looks once more


def test_a_picture_of_the_curves_is_there_at_the_end_and_renewed_as_it_goes(run, clock):
    picture = run.path / "curves.png"
    with Watch(run, None, None, "none") as watch:
        watch.is_over()
        assert not picture.exists()
        clock[0] += watch_module.PLOT_EVERY
        watch.is_over()
        assert picture.exists()
        picture.unlink()
    assert picture.exists()


def test_without_a_terminal_a_line_a_minute(run, clock, capsys):
    with open_writer(run) as writer, Watch(run, 100, None, "none") as watch:
        act(writer, 5, success=True)
        for _ in range(5):
            clock[0] += 30
            watch.is_over()
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2 and all(line.startswith("5 steps: success 100%") for line in lines)
        watch.tell("the actor was killed")
        assert capsys.readouterr().err == "the actor was killed\n"


def test_what_came_out_is_printed_and_handed_on(run, clock, capsys):
    log(run, 25)
    with open_writer(run) as writer, Watch(run, None, None, "none") as watch:
        act(writer, 5, success=True)
        act(writer, 5, interventions=1)
        clock[0] += 60
    report = watch.report()
    assert json.loads(json.dumps(report)) == report
    assert report["run"] == str(run.path) and report["seconds"] == 60
    assert (report["episodes"], report["steps"], report["updates"]) == (2, 10, 25)
    assert (report["success_rate"], report["unaided_success_rate"]) == (0.5, 0.5)
    assert report["intervention_rate"] == pytest.approx(0.1) and report["cycle_time_s"] == pytest.approx(0.5)
    assert capsys.readouterr().out.startswith(f"{run.path}: 10 steps in 2 episodes, 1.0 min; success 50%")


def test_where_there_is_no_room_for_the_picture_all_is_let_go(run, tracker):
    watch = Watch(run, None, None, "none")
    with no_room_beyond(500), pytest.raises(LearningError, match="curves.png: File too large"):
        with watch:
            pass
    assert tracker.closed and not (run.path / "curves.png").exists()
