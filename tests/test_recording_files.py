"""Whatever is torn off a store's files, the rest is read, and recording goes on."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.errors import RecordingError
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.recording.files import EPISODES, META, STEPS

SCHEMA = Schema({"state/x": Leaf((2,))}, {"images/eye": (2, 2, 3)}, Leaf((1,)))
BLOB = "images/eye.bin"


def observe(number: int) -> dict:
    image = np.random.default_rng(number).integers(0, 256, (2, 2, 3), np.uint8)
    return {"state": {"x": np.array([number, -number], np.float32)}, "images": {"eye": image}}


def append(writer: EpisodeWriter, steps: int, ended: bool = True) -> None:
    writer.begin(observe(0), seed=steps)
    for step in range(1, steps + 1):
        writer.step(observe(step), np.array([step]), 0.0, False, False)
    if ended:
        writer.end(kept=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two episodes that ended and one that did not, of 2, 3 and 2 steps."""
    folder = tmp_path_factory.mktemp("recorded") / "store"
    with EpisodeWriter(folder, SCHEMA, sync=False) as writer:
        append(writer, 2)
        append(writer, 3)
        append(writer, 2, ended=False)
    return folder


def check_and_go_on(folder, whole: int) -> None:
    """The first `whole` records are there and right, and another episode can follow."""
    store = EpisodeStore(folder)
    assert len(store.records) == whole and store.verify() == []
    for info in store.episodes:
        episode = store.episode(info.number)
        for step in range(info.steps + 1):
            expected = observe(step)
            np.testing.assert_array_equal(episode["state/x"][step], expected["state"]["x"])
            np.testing.assert_array_equal(episode["images/eye"][step], expected["images"]["eye"])
    with EpisodeWriter(folder, SCHEMA, sync=False) as writer:
        append(writer, 1)
    store = EpisodeStore(folder)
    assert len(store.records) == whole + 2 and store.verify() == []
    assert store.episodes[-1].kept and store.episodes[-1].steps == 1
    np.testing.assert_array_equal(store.episodes[-1].first, whole)


