"""Reading by key: whole episodes, any transitions, also while somebody records."""

import doctest
import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.recording import store as store_module
from hilserl_envs.recording.episode import is_kept
from tests.recorder_process import RecorderProcess

LENGTHS = (3, 0, 2, 4)  # steps; the third is not kept, the last does not end


def schema(image_format: str = "png") -> Schema:
    return Schema(
        {"state": Leaf((3,)), "done": Leaf((), "bool")},
        {"images/eye": (6, 8, 3)},
        Leaf((2,)),
        {"label": Leaf((), "int8"), "force": Leaf((3,))},
        {"state/a": ("state", 0, 1), "state/bc": ("state", 1, 3)},
        image_format,
    )


def observe(episode: int, step: int) -> dict:
    image = np.random.default_rng([episode, step]).integers(0, 256, (6, 8, 3), np.uint8)
    return {
        "state": np.array([episode, step, 0.5], np.float32),
        "done": step == 0,
        "images": {"eye": image},
    }


def record(folder, image_format: str = "png") -> None:
    with EpisodeWriter(folder, schema(image_format), {"fps": 10}, sync=False) as writer:
        for episode, steps in enumerate(LENGTHS):
            writer.begin(observe(episode, 0), seed=10 + episode)
            for step in range(1, steps + 1):
                writer.step(
                    observe(episode, step),
                    np.array([episode, step]),
                    0.5 * step,
                    terminated=step == steps,
                    truncated=False,
                    success=step == steps,
                    intervened=step == 1,
                    extras={"label": step, "force": np.full(3, step)},
                )
            if episode < 3:
                writer.end(kept=episode != 2, why="discarded" if episode == 2 else "")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    record(folder)
    return EpisodeStore(folder)


def test_figures(store):
    assert [e.number for e in store.episodes] == [0, 1, 2, 3]
    assert [e.steps for e in store.episodes] == list(LENGTHS)
    assert [e.seed for e in store.episodes] == [10, 11, 12, 13]
    assert [e.kept for e in store.episodes] == [True, True, False, False]
    assert [e.finished for e in store.episodes] == [True, True, True, False]
    assert [e.success for e in store.episodes] == [True, False, True, True]
    assert [e.interventions for e in store.episodes] == [1, 0, 1, 1]
    assert [e.total_reward for e in store.episodes] == [3.0, 0.0, 1.5, 5.0]
    assert [e.outcome for e in store.episodes] == ["success", "stopped", "success", ""]
    assert store.episodes[2].why == "discarded"
    assert abs(store.episodes[0].began - time.time()) < 60
    assert len(store) == 2 and [episode.info.number for episode in store] == [0, 1]
    assert store.nbytes == sum(p.stat().st_size for p in store.folder.rglob("*.*"))


def test_an_episode_by_key(store):
    episode = store.episode(3)
    assert len(episode) == 4 and episode.keys == store.keys
    assert store.keys == ("state", "done", "state/a", "state/bc", "images/eye")
    np.testing.assert_array_equal(episode["state"][:, 1], np.arange(5))
    np.testing.assert_array_equal(episode["state/bc"], episode["state"][:, 1:])
    assert episode["done"].dtype == bool and episode["done"].tolist() == [True] + [False] * 4
    for step, image in enumerate(episode["images/eye"]):
        np.testing.assert_array_equal(image, observe(3, step)["images"]["eye"])
    np.testing.assert_array_equal(episode.actions, [[3, step] for step in range(1, 5)])
    np.testing.assert_array_equal(episode.rewards, [0.5, 1, 1.5, 2])
    assert episode.actions.dtype == episode.rewards.dtype == np.float32
    assert episode.terminated.tolist() == episode.success.tolist() == [False, False, False, True]
    assert episode.intervened.tolist() == [True, False, False, False] and not episode.truncated.any()
    np.testing.assert_array_equal(episode.extras["label"], [1, 2, 3, 4])
    assert episode.extras["force"].shape == (4, 3)
    assert episode.times.shape == (5,) and (np.diff(episode.times) >= 0).all()


