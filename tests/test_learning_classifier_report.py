"""A report says what was got wrong, where it is, and what cannot be promised; also as files."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from hilserl_envs.learning.classifier import ClassifierInfo
from hilserl_envs.learning.classifier_frames import read_frames
from hilserl_envs.learning.classifier_report import HARDEST, make_report
from hilserl_envs.learning.classifier_report_files import BLUE, BORDER, IMAGES_A_ROW, ORANGE, write_report
from hilserl_envs.learning.classifier_training import HeldOut
from tests.labelled_stores import SIZE, TASK, write_labels


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    first = write_labels(folder / "first", cameras={"front": SIZE, "side": 32})
    second = write_labels(folder / "second", episodes=5, seed=1, cameras={"front": SIZE, "side": 32})
    return read_frames(TASK, {"grasped": [first], "placed": [second]})


def said(frames, wrong: dict[int, tuple[int, float]], split_by: str = "episodes") -> HeldOut:
    """All frames held out and judged right with 0.9 and 0.1, but for some rows (stage, probability)."""
    rows = np.arange(len(frames))
    probabilities = np.where(frames.targets == 1, 0.9, 0.1).astype(np.float32)
    for row, (stage, probability) in wrong.items():
        probabilities[row, stage] = probability
    return HeldOut(rows, probabilities, split_by)


def info(frames) -> ClassifierInfo:
    cameras, stages = frames.cameras, frames.stages
    return ClassifierInfo(TASK, stages, (0.5,) * len(stages), cameras, [], "efficientnet-lite0", None)


def a_row(frames, stage: int, target: int) -> int:
    return int(np.flatnonzero(frames.targets[:, stage] == target)[5])


def test_what_was_got_wrong_is_counted_and_named(frames):
    false, missed = a_row(frames, 0, 0), a_row(frames, 1, 1)
    report = make_report(info(frames), frames, said(frames, {false: (0, 0.97), missed: (1, 0.2)}), 0.05)
    grasped, placed = report.stages
    assert (grasped.false_positives, grasped.missed, placed.false_positives, placed.missed) == (1, 0, 0, 1)
    assert (grasped.failure_episodes, grasped.false_positive_episodes) == (10, 1) and report.wrong == 2
    first, second, *others = report.hardest
    assert (first.row, first.stage, first.reached) == (false, "grasped", False)
    assert (second.row, second.stage, second.reached) == (missed, "placed", True)
    assert first.wrong and second.wrong and not any(frame.wrong for frame in others)
    assert len(report.hardest) == HARDEST
    store = frames.stores[1]
    record = store.records[frames.records[missed]]
    assert (second.store, second.episode, second.step) == (
        str(store.folder),
        record["episode"],
        record["step"],
    )


def test_confusion_counts_what_is_said_of_every_stage(frames):
    # A frame of the store of "placed" that is said to be grasped, of which nobody said anything.
    row = a_row(frames, 1, 0)
    report = make_report(info(frames), frames, said(frames, {row: (0, 0.9)}), 0.05)
    successes, failures = ([int((frames.targets[:, i] == kind).sum()) for i in (0, 1)] for kind in (1, 0))
    expected = [
        [successes[0], 0, successes[0]],
        [0, 0, failures[0]],
        [0, successes[1], successes[1]],
        [1, 0, failures[1]],
    ]
    np.testing.assert_array_equal(report.confusion, expected)


def test_doubts_are_told(frames):
    assert "may be up to" in make_report(info(frames), frames, said(frames, {}), 0.001).describe()
    by_blocks = make_report(info(frames), frames, said(frames, {}, "blocks"), 0.3)
    assert len(by_blocks.doubts) == 1 and "Label in more episodes" in by_blocks.describe()
    assert make_report(info(frames), frames, said(frames, {}), 0.3).doubts == ()


def test_files_beside_the_classifier(frames, tmp_path):
    false, missed = a_row(frames, 0, 0), a_row(frames, 0, 1)
    held_out = said(frames, {false: (0, 0.97), missed: (0, 0.2)})
    report = make_report(info(frames), frames, held_out, 0.01)
    files = write_report(report, frames, held_out, tmp_path / "ram.safetensors")
    assert [file.name for file in files] == ["ram.md", "ram.json", "ram.png", "ram_hardest.png"]
    page, data, curves, sheet = files
    text = page.read_text()
    assert "(ram.png)" in text and "(ram_hardest.png)" in text and "## Confusion" in text
    assert all(doubt in text for doubt in report.doubts) and str(frames.stores[0].folder) in text
    values = json.loads(data.read_text())
    assert values["stages"][0]["false_positives"] == 1 and values["hardest"][0]["row"] == false
    assert values["confusion"] == report.confusion.tolist()
    assert np.asarray(Image.open(curves).convert("RGB")).std() > 10
    picture, side = np.asarray(Image.open(sheet)), SIZE + 2 * BORDER
    rows = -(-HARDEST // (IMAGES_A_ROW // 2))
    assert picture.shape == (rows * (side + 4) + 4, IMAGES_A_ROW * (side + 4) + 4, 3)
    # Two cameras of the failure taken for a success, then two of the success that is missed.
    borders = ["#" + picture[5, 4 + (side + 4) * column + 1].tobytes().hex() for column in range(5)]
    assert borders == [ORANGE, ORANGE, BLUE, BLUE, "#ffffff"]
    inside = picture[4 + BORDER : 4 + BORDER + SIZE, 4 + BORDER : 4 + BORDER + SIZE]
    np.testing.assert_array_equal(inside, frames.images(np.array([false]))["images/front"][0])


def test_a_single_stage_is_just_success(frames, tmp_path):
    of_one = dataclasses.replace(frames, stages=("success",), targets=frames.targets[:, :1])
    known = np.flatnonzero(np.isfinite(of_one.targets[:, 0]))
    held_out = HeldOut(known, np.where(of_one.targets[known] == 1, 0.9, 0.1), "episodes")
    report = make_report(info(of_one), of_one, held_out, 0.3)
    text = write_report(report, of_one, held_out, tmp_path / "ram.safetensors")[0].read_text()
    assert "| labelled | said success | frames |" in text and "| failure | 0 |" in text