def test_steps_torn_at_every_byte(recorded, tmp_path):
    size = SCHEMA.record.itemsize
    total = (recorded / STEPS).stat().st_size
    assert total == 10 * size
    for cut in range(total - 2 * size, total + 1):
        folder = tmp_path / str(cut)
        shutil.copytree(recorded, folder)
        with open(folder / STEPS, "r+b") as file:
            file.truncate(cut)
        check_and_go_on(folder, cut // size)


def test_images_torn_at_every_byte(recorded, tmp_path):
    images = EpisodeStore(recorded).records["images"]["images/eye"]
    ends = (images["offset"] + images["length"]).tolist()
    for cut in range(ends[-3], ends[-1] + 1):
        folder = tmp_path / str(cut)
        shutil.copytree(recorded, folder)
        with open(folder / BLOB, "r+b") as file:
            file.truncate(cut)
        check_and_go_on(folder, sum(end <= cut for end in ends))


def test_lines_torn_at_every_byte(recorded, tmp_path):
    content = (recorded / EPISODES).read_bytes()
    *_, begin = content.splitlines(keepends=True)
    for cut in range(len(content) - len(begin), len(content) + 1):
        folder = tmp_path / str(cut)
        shutil.copytree(recorded, folder)
        (folder / EPISODES).write_bytes(content[:cut])
        store = EpisodeStore(folder)
        assert [info.steps for info in store.episodes][:2] == [2, 3]
        told = [] if cut == len(content) else ["3 records belong to no episode that episodes.jsonl tells of"]
        assert store.verify() == told
        with EpisodeWriter(folder, SCHEMA, sync=False) as writer:
            append(writer, 1)
        # Steps of an episode that no line speaks of are cut with its line, and put aside.
        lost = folder / "steps.bin.lost"
        assert (lost.stat().st_size if lost.exists() else 0) == len(told) * 3 * SCHEMA.record.itemsize
        steps = [2, 3, 2, 1] if cut == len(content) else [2, 3, 1]
        store = EpisodeStore(folder)
        assert [info.steps for info in store.episodes] == steps and store.verify() == []


def test_a_line_without_an_end_is_cut(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "store")
    with open(tmp_path / "store" / EPISODES, "ab") as file:
        file.write(b'{"event": "en')
    check_and_go_on(tmp_path / "store", 10)


def test_episodes_that_do_not_fit_the_lines_end_where_they_stop_to_fit(recorded, tmp_path):
    """A line is lost in the middle, or was copied before the records were."""
    shutil.copytree(recorded, tmp_path / "store")
    lines = (recorded / EPISODES).read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"episode": 1' not in line]
    (tmp_path / "store" / EPISODES).write_text("".join(kept))
    store = EpisodeStore(tmp_path / "store")
    assert [info.number for info in store.episodes] == [0, 2]
    for info in store.episodes:
        records = store.records[info.first : info.first + info.steps + 1]
        assert (records["episode"] == info.number).all()
    assert "belong to no episode" in store.verify()[0]


def test_an_end_that_is_ahead_of_the_records_is_not_believed_yet(recorded, tmp_path):
    """As a reader sees it whose writer went on between its two looks."""
    store = EpisodeStore(recorded)
    ended = store.episodes[1]
    store.records = store.records[: ended.first + 2]
    store.__dict__.pop("episodes", None)
    info = store.episodes[1]
    assert (info.steps, info.finished, info.kept) == (1, False, False)


@given(place=st.integers(0, 3 * SCHEMA.record.itemsize - 1), flip=st.integers(1, 255))
def test_a_wrong_byte_in_what_nobody_waited_for(recorded, tmp_path_factory, place, flip):
    """Such as a power failure leaves: the steps before it remain."""
    folder = tmp_path_factory.mktemp("flipped") / "store"
    shutil.copytree(recorded, folder)
    at = (recorded / STEPS).stat().st_size - 1 - place
    with open(folder / STEPS, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ flip]))
    check_and_go_on(folder, at // SCHEMA.record.itemsize)


def test_a_wrong_byte_in_an_image_nobody_waited_for(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "store")
    start = int(EpisodeStore(recorded).records["images"]["images/eye"]["offset"][8])
    with open(tmp_path / "store" / BLOB, "r+b") as file:
        file.seek(start)
        file.write(b"\0")
    assert EpisodeStore(tmp_path / "store").verify() == ["'images/eye' of record 8 is not as it was written"]
    with EpisodeWriter(tmp_path / "store", SCHEMA):
        pass
    assert len(EpisodeStore(tmp_path / "store").records) == 8


def test_a_store_that_lost_steps_of_an_episode_that_ended_is_left_alone(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "store")
    with open(tmp_path / "store" / STEPS, "r+b") as file:
        file.truncate(5 * SCHEMA.record.itemsize)  # into the second episode, which had ended
    outcomes = [(info.steps, info.finished) for info in EpisodeStore(tmp_path / "store").episodes]
    assert outcomes == [(2, True), (1, False)]
    with pytest.raises(RecordingError, match="lost its end: 5 records are left of 7"):
        EpisodeWriter(tmp_path / "store")
    assert (tmp_path / "store" / EPISODES).read_bytes() == (recorded / EPISODES).read_bytes()


@pytest.mark.parametrize("where", [1, -1])
def test_a_damaged_line_is_not_cut_but_told(recorded, tmp_path, where):
    shutil.copytree(recorded, tmp_path / "store")
    lines = (recorded / EPISODES).read_text().splitlines(keepends=True)
    lines[where] = "{" + lines[where]
    (tmp_path / "store" / EPISODES).write_text("".join(lines))
    for opened in (EpisodeStore, EpisodeWriter):
        with pytest.raises(RecordingError, match="is damaged.*mend or delete that line"):
            opened(tmp_path / "store")
    assert (tmp_path / "store" / STEPS).stat().st_size == (recorded / STEPS).stat().st_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no episodes"),
        ("{", "not the description"),
        ("[]", "not the description"),
        (json.dumps({"format": 1, "schema": {}}), "not the schema"),
        (json.dumps({"format": 99}), "has format 99, this version reads up to 1"),
    ],
)
def test_folders_that_are_no_store(tmp_path, content, message):
    if content is not None:
        (tmp_path / META).write_text(content)
    with pytest.raises(RecordingError, match=message):
        EpisodeStore(tmp_path)
    with pytest.raises(RecordingError, match="holds no episodes"):
        EpisodeStore(tmp_path / META)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RecordingError, match="thesis.tex.*a folder of its own"):
        EpisodeWriter(tmp_path, SCHEMA)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "lock"}