def test_what_is_handed_out_is_the_callers(store):
    for values in (store.episode(0).actions, store.episode(0)["state"], store.take("state", [1])):
        values[:] = 99
    assert store.episode(0).actions.max() < 99 and store.episode(0)["state"].max() < 99


@given(st.lists(st.integers(0, sum(LENGTHS) + len(LENGTHS) - 1), max_size=20))
def test_records_in_any_order(store, records):
    states = store.take("state", records)
    images = store.take("images/eye", records)
    assert states.shape == (len(records), 3) and images.shape == (len(records), 6, 8, 3)
    for (episode, step, _), image in zip(states, images, strict=True):
        np.testing.assert_array_equal(image, observe(int(episode), int(step))["images"]["eye"])


@pytest.mark.parametrize("image_format", ["raw", "jpeg"])
def test_other_image_formats(tmp_path, store, image_format):
    record(tmp_path, image_format)
    other = EpisodeStore(tmp_path)
    assert other.verify() == []
    given, expected = other.take("images/eye", [5, 0, 5]), store.take("images/eye", [5, 0, 5])
    if image_format == "raw":
        np.testing.assert_array_equal(given, expected)
        given[:] = 0  # a copy of its own
        np.testing.assert_array_equal(other.take("images/eye", [5, 0, 5]), expected)
    else:
        assert np.abs(given.astype(int) - expected).mean() < 12  # pure noise, which JPEG cannot hold


@pytest.mark.parametrize(
    ("which", "count"),
    [(is_kept, 3), (lambda info: True, sum(LENGTHS)), (lambda info: not info.finished, 4)],
)
def test_no_transition_crosses_the_end_of_an_episode(store, which, count):
    records = store.transitions(which)
    assert len(records) == count
    batch = store.batch(records)
    before, after = batch.observations["state"], batch.next_observations["state"]
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    np.testing.assert_array_equal(before[:, 1] + 1, after[:, 1])
    np.testing.assert_array_equal(batch.actions, after[:, :2])
    np.testing.assert_array_equal(batch.rewards, 0.5 * after[:, 1])
    np.testing.assert_array_equal(batch.extras["label"], after[:, 1])
    assert len(batch) == len(records) and batch.observations["images/eye"].shape[1:] == (6, 8, 3)


def test_frames_are_all_observations(store):
    assert len(store.frames()) == 4 + 1
    np.testing.assert_array_equal(store.take("state/a", store.frames())[:, 0], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(store.take("label", store.frames()), [0, 1, 2, 3, 0])
    assert len(store.frames(lambda info: False)) == len(store.transitions(lambda info: False)) == 0


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.batch([3]), r"no step follows the records \[3\]"),
        (lambda s: s.batch([len(s.records) - 1]), "records go from 0"),
        (lambda s: s.take("state", [-1]), "records go from 0 to 12, got -1"),
        (lambda s: s.take("images/eyes", [0]), "did you mean 'images/eye'"),
        (lambda s: s.episode(0)["label"], "unknown key of the observation 'label'"),
        (lambda s: s.episode(4), "no episode 4 .* there are 4, 0 to 3"),
    ],
)
def test_mistakes_are_explained(store, act, message):
    with pytest.raises(ConfigError, match=message):
        act(store)


def test_only_the_keys_that_are_asked_for(store):
    batch = store.batch(store.transitions(), ["state/bc"])
    assert list(batch.observations) == list(batch.next_observations) == ["state/bc"]
    np.testing.assert_array_equal(batch.next_observations["state/bc"][:, 0], [1, 2, 3])


def test_example():
    assert doctest.testmod(store_module).failed == 0


def test_nothing_recorded_yet(tmp_path):
    EpisodeWriter(tmp_path, schema()).close()
    store = EpisodeStore(tmp_path)
    assert len(store) == 0 and list(store) == [] and store.verify() == []
    assert store.transitions().shape == (0,)
    with pytest.raises(ConfigError, match="there are 0"):
        store.episode(0)


