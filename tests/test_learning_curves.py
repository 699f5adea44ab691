"""The picture of the learning curves: what is in it, and that it is always whole."""

import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning import curves
from hilserl_envs.learning.curves import plot_run, plot_runs, rolling_mean, thinned
from hilserl_envs.learning.monitor import Monitor
from tests.learning_run import act, log, new_run, open_writer


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn; their pictures are written as well."""
    drawn, save = [], curves._save
    monkeypatch.setattr(curves, "_save", lambda figure, path: drawn.append(figure) or save(figure, path))
    return drawn


def lived(run, episodes: int = 30):
    with open_writer(run) as writer:
        for number in range(episodes):
            act(writer, 20 - number % 5, success=number % 2 == 0, interventions=5 if number < 10 else 0)
    for updates in range(25, 500, 25):
        log(run, updates, entropy=-updates / 100, temperature=1e-3)
    return run


def drawn_run(run, path=None):
    monitor = Monitor(run)
    monitor.look()
    return plot_run(monitor, path)


def panels(figure) -> dict:
    """The axes of a figure by title and what they are over."""
    return {(axes.get_title(loc="left"), axes.get_xlabel()): axes for axes in figure.axes}


def line(axes, label: str) -> np.ndarray:
    """A curve's points (N, 2)."""
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


def test_a_run_with_everything(run, figures):
    path = drawn_run(lived(run))
    assert path == run.path / "curves.png"
    with Image.open(path) as image:
        assert image.size[0] > 1000 and np.asarray(image.convert("L")).std() > 10
    drawn = panels(figures[0])
    assert [title for title, _ in drawn] == [
        "Means of 20 episodes", "Means of 20 episodes", "Cycle time [s]", "Q", "Loss",
        "Entropy of the policy [nat]", "Temperature", "Updates per second",
    ]  # fmt: skip
    monitor = Monitor(run)
    progress = monitor.look()
    for over, last in (("environment steps", progress.steps), ("minutes", progress.seconds / 60)):
        rates = drawn["Means of 20 episodes", over]
        for label, rate in (
            ("success", progress.success_rate),
            ("success without help", progress.unaided_success_rate),
            ("intervention rate", progress.intervention_rate),
        ):
            np.testing.assert_allclose(line(rates, label)[-1], [last, rate])
    cycle = drawn["Cycle time [s]", "environment steps"]
    np.testing.assert_allclose(line(cycle, "mean of 20")[-1], [progress.steps, progress.cycle_time])
    assert set(line(cycle, "demonstrations")[:, 1]) == {monitor.demonstrations_cycle_time()}
    np.testing.assert_allclose(line(drawn["Q", "environment steps"], "critic")[-1], [4 * 475, 4.75])


def test_what_is_not_there_is_not_drawn(run, figures):
    assert drawn_run(run).exists()  # nothing at all
    assert not figures[0].axes and figures[0].texts[-1].get_text() == "nothing to draw yet"
    with open_writer(run) as writer:
        act(writer, 5)
    drawn_run(run)
    assert len(panels(figures[1])) == 3
    log(run, 25)
    drawn_run(run)
    assert len(panels(figures[2])) == 6


def test_the_picture_is_replaced_as_a_whole(run, monkeypatch):
    path = drawn_run(lived(run))
    whole = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hilserl_envs.learning.run_folder.os.replace", full)
        with pytest.raises(LearningError, match="No space left"):
            drawn_run(run)
    assert path.read_bytes() == whole
    log(run, 500)
    drawn_run(run)
    assert path.read_bytes() != whole
    assert [p.name for p in run.path.glob("*.png*")] == ["curves.png"]


def test_nothing_global_is_touched(run):
    settings, pyplot = matplotlib.rcParams.copy(), sys.modules.get("matplotlib.pyplot")
    drawn_run(lived(run))
    assert matplotlib.rcParams.copy() == settings and sys.modules.get("matplotlib.pyplot") is pyplot


def test_several_runs_in_one_picture(run, figures, tmp_path):
    lived(run)
    path = tmp_path / "ablation.png"
    plot_runs([run, run, run], ["ours", "other", "ours"], path, {"BC": 0.25})
    assert path.exists()
    drawn = panels(figures[0])
    main = drawn["Success without help", "minutes"]
    colors = {line.get_label(): set() for line in main.lines}
    for one in main.lines:
        colors[one.get_label()].add((one.get_color(), one.get_linestyle()))
    assert [line.get_label() for line in main.lines] == ["ours", "other", "ours", "BC"]
    assert all(len(styles) == 1 for styles in colors.values())  # seeds look alike
    assert len(set.union(*colors.values())) == 3  # and nothing else does
    assert [text.get_text() for text in figures[0].legends[0].texts] == ["ours", "other", "BC"]
    assert set(line(main, "BC")[:, 1]) == {0.25}
    assert ("Intervention rate", "environment steps") in drawn
    assert ("Cycle time of successes [s]", "environment steps") in drawn


def test_runs_that_cannot_be_compared(run, tmp_path):
    for runs, labels in (([], []), ([run], []), ([run], ["a", "b"])):
        with pytest.raises(ConfigError, match="a label for each of at least one run"):
            plot_runs(runs, labels, tmp_path / "x.png")
    with pytest.raises(ConfigError, match="has no episode that ended.*leave it out"):
        plot_runs([run], ["a"], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_without_matplotlib_the_error_says_what_to_install(run, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'need matplotlib.*pip install "hilserl_envs\[agent\]"'):
        drawn_run(run)


values = st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), max_size=50)


@given(values, st.integers(1, 25))
def test_rolling_mean(numbers, window):
    numbers = np.array(numbers, float)
    means = rolling_mean(numbers, window)
    assert means.shape == numbers.shape
    for stop, mean in enumerate(means, 1):
        part = numbers[max(stop - window, 0) : stop]
        part = part[~np.isnan(part)]
        np.testing.assert_allclose(mean, part.mean() if len(part) else np.nan, atol=1e-9)


@given(values, st.integers(1, 25))
def test_thinned_keeps_what_is_known_on_average(numbers, points):
    y = np.array(numbers, float)
    x, thin = thinned(np.arange(len(y), dtype=float), y, points)
    known = ~np.isnan(y)
    assert len(x) == len(thin) == min(known.sum(), points)
    assert (np.diff(x) > 0).all()
    if known.sum() and known.sum() % points == 0:
        assert thin.mean() == pytest.approx(y[known].mean(), abs=1e-9)
