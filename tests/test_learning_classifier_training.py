"""A classifier learns what can be seen, of each stage by itself, and the same from the same seed."""

import numpy as np
import pytest
import torch

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import Packed
from hilserl_envs.learning.classifier_frames import read_frames
from hilserl_envs.learning.classifier_training import TrainingSettings, augment, fit, train_classifier
from tests.labelled_stores import TASK, write_labels

FAST = TrainingSettings(steps=30, crops=1, batch_size=64, learning_rate=1e-3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return read_frames(TASK, {"success": [write_labels(tmp_path_factory.mktemp("labels"))]})


def test_what_can_be_seen_is_learned(frames):
    told = []
    classifier, held_out = train_classifier(frames, FAST, tell=told.append)
    assert held_out.split_by == "episodes" and sum(told) == len(frames)
    reached = frames.targets[held_out.rows, 0] == 1
    above = held_out.probabilities[:, 0] > classifier.thresholds[0]
    assert (above == reached).mean() > 0.97
    image = frames.images(held_out.rows[:1])["images/front"][0]
    answer = classifier({"images": {"front": image}})
    np.testing.assert_allclose(answer, held_out.probabilities[0], atol=1e-3)
    assert classifier.info.task == TASK and classifier.info.stages == ("success",)


def test_the_seed_decides(frames):
    settings = TrainingSettings(steps=3, crops=1, batch_size=16)
    one, same, other = (train_classifier(frames, settings, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[1].rows, same[1].rows)
    np.testing.assert_array_equal(one[1].probabilities, same[1].probabilities)
    for first, second in zip(one[0].network.parameters(), same[0].network.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not np.array_equal(one[1].rows, other[1].rows)


def toy(count: int) -> tuple[dict[str, Packed], np.ndarray]:
    """Features in which the first channel tells of one stage and the second of another."""
    signs = np.random.default_rng(0).choice([-1, 1], (count, 2))
    values = torch.zeros(count, 4, 2, 2, dtype=torch.int8)
    values[:, :2] = torch.as_tensor(100 * signs)[:, :, None, None].to(torch.int8)
    return {"images/front": Packed(values, torch.full((count, 4), 0.01))}, (signs > 0).astype(np.float32)


def test_each_stage_learns_from_its_own_labels():
    features, truth = toy(200)
    targets = truth.copy()
    targets[:100, 1] = targets[100:, 0] = np.nan  # half of the frames tell of either
    network = fit(features, {"images/front": (4, 2, 2)}, targets, FAST, seed=0)
    said = network(features).numpy() > 0
    np.testing.assert_array_equal(said, truth == 1)


def test_copies_of_a_frame_have_its_label():
    features, truth = toy(50)
    tripled = {
        key: Packed(*(part.repeat_interleave(3, dim=0) for part in maps)) for key, maps in features.items()
    }
    network = fit(tripled, {"images/front": (4, 2, 2)}, truth, FAST, seed=0)
    np.testing.assert_array_equal(network(features).numpy() > 0, truth == 1)


def test_a_loss_that_is_not_finite_stops_it():
    features, truth = toy(50)
    features["images/front"].scale[:] = np.nan
    with pytest.raises(LearningError, match="step 1 .* the loss is nan"):
        fit(features, {"images/front": (4, 2, 2)}, truth, FAST, seed=0)


def test_a_frame_and_its_copies():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 50, 3), np.uint8)
    copies = augment(images, TrainingSettings(crops=2, noise=2.0, brightness=0.1), rng)
    assert copies.shape == (9, 40, 50, 3) and copies.dtype == np.uint8
    np.testing.assert_array_equal(copies[::3], images)
    assert all((copies[i] != images[i // 3]).mean() > 0.5 for i in (1, 2, 4, 5, 7, 8))


@pytest.mark.parametrize(("noise", "brightness"), [(4.0, 0.0), (0.0, 0.2)])
def test_noise_and_brightness_are_as_strong_as_asked(noise, brightness):
    grey = np.full((20, 32, 32, 3), 100, np.uint8)
    settings = TrainingSettings(crops=5, noise=noise, brightness=brightness)
    copies = augment(grey, settings, np.random.default_rng(0)).reshape(20, 6, -1)[:, 1:].astype(float)
    deviations, means = copies.std(axis=-1), copies.mean(axis=-1)
    # Rounding to whole grey levels adds a deviation of about 0.3.
    assert 0.8 * noise <= deviations.max() < max(1.1 * noise, 0.5)
    assert np.abs(means - 100).max() == pytest.approx(100 * brightness, abs=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps = 0 is outside"),
        ({"steps": 1.5}, "whole number, got 1.5"),
        ({"crops": 0}, "crops = 0 is outside"),
        ({"held_out": 0.9}, "held_out = 0.9 is outside"),
        ({"false_positive_rate": -1}, "is outside"),
        ({"noice": 1}, "did you mean 'noise'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainingSettings(**settings)


def test_an_encoder_that_is_not_there(frames):
    with pytest.raises(ConfigError, match="unknown image encoder"):
        train_classifier(frames, FAST, encoder="resnet11")