def test_damage_is_found(tmp_path):
    record(tmp_path)
    with open(tmp_path / "images" / "eye.bin", "r+b") as file:
        file.seek(60)
        file.write(b"\0\0\0\0")
    with open(tmp_path / "steps.bin", "r+b") as file:
        file.seek(-30, os.SEEK_END)
        file.write(b"\xff")
    store = EpisodeStore(tmp_path)
    assert len(store.records) == 12  # the last one nobody waited for
    assert store.verify() == ["'images/eye' of record 0 is not as it was written"]
    with pytest.raises(RecordingError, match="an image of 'images/eye'.*is damaged"):
        store.take("images/eye", [0])


def test_a_reader_follows_its_writer(tmp_path):
    with EpisodeWriter(tmp_path, schema(), sync=False) as writer:
        store = EpisodeStore(tmp_path)
        assert store.refresh() == 0
        writer.begin(observe(0, 0))
        assert store.refresh() == 1 and len(store.transitions(lambda info: True)) == 0
        kept = None
        for step in range(1, 4):
            writer.step(observe(0, step), np.zeros(2), 1.0, False, False)
            assert store.refresh() == 1
            assert store.episodes[0].steps == step and not store.episodes[0].finished
            (last,) = store.take("images/eye", [step])
            np.testing.assert_array_equal(last, observe(0, step)["images"]["eye"])
            kept = store.episode(0) if kept is None else kept
        assert len(store) == 0
        writer.end(kept=True)
        assert store.refresh() == 0 and len(store) == 1 and store.episodes[0].finished
        writer.mark(0, kept=False, why="no good")
        store.refresh()
        assert len(store) == 0 and store.episodes[0].why == "no good"
    assert len(kept) == 1 and kept["state"].shape == (2, 3)  # as it was when it was handed out


def test_what_has_not_ended_can_be_taken_back_and_that_alone(tmp_path):
    """Its process died, or it goes on: nobody can keep it, and whoever makes it again takes it back."""
    record(tmp_path)
    with EpisodeWriter(tmp_path, sync=False) as writer:
        writer.mark(3, kept=True, why="good")
        store = EpisodeStore(tmp_path)
        assert (store.episodes[3].kept, store.episodes[3].why, store.episodes[3].finished) == (
            False,
            "",
            False,
        )
        writer.mark(3, kept=False, why="made again")
        assert store.refresh() == 0
        assert (store.episodes[3].kept, store.episodes[3].why, store.episodes[3].finished) == (
            False, "made again", False,
        )  # fmt: skip
    assert store.verify() == [] and len(store) == 2


def test_changes_are_counted(tmp_path):
    with EpisodeWriter(tmp_path, schema(), sync=False) as writer:
        store = EpisodeStore(tmp_path)
        seen = [store.changes]
        for do in (
            lambda: writer.begin(observe(0, 0)),
            lambda: writer.step(observe(0, 1), np.zeros(2), 1.0, True, False),
            lambda: writer.end(kept=True),
            lambda: writer.mark(0, kept=False),
        ):
            do()
            store.refresh()
            seen.append(store.changes)
            store.refresh()  # nothing new
            assert store.changes == seen[-1]
        assert seen == sorted(set(seen)) and not store.episodes[0].kept


def test_reading_beside_a_process_that_records(tmp_path):
    with RecorderProcess() as recorder:
        recorder.start(tmp_path, 1)
        recorder.wait_for_a_step()
        store, over = EpisodeStore(tmp_path), time.monotonic() + 0.5
        began = len(store.records)
        while time.monotonic() < over:
            store.refresh()
            records = store.transitions(lambda info: True)[-20:]
            batch = store.batch(records)
            np.testing.assert_array_equal(store.records["episode"][records], batch.actions[:, 0])
            np.testing.assert_array_equal(store.records["step"][records] + 1, batch.actions[:, 1])
            assert sum(info.steps + 1 for info in store.episodes) == len(store.records)
            time.sleep(0.002)
        recorder.kill()
    assert len(store.records) > began + 50 and store.verify() == []
