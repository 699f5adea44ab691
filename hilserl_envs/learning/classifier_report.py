"""What a person should know of a classifier: how it does on the frames that were held out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from hilserl_envs.learning.classifier import ClassifierInfo
from hilserl_envs.learning.classifier_frames import LabelledFrames
from hilserl_envs.learning.classifier_metrics import StageReport, judge
from hilserl_envs.learning.classifier_training import HeldOut

HARDEST = 24  # frames, wrong or nearly so, that are named


@dataclass(frozen=True)
class HardFrame:
    """A held-out frame, and a stage of which what the classifier says is far from the label.

    Args:
        row: which of the labelled frames.
        store, episode, step: where it is.
        stage: name.
        reached: the label.
        probability: what the classifier says.
        wrong: whether that is on the wrong side of the threshold.
    """

    row: int
    store: str
    episode: int
    step: int
    stage: str
    reached: bool
    probability: float
    wrong: bool


@dataclass(frozen=True)
class Report:
    """How a classifier does on the frames held out.

    Args:
        info: of the classifier.
        stores: that the frames are of.
        learned, held_out: how many frames.
        split_by: "episodes" or "blocks", see `HeldOut`.
        false_positive_rate: that was wished for.
        stages: one after the other.
        confusion: held-out frames by label (2 * S, S + 1): success and failure of each stage in
            rows; in columns how many of them are said to reach each stage, and how many there are.
        hardest: frames judged wrong, then those that nearly were; at most `HARDEST`.
        doubts: why the thresholds may not do what was wished for, in words.
    """

    info: ClassifierInfo
    stores: tuple[str, ...]
    learned: int
    held_out: int
    split_by: str
    false_positive_rate: float
    stages: tuple[StageReport, ...]
    confusion: np.ndarray
    hardest: tuple[HardFrame, ...]
    doubts: tuple[str, ...]

    @property
    def wrong(self) -> int:
        """Labels that the classifier contradicts."""
        return sum(stage.missed + stage.false_positives for stage in self.stages)

    def to_json(self) -> dict:
        """As plain values."""
        value = dataclasses.asdict(self)
        for stage, report in zip(value["stages"], self.stages, strict=True):
            for name in ("accuracy", "recall", "false_positive_rate"):
                stage[name] = getattr(report, name)
        return value | {"confusion": self.confusion.tolist()}

    def describe(self) -> str:
        """In lines for people."""
        lines = [
            f"learned from {self.learned} frames, judged on {self.held_out}, held out by {self.split_by}"
        ]
        for stage in self.stages:
            low, high = stage.false_positive_interval
            lines += [
                f"{stage.stage}: threshold {stage.threshold:.3f}, accuracy {stage.accuracy:.2%}, "
                f"AUC {stage.auc:.4f}",
                f"  {stage.successes - stage.missed} of {stage.successes} successes are seen",
                f"  {stage.false_positives} of {stage.failures} failures are taken for a success "
                f"({low:.2%} to {high:.2%} at 95 %), in {stage.false_positive_episodes} of "
                f"{stage.failure_episodes} episodes",
            ]
        return "\n".join([*lines, *(f"doubt: {doubt}" for doubt in self.doubts)])


def make_report(
    info: ClassifierInfo, frames: LabelledFrames, held_out: HeldOut, false_positive_rate: float
) -> Report:
    """The report on a classifier; its thresholds are those in `info`."""
    moments = frames.moments()[held_out.rows]
    episodes = np.unique(moments[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    targets, said = frames.targets[held_out.rows], held_out.probabilities
    above = said > np.array(info.thresholds)
    stages, hard = [], []
    for index, (stage, threshold) in enumerate(zip(info.stages, info.thresholds, strict=True)):
        known = np.flatnonzero(np.isfinite(targets[:, index]))
        probability, reached = said[known, index], targets[known, index] == 1
        stages.append(judge(stage, probability, reached, episodes[known], threshold))
        for i, of_frame, label in zip(known, probability, reached, strict=True):
            source, episode, step = moments[i].tolist()
            where = (int(held_out.rows[i]), str(frames.stores[source].folder), episode, step)
            hard.append(
                HardFrame(*where, stage, bool(label), float(of_frame), bool(above[i, index] != label))
            )
    hard.sort(key=lambda frame: (not frame.wrong, -abs(frame.probability - frame.reached)))
    kinds = [targets[:, index] == kind for index in range(len(stages)) for kind in (1, 0)]
    doubts = [doubt for stage in stages for doubt in stage.doubts(false_positive_rate)]
    if held_out.split_by == "blocks":
        doubts.append(
            "too few episodes to hold some out, so blocks of a second were: the classifier has seen the same "
            "episodes a second before and after, and may do worse in new ones. Label in more episodes"
        )
    return Report(
        info=info,
        stores=tuple(str(store.folder) for store in frames.stores),
        learned=len(frames) - len(held_out.rows),
        held_out=len(held_out.rows),
        split_by=held_out.split_by,
        false_positive_rate=false_positive_rate,
        stages=tuple(stages),
        confusion=np.array([[*above[rows].sum(axis=0), rows.sum()] for rows in kinds]),
        hardest=tuple(hard[:HARDEST]),
        doubts=tuple(doubts),
    )
