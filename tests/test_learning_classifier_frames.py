"""Which frames are learned from, and that none of a held-out episode is."""

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.classifier_frames import BLOCK, read_frames
from hilserl_envs.recording import EpisodeStore
from tests.labelled_stores import HOME, SIZE, STEPS, TASK, write_labels


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_labels(tmp_path_factory.mktemp("labels") / "store")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return write_labels(tmp_path_factory.mktemp("labels") / "other", seed=1)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Two episodes."""
    return write_labels(tmp_path_factory.mktemp("labels") / "short", episodes=2)


def kinds(frames) -> np.ndarray:
    return np.concatenate([frames.targets == 1, frames.targets == 0], axis=1)


def test_labelled_frames_with_their_images(store):
    frames = read_frames(TASK, {"success": [store]})
    assert frames.stages == ("success",) and frames.cameras == {"images/front": (SIZE, SIZE, 3)}
    assert (frames.targets == 1).sum() == 10 * (STEPS - HOME) and (frames.targets == 0).sum() == 10 * HOME
    rows = np.array([len(frames) - 1, 0, 5])
    images = frames.images(rows)["images/front"]
    np.testing.assert_array_equal(images, EpisodeStore(store).take("images/front", frames.records[rows]))
    at_home = frames.images(np.arange(len(frames)))["images/front"][:, SIZE // 2 + 4, SIZE - 12, 0] == 250
    np.testing.assert_array_equal(at_home, frames.targets[:, 0] == 1)


def test_several_stores_are_one(store, other):
    frames = read_frames(TASK, {"success": [store, other]})
    assert len(frames) == 2 * 10 * STEPS and set(frames.sources) == {0, 1}
    rows = np.array([len(frames) - 1, 0])  # one of each
    first, second = (EpisodeStore(folder) for folder in (store, other))
    images = frames.images(rows)["images/front"]
    np.testing.assert_array_equal(images[0], second.take("images/front", frames.records[rows[:1]])[0])
    np.testing.assert_array_equal(images[1], first.take("images/front", frames.records[rows[1:]])[0])


def test_labels_of_a_stage_say_nothing_of_others(store, other):
    frames = read_frames(TASK, {"grasped": [store], "placed": [other]})
    of_first = frames.sources == 0
    assert np.isfinite(frames.targets[of_first, 0]).all() and np.isnan(frames.targets[of_first, 1]).all()
    assert np.isnan(frames.targets[~of_first, 0]).all() and np.isfinite(frames.targets[~of_first, 1]).all()


def test_a_success_of_an_exclusive_stage_is_a_failure_of_the_others(store, other):
    frames = read_frames(TASK, {"grasped": [store], "placed": [other]}, exclusive=True)
    reached = frames.targets == 1
    np.testing.assert_array_equal(frames.targets[reached[:, 0], 1], 0)
    np.testing.assert_array_equal(frames.targets[reached[:, 1], 0], 0)
    assert np.isnan(frames.targets).sum() == 2 * 10 * HOME  # a failure of one says nothing of the other


@pytest.mark.parametrize("last", [1, 3])
def test_the_last_frames_of_a_demonstration_show_success(last, tmp_path):
    demos = write_labels(tmp_path, episodes=15, label=False, keep_failures=True)
    frames = read_frames(TASK, {"success": []}, [demos], last=last)
    steps, reached = frames.moments()[:, 2], frames.targets[:, 0] == 1
    assert reached.sum() == 10 * last and (~reached).sum() == 10 * (HOME + 1 - last) + 5 * HOME
    assert (steps[reached] > HOME - last).all()
    assert np.unique(frames.moments(), axis=0).shape == (len(frames), 3)


@pytest.mark.parametrize("seed", range(5))
def test_whole_episodes_are_held_out(store, other, seed):
    frames = read_frames(TASK, {"success": [store, other]})
    held_out, split_by = frames.hold_out(0.2, np.random.default_rng(seed))
    assert split_by == "episodes"
    episodes = [tuple(moment) for moment in frames.moments()[:, :2].tolist()]
    inside = {episode for episode, out in zip(episodes, held_out, strict=True) if out}
    assert all((episode in inside) == out for episode, out in zip(episodes, held_out, strict=True))
    shares = kinds(frames)[held_out].sum(axis=0) / kinds(frames).sum(axis=0)
    assert (shares >= 0.1).all() and (shares <= 0.4).all()


def test_with_too_few_episodes_whole_seconds_are(short):
    frames = read_frames(TASK, {"success": [short]})
    held_out, split_by = frames.hold_out(0.2, np.random.default_rng(0))
    assert split_by == "blocks"
    moments = frames.moments()
    blocks = np.column_stack([moments[:, :2], moments[:, 2] // BLOCK])
    for block in np.unique(blocks, axis=0):
        assert len(set(held_out[(blocks == block).all(axis=1)])) == 1
    assert kinds(frames)[held_out].any(axis=0).all() and kinds(frames)[~held_out].any(axis=0).all()


def test_of_a_few_seconds_nothing_can_be_held_out(short):
    frames = read_frames(TASK, {"success": [short]})
    with pytest.raises(ConfigError, match="too few seconds"):
        frames.hold_out(0.02, np.random.default_rng(0))


def test_the_generator_decides_on_what_is_held_out(store):
    frames = read_frames(TASK, {"success": [store]})
    one, same, another = (frames.hold_out(0.2, np.random.default_rng(seed))[0] for seed in (0, 0, 3))
    np.testing.assert_array_equal(one, same)
    assert (one != another).any()


def test_cameras_to_look_at_can_be_chosen(tmp_path, store):
    two = write_labels(tmp_path, cameras={"front": SIZE, "side": 32})
    assert list(read_frames(TASK, {"success": [two]}).cameras) == ["images/front", "images/side"]
    side = read_frames(TASK, {"success": [two]}, cameras=["side"])
    assert side.cameras == {"images/side": (32, 32, 3)}
    assert side.images(np.array([0]))["images/side"].shape == (1, 32, 32, 3)
    front = read_frames(TASK, {"success": [store, two]}, cameras=["images/front"])
    assert list(front.cameras) == ["images/front"]
    with pytest.raises(ConfigError, match="'images/side' is absent in .*--cameras"):
        read_frames(TASK, {"success": [store, two]})
    with pytest.raises(ConfigError, match="did you mean 'front'"):
        read_frames(TASK, {"success": [store]}, cameras=["frnt"])


def test_stores_cropped_in_different_ways_are_not_mixed(tmp_path, store):
    wrapper = {
        "name": "CropImages",
        "kwargs": {"crops": {"front": [0, 0, 9, 9]}, "size": None},
        "converts": True,
    }
    cropped = write_labels(tmp_path, wrappers=[wrapper])
    assert read_frames(TASK, {"success": [cropped]}).crops == [wrapper["kwargs"]]
    with pytest.raises(ConfigError, match="cropped by"):
        read_frames(TASK, {"success": [store, cropped]})


def test_what_cannot_be_learned_from_is_refused(store, short, tmp_path):
    few = write_labels(tmp_path / "few", episodes=1)
    foreign = write_labels(tmp_path / "foreign", env_id="hilserl/PickCube-v0")
    demos = write_labels(tmp_path / "demos", label=False)
    blind = write_labels(tmp_path / "blind", cameras={})
    for labels, options, message in (
        ({"success": []}, {}, "no frames to learn from"),
        ({"success": [store, store]}, {}, "named twice"),
        ({"success": [store]}, {"demos": [store]}, "named twice"),
        ({"success": [foreign]}, {}, "is of hilserl/PickCube-v0, not of"),
        ({"success": [demos]}, {}, "hilserl label"),
        ({"success": [few]}, {}, "'success' has 8 frames of success and 16 of failure"),
        ({"success": [blind]}, {}, "holds no images"),
        ({"grasped": [store], "placed": [short]}, {"demos": [demos]}, "tell of one stage"),
        ({"grasped": [store], "placed": []}, {}, "'placed' has 0 frames of success"),
        ({"success": []}, {"demos": [demos], "last": 0}, "last=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_frames(TASK, labels, **options)
