"""Crops drawn when they are needed: windows of the padded image, from the generator alone."""

import numpy as np
import pytest
import torch

from hilserl_envs.learning import features
from hilserl_envs.learning.batch import Observations
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.features import CROP_PADDING
from hilserl_envs.learning.fresh_crops import FreshCrops, random_shifts
from tests.one_thread import one_thread  # noqa: F401


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def gradients(count: int, height: int = 32, width: int = 40) -> torch.Tensor:
    """Images in which every pixel says where it is, and of which image."""
    number, row, column = torch.meshgrid(*map(torch.arange, (count, height, width)), indexing="ij")
    return torch.stack([row, column, number], dim=-1).to(torch.uint8)


def shifts(crops: torch.Tensor) -> np.ndarray:
    """By how much each crop (N, 2) of `gradients` is moved."""
    _, height, width, _ = crops.shape
    return crops[:, height // 2, width // 2, :2].numpy().astype(int) - [height // 2, width // 2]


def test_crops_are_windows_of_the_padded_image():
    images, pad = gradients(50), CROP_PADDING
    crops = random_shifts(images, seeded())
    assert crops.shape == images.shape and crops.dtype == torch.uint8
    padded = np.pad(images.numpy(), ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    for crop, image, (down, right) in zip(crops, padded, shifts(crops) + pad, strict=True):
        np.testing.assert_array_equal(crop, image[down : down + 32, right : right + 40])


def test_all_shifts_are_equally_likely():
    moved = shifts(random_shifts(gradients(1).expand(9 * 9 * 100, -1, -1, -1), seeded()))
    assert moved.min() == -CROP_PADDING and moved.max() == CROP_PADDING
    _, counts = np.unique(moved @ [9, 1], return_counts=True)
    assert len(counts) == 81 and counts.min() > 60 and counts.max() < 140


def test_without_padding_nothing_moves():
    assert torch.equal(random_shifts(gradients(3), seeded(), padding=0), gradients(3))


def test_the_generator_decides():
    one, same, other = (random_shifts(gradients(4), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_gpu_would_shift_them_the_same_way(monkeypatch):
    images = gradients(60)
    copied = random_shifts(images, seeded())
    monkeypatch.setattr(features, "_copied", features._gathered)
    assert torch.equal(random_shifts(images, seeded()), copied)


def observations() -> Observations:
    return Observations(torch.ones(3, 2), {"images/left": gradients(3), "images/right": gradients(3, 48, 32)})


def test_who_takes_images_is_given_crops_each_cameras_its_own():
    seen = FreshCrops(None)(observations(), seeded())
    generator = seeded()
    for key, image in observations().images.items():
        assert torch.equal(seen.images[key], random_shifts(image, generator))
    assert torch.equal(seen.state, observations().state)


def test_who_takes_features_is_given_those_of_the_crops():
    encoder, generator = make_encoder(), seeded()
    seen = FreshCrops(encoder)(observations(), seeded())
    for key, image in observations().images.items():
        expected = encoder(random_shifts(image, generator))
        assert torch.equal(seen.images[key].values * seen.images[key].scale[..., None, None], expected)


def test_images_of_before_stay_as_they_are():
    given = observations()
    FreshCrops(None)(given, seeded())
    assert torch.equal(given.images["images/left"], gradients(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_they_are_windows_too():
    images, pad = gradients(20), CROP_PADDING
    crops = random_shifts(images.cuda(), seeded(0, "cuda"))
    assert crops.device.type == "cuda"
    padded = np.pad(images.numpy(), ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    for crop, image, (down, right) in zip(crops.cpu(), padded, shifts(crops.cpu()) + pad, strict=True):
        np.testing.assert_array_equal(crop, image[down : down + 32, right : right + 40])
    seen = FreshCrops(make_encoder(device="cuda"))(
        Observations(torch.ones(20, 2).cuda(), {"images/left": images.cuda()}), seeded(0, "cuda")
    )
    assert seen.images["images/left"].values.device.type == "cuda"
