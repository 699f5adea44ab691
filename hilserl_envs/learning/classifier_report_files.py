"""A classifier's report as files: a page, plain data, curves, and a contact sheet of hard frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.images import contact_sheet, fit_image, save_png
from hilserl_envs.learning.classifier_frames import LabelledFrames
from hilserl_envs.learning.classifier_metrics import roc
from hilserl_envs.learning.classifier_report import Report
from hilserl_envs.learning.classifier_training import HeldOut
from hilserl_envs.learning.extra import INSTALL

try:
    from matplotlib.figure import Figure  # not pyplot: no global state, no display
except ImportError as error:
    raise ConfigError(f"the ROC curve needs matplotlib, got: {error}. Install it: {INSTALL}") from None

IMAGES_A_ROW = 8  # of the contact sheet
BORDER = 4  # around an image [pixels]
# Okabe and Ito's colours, which people with any colour vision tell apart.
ORANGE, BLUE = "#d55e00", "#0072b2"


def write_report(report: Report, frames: LabelledFrames, held_out: HeldOut, path: str | Path) -> list[Path]:
    """Write a report beside a classifier's file, under its name: .md, .json, .png, _hardest.png.

    Returns:
        The files, in that order.

    Raises:
        OSError: one cannot be written.
    """
    path = Path(path)
    page, data, curves = (path.with_suffix(suffix) for suffix in (".md", ".json", ".png"))
    sheet = path.with_name(f"{path.stem}_hardest.png")
    _draw_curves(report, frames, held_out, curves)
    save_png(sheet, _hardest(report, frames))
    data.write_text(json.dumps(report.to_json(), indent=1))
    page.write_text(_markdown(report, path.name, curves.name, sheet.name))
    return [page, data, curves, sheet]


def _markdown(report: Report, name: str, curves: str, sheet: str) -> str:
    info = report.info
    figures = [
        [
            stage.stage,
            f"{stage.threshold:.3f}",
            f"{stage.accuracy:.2%}",
            f"{stage.auc:.4f}",
            f"{stage.successes - stage.missed} of {stage.successes}",
            f"{stage.false_positives} of {stage.failures}",
            "{:.2%} to {:.2%}".format(*stage.false_positive_interval),
            f"{stage.false_positive_episodes} of {stage.failure_episodes}",
        ]
        for stage in report.stages
    ]
    kinds = [_label(report, stage, reached) for stage in info.stages for reached in (True, False)]
    confusion = [[kind, *row] for kind, row in zip(kinds, report.confusion.tolist(), strict=True)]
    hardest = [
        [
            number,
            f"{frame.store}, episode {frame.episode}, step {frame.step}",
            _label(report, frame.stage, frame.reached),
            f"{frame.probability:.3f}",
            "wrong" if frame.wrong else "",
        ]
        for number, frame in enumerate(report.hardest, start=1)
    ]
    return "\n".join(
        [
            f"# {name}: reward classifier of {info.task}",
            "",
            f"It looks at {', '.join(info.cameras)} through {info.encoder}, and learned from "
            f"{report.learned} frames of {', '.join(report.stores)}. All that follows is about "
            f"{report.held_out} other frames, held out by {report.split_by}.",
            "",
            *_table(
                "stage;threshold;accuracy;AUC;successes seen;failures taken for a success;at 95 % (Wilson)"
                ";in episodes".split(";"),
                figures,
            ),
            "",
            "The threshold was chosen on these frames, for a false-positive rate of "
            f"{report.false_positive_rate:.2%}, and frames of an episode are alike: the truth may be further "
            "off than the interval.",
            "",
            *(f"- Doubt: {doubt}." for doubt in report.doubts),
            "",
            "## Confusion",
            "",
            *_table(["labelled", *(f"said {stage}" for stage in info.stages), "frames"], confusion),
            "",
            "## ROC",
            "",
            f"![ROC curves and probabilities]({curves})",
            "",
            "## Hardest frames",
            "",
            f"{report.wrong} labels are contradicted. An orange border is around failures taken for a "
            "success, a blue one around successes that are missed, none around frames that were nearly so. "
            "In the table's order, row by row, all cameras of a frame side by side.",
            "",
            f"![hardest frames]({sheet})",
            "",
            *_table(["", "frame", "labelled", "probability", ""], hardest),
            "",
        ]
    )


def _label(report: Report, stage: str, reached: bool) -> str:
    label = "success" if reached else "failure"
    return label if len(report.stages) == 1 else f"{stage}: {label}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def _hardest(report: Report, frames: LabelledFrames) -> np.ndarray:
    """The contact sheet of the hardest frames."""
    chosen = np.array([frame.row for frame in report.hardest])
    images = frames.images(chosen)
    size = next(iter(frames.cameras.values()))[:2]
    tiles = []
    for index, frame in enumerate(report.hardest):
        color = (ORANGE if not frame.reached else BLUE) if frame.wrong else "#ffffff"
        border = tuple(bytes.fromhex(color[1:]))
        tiles.append([_framed(fit_image(image[index], size), border) for image in images.values()])
    each = max(1, IMAGES_A_ROW // len(images))
    rows = [sum(tiles[i : i + each], []) for i in range(0, len(tiles), each)]
    return contact_sheet(rows)


def _framed(image: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    framed = np.empty((image.shape[0] + 2 * BORDER, image.shape[1] + 2 * BORDER, 3), np.uint8)
    framed[:] = color
    framed[BORDER:-BORDER, BORDER:-BORDER] = image
    return framed


def _draw_curves(report: Report, frames: LabelledFrames, held_out: HeldOut, path: Path) -> None:
    """ROC curve and probabilities of each stage, one below the other."""
    figure = Figure(figsize=(10, 3.6 * len(report.stages)), dpi=110, layout="constrained")
    grid = figure.subplots(len(report.stages), 2, squeeze=False)
    targets = frames.targets[held_out.rows]
    for index, (stage, (curve, histogram)) in enumerate(zip(report.stages, grid, strict=True)):
        known = np.isfinite(targets[:, index])
        said, reached = held_out.probabilities[known, index], targets[known, index] == 1
        curve.plot(*roc(said, reached), color=BLUE, drawstyle="steps-post")
        label = f"threshold {stage.threshold:.3f}"
        curve.plot(stage.false_positive_rate, stage.recall, "o", color=ORANGE, label=label)
        # What matters is on the far left.
        curve.set_xscale("symlog", linthresh=0.01)
        curve.set(xlim=(-0.0005, 1.05), ylim=(0, 1.02), xlabel="false-positive rate", ylabel="successes seen")
        curve.set_title(f"{stage.stage}: ROC, AUC {stage.auc:.4f}", loc="left")
        curve.legend(frameon=False, loc="lower right")
        bins = np.linspace(0, 1, 41)
        histogram.hist(said[~reached], bins, color=ORANGE, alpha=0.6, label="failure")
        histogram.hist(said[reached], bins, color=BLUE, alpha=0.6, label="success")
        histogram.axvline(stage.threshold, color="black", linestyle="--", linewidth=1)
        histogram.set(yscale="log", xlabel="probability", ylabel="held-out frames")
        histogram.set_title("what is said of them", loc="left")
        histogram.legend(frameon=False, loc="upper center")
    figure.savefig(path)
