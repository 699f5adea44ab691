"""Learning curves as a picture: of one run, or of several side by side."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.extra import INSTALL
from hilserl_envs.learning.learner import RECENT
from hilserl_envs.learning.monitor import Monitor
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
_COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "#000000")
_DASHES = ("-", "--", "-.", ":")
_INK, _DIM, _GRID = "#20262c", "#5c6670", "#e3e7ea"
_LEGEND = {"frameon": False, "fontsize": 8.5, "labelcolor": _INK, "handlelength": 2.4}
_POINTS = 400  # of a curve; what is denser is averaged
_DPI = 110

Panel = Callable[["Axes"], None]


def plot_run(monitor: Monitor, path: Path | None = None) -> Path:
    """Draw a run's learning curves up to the monitor's last look; returns the picture's path.

    Args:
        monitor: of the run.
        path: of the PNG, which is replaced as a whole; None takes `curves.png` in the run's folder.

    Raises:
        ConfigError: matplotlib is not installed.
        LearningError: the picture cannot be written.
    """
    run, lines = monitor.run, monitor.learner()
    of_episodes, of_learner = _episode_panels(monitor), _learner_panels(lines, run.settings.acts)
    settings = run.settings
    title = f"{settings.task} from {settings.obs}, {settings.algorithm}, seed {settings.seed}"
    path = run.path / "curves.png" if path is None else path
    _save(_figure(title, [*of_episodes, *of_learner], legend=bool(of_episodes)), path)
    return path


def plot_runs(
    runs: Sequence[RunFolder],
    labels: Sequence[str],
    path: Path,
    levels: Mapping[str, float] | None = None,
) -> None:
    """Draw the learning curves of several runs into one picture.

    Args:
        runs: to compare; each has an actor.
        labels: of each; runs with the same label, such as seeds, get the same colour.
        path: of the PNG, which is replaced as a whole.
        levels: success rates by label of policies that have no curve, such as behaviour cloning's;
            drawn as horizontal lines.

    Raises:
        ConfigError: no runs, not one label a run, a run without an episode that ended, or
            matplotlib is not installed.
        LearningError: the picture cannot be written.
    """
    if not runs or len(labels) != len(runs):
        raise ConfigError(f"a label for each of at least one run: got {len(labels)} labels, {len(runs)} runs")
    names = list(dict.fromkeys([*labels, *(levels or {})]))
    styles = {name: (_COLORS[i % len(_COLORS)], _DASHES[i % len(_DASHES)]) for i, name in enumerate(names)}
    histories = []
    for run in runs:
        monitor = Monitor(run)
        monitor.look()
        histories.append(monitor.episodes())
        if not len(histories[-1].steps):
            raise ConfigError(f"{run.path} has no episode that ended, so no curve to draw; leave it out")

    def panel(title: str, what: str, over: str, unit: str) -> Panel:
        def draw(axes: Axes) -> None:
            for label, history in zip(labels, histories, strict=True):
                x = history.seconds / 60 if over == "minutes" else history.steps
                color, dash = styles[label]
                _curve(axes, x, rolling_mean(getattr(history, what), RECENT), color, label, dash)
            if what == "unaided":
                for label, level in (levels or {}).items():
                    color, dash = styles[label]
                    axes.axhline(level, color=color, linestyle=dash, linewidth=1.4, label=label)
            _dress(axes, title, "environment steps" if over == "steps" else "minutes", unit)

        return draw

    panels = [
        panel("Success without help", "unaided", "steps", "%"),
        panel("Success without help", "unaided", "minutes", "%"),
        panel("Success, with help or without", "success", "steps", "%"),
        panel("Intervention rate", "intervention_rate", "steps", "%"),
        panel("Cycle time of successes [s]", "cycle_time", "steps", "s"),
    ]
    tasks = dict.fromkeys(run.settings.task for run in runs)
    figure = _figure(f"{', '.join(tasks)}: means of {RECENT} episodes", panels, legend=True)
    _save(figure, path)


def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean (N,) of the last `window` values (N,), or those there are, NaN left out."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    number = counts[stop] - counts[start]
    return np.where(number > 0, (sums[stop] - sums[start]) / np.maximum(number, 1), np.nan)


def thinned(x: np.ndarray, y: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points: means of neighbours that are known."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) <= points:
        return x, y
    first = np.linspace(0, len(y), points, endpoint=False).astype(int)
    counts = np.diff([*first, len(y)])
    return np.add.reduceat(x, first) / counts, np.add.reduceat(y, first) / counts


def _episode_panels(monitor: Monitor) -> list[Panel]:
    history = monitor.episodes()
    if not len(history.steps):
        return []
    rates = (
        ("success", history.success, BLUE, "-"),
        ("success without help", history.unaided, GREEN, "--"),
        ("intervention rate", history.intervention_rate, RED, ":"),
    )

    def rates_over(x: np.ndarray, label: str) -> Panel:
        def draw(axes: Axes) -> None:
            for name, values, color, dash in rates:
                _curve(axes, x, rolling_mean(values, RECENT), color, name, dash)
            _dress(axes, f"Means of {RECENT} episodes", label, "%")

        return draw

    def cycle_time(axes: Axes) -> None:
        x, times, reference = history.steps, history.cycle_time, monitor.demonstrations_cycle_time()
        axes.plot(x, times, ".", color=SKY, markersize=3, alpha=0.5, label="one success")
        _curve(axes, x, rolling_mean(times, RECENT), BLUE, f"mean of {RECENT}")
        if reference is not None:
            axes.axhline(reference, color=_INK, linestyle="--", linewidth=1.2, label="demonstrations")
        _dress(axes, "Cycle time [s]", "environment steps", "s")
        axes.legend(**_LEGEND)

    over_steps = rates_over(history.steps, "environment steps")
    return [over_steps, rates_over(history.seconds / 60, "minutes"), cycle_time]


def _learner_panels(lines: Mapping[str, np.ndarray], acts: bool) -> list[Panel]:
    x, x_label = (lines.get("steps"), "environment steps") if acts else (lines["updates"], "updates")

    def panel(title: str, names: Mapping[str, str], scale: str = "linear") -> Panel:
        def draw(axes: Axes) -> None:
            axes.set_yscale(scale)
            for (name, label), color, dash in zip(names.items(), (BLUE, RED, GREEN), _DASHES, strict=False):
                if name in lines:
                    _curve(axes, x, lines[name], color, label, dash)
            _dress(axes, title, x_label)
            if len(axes.lines) > 1:
                axes.legend(**_LEGEND)

        return draw

    losses = {"critic_loss": "critic", "gripper_loss": "gripper", "bc_loss": "imitation"}
    panels = (
        ("Q", {"q": "critic", "gripper_q": "gripper"}, "linear"),
        ("Loss", losses, "log"),
        ("Entropy of the policy [nat]", {"entropy": ""}, "linear"),
        ("Temperature", {"temperature": ""}, "log"),
        ("Updates per second", {"updates_per_second": ""}, "linear"),
    )
    return [panel(*one) for one in panels if any(name in lines for name in one[1])]


def _figure(title: str, panels: Sequence[Panel], legend: bool = False) -> Figure:
    """Panels in rows of three, but for the two first, which share a row.

    Args:
        title: above all.
        panels: what draws each.
        legend: put that of the first panel's curves under the title.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"learning curves need matplotlib, got: {error}. Install it: {INSTALL}") from None
    rows = _rows(len(panels))
    head = 1.2 if legend else 0.95  # [inches], as all that follows
    height = 2.9 * len(rows) + 0.7
    figure = Figure(figsize=(12, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)  # not pyplot: no global state, no display
    figure.text(0.05, 1 - 0.3 / height, title, fontsize=13, fontweight="bold", color=_INK, va="center")
    if not panels:
        figure.text(0.5, 0.4, "nothing to draw yet", fontsize=12, color=_DIM, ha="center")
        return figure
    margins = {"left": 0.05, "right": 0.985, "top": 1 - head / height, "bottom": 0.5 / height}
    grid = figure.add_gridspec(len(rows), 1, hspace=0.42, **margins)
    drawn = iter(panels)
    for row, count in enumerate(rows):
        for cell in grid[row].subgridspec(1, count, wspace=0.15 if count < 3 else 0.2):
            next(drawn)(figure.add_subplot(cell))
    if legend:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        place = {"loc": "center left", "bbox_to_anchor": (0.043, 1 - 0.62 / height)}
        figure.legend(unique.values(), unique.keys(), ncols=len(unique), **place, **_LEGEND)
    return figure


def _rows(panels: int) -> list[int]:
    """How many panels stand in each row."""
    rows = [min(panels, 2)] if panels else []
    while (left := panels - sum(rows)) > 0:
        rows.append(min(left, 3))
    return rows


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, label: str, dash: str = "-") -> None:
    axes.plot(*thinned(x, y, _POINTS), color=color, linestyle=dash, linewidth=1.8, label=label)


def _dress(axes: Axes, title: str, x_label: str, unit: str = "") -> None:
    """Title, labels, limits and grid of a panel that is drawn."""
    axes.set_title(title, fontsize=10.5, fontweight="bold", color=_INK, loc="left")
    axes.set_xlabel(x_label, fontsize=9, color=_DIM)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=6)
    if unit == "%":
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    elif unit == "s":
        axes.set_ylim(bottom=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=8.5, colors=_DIM, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_GRID)


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, content.getvalue(), durable=False)
