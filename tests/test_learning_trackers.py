"""Trackers: what they hold afterwards, also of a run that was resumed or went back."""

import json
import os
import struct
import sys

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.monitor import Progress
from hilserl_envs.learning.trackers import NoTracker, TensorBoardTracker, make_tracker
from tests import needs
from tests.learning_run import new_run


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


def progress(step: int, success_rate: float = 0.5) -> Progress:
    return Progress(
        step // 10,
        step,
        success_rate=success_rate,
        cycle_time=4.0,
        updates=2 * step,
        metrics={"q": step / 100},
    )


def curve(run, tag: str) -> list[tuple[int, float]]:
    """What TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]


def test_curves_in_tensorboard(run):
    tracker = make_tracker("tensorboard", run)
    assert isinstance(tracker, TensorBoardTracker)
    for step in (10, 20, 30):
        tracker.write(progress(step, step / 100))
    # Before it is closed: a kill loses nothing.
    assert curve(run, "episode/success_rate") == [(10, 0.1), (20, 0.2), (30, 0.3)]
    assert curve(run, "learner/q") == [(10, 0.1), (20, 0.2), (30, 0.3)]
    assert curve(run, "episode/cycle_time_s") == [(10, 4.0), (20, 4.0), (30, 4.0)]
    tracker.close()
    tracker.close()


def test_a_look_with_nothing_new_adds_no_point(run):
    tracker = make_tracker("tensorboard", run)
    tracker.write(Progress())
    for _ in range(3):
        tracker.write(progress(10))
    tracker.write(Progress(1, 15, success_rate=0.5, updates=25, metrics={"q": 0.2}))
    tracker.close()
    assert curve(run, "episode/success_rate") == [(10, 0.5)]
    assert curve(run, "learner/q") == [(10, 0.1), (15, 0.2)]


@pytest.mark.parametrize("killed", [True, False])
def test_a_resumed_run_has_no_point_twice(run, killed):
    first = make_tracker("tensorboard", run)
    for step in (10, 20, 30, 40):
        first.write(progress(step, 0.1))
    if not killed:
        first.close()
    second = make_tracker("tensorboard", run)
    for step in (30, 50):  # from its checkpoint at 25 on
        second.write(progress(step, 0.2))
    second.close()
    assert curve(run, "episode/success_rate") == [(10, 0.1), (20, 0.1), (30, 0.2), (50, 0.2)]


def test_a_run_that_goes_back_under_way_has_no_point_twice(run):
    tracker = make_tracker("tensorboard", run)
    for step in (10, 20, 30, 15, 25):
        tracker.write(progress(step, step / 100))
    tracker.close()
    assert curve(run, "episode/success_rate") == [(10, 0.1), (15, 0.15), (25, 0.25)]


def test_none_keeps_nothing(run):
    tracker = make_tracker("none", run)
    assert isinstance(tracker, NoTracker)
    before = sorted(run.path.rglob("*"))
    tracker.write(progress(10))
    tracker.close()
    assert sorted(run.path.rglob("*")) == before


def test_an_unknown_name(run):
    with pytest.raises(ConfigError, match="unknown tracker 'tensorbord': did you mean 'tensorboard'"):
        make_tracker("tensorbord", run)


@pytest.mark.parametrize(
    "name, module, hint",
    [("tensorboard", "tensorboard", "agent"), ("wandb", "wandb", "wandb")],
)
def test_a_package_that_is_missing(run, monkeypatch, name, module, hint):
    for loaded in [m for m in sys.modules if m.startswith(("torch.utils.tensorboard", "wandb"))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf'pip install "hilserl_envs\[{hint}\]".*the tracker'):
        make_tracker(name, run)


@pytest.fixture
def logged_out(monkeypatch, tmp_path):
    """No word of an account at Weights & Biases."""
    needs.module("wandb")
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    yield wandb
    wandb.teardown()


def rows(run) -> list[dict[str, float]]:
    """What the only offline session holds: a file in LevelDB's log format, of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = run.path.glob("wandb/offline-run-*/*.wandb")
    data, place, block, record, rows = path.read_bytes(), 7, 32768, b"", []
    while place + 7 <= len(data):
        if block - place % block < 7:  # no room for a header: padding
            place += block - place % block
            continue
        length, kind = struct.unpack("<4xHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            items = Record.FromString(record).history.item
            rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
            record = b""
    return [row for row in rows if row]


def test_wandb_keeps_it_here_unless_somebody_is_logged_in(run, logged_out):
    tracker = make_tracker("wandb", run)
    for step in (10, 20, 15, 30):  # 15 is before the newest: it is not taken
        tracker.write(progress(step, step / 100))
    tracker.close()
    tracker.close()
    logged_out.teardown()  # its own process writes the file, and may do so after `close`
    kept = rows(run)
    assert [row["_step"] for row in kept] == [10, 20, 30]
    assert [row["episode/success_rate"] for row in kept] == [0.1, 0.2, 0.3]
    assert kept[-1]["learner/q"] == 0.3


def test_wandb_resumes_the_same_run(run, logged_out):
    for _ in range(2):
        tracker = make_tracker("wandb", run)
        tracker.close()
    ids = {path.stem for path in run.path.glob("wandb/offline-run-*/*.wandb")}
    assert ids == {"run-" + (run.path / "wandb" / "run_id").read_text()}
