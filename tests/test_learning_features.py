"""Packing loses little; crops are windows of the padded image, drawn from the given generator."""

import numpy as np
import pytest
import torch

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.features import encode_crops, pack, random_crops, unpack


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def gradients(count: int, height: int, width: int) -> torch.Tensor:
    """Images in which every pixel says where it is."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([rows, columns, torch.zeros_like(rows)], dim=-1)
    return (image + torch.arange(count).view(-1, 1, 1, 1) * torch.tensor([0, 0, 1])).to(torch.uint8)


@pytest.mark.parametrize("shape", [(112, 8, 8), (3, 112, 8, 8), (2, 4, 5, 3, 7)])
def test_packed_within_half_a_step(shape):
    features = random(*shape) * torch.logspace(-2, 2, shape[-3]).view(-1, 1, 1)  # channels differ in size
    packed, scale = pack(features)
    assert packed.shape == shape and packed.dtype == torch.int8
    assert scale.shape == shape[:-2] and scale.dtype == torch.float16
    step = features.abs().amax((-2, -1), keepdim=True) / 127
    assert ((unpack(packed, scale) - features).abs() <= 0.54 * step).all()  # the scale is rounded too


def test_packing_again_changes_nothing():
    packed, scale = pack(random(2, 16, 8, 8))
    again, same = pack(unpack(packed, scale))
    assert torch.equal(packed, again) and torch.equal(scale, same)


def test_zeros_stay_zeros():
    features = random(4, 8, 8)
    features[1], features[2] = 0, 1e-9
    unpacked = unpack(*pack(features))
    assert (unpacked[1:3] == 0).all() and torch.isfinite(unpacked).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unpacked_in_the_type_of_the_heads(dtype):
    features = random(2, 16, 8, 8)
    unpacked = unpack(*pack(features.to(dtype)), dtype)
    assert unpacked.dtype == dtype
    assert (unpacked.float() - features).std() < 0.012 * features.std()


def test_packing_of_real_features_loses_under_one_percent():
    rows, columns = np.mgrid[:128, :128]
    smooth = np.stack([rows, columns, 255 - rows], axis=2)  # a smooth scene with a box in it
    images = np.stack([smooth, smooth[::-1], smooth[:, ::-1]]).astype(np.uint8)
    images[:, 40:80, 50:90] = 200, 30, 30
    features = make_encoder()(images)
    assert (unpack(*pack(features)) - features).std() < 0.01 * features.std()


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crops_are_windows_of_the_padded_image(padding):
    images, crops = (
        gradients(3, 32, 40),
        random_crops(gradients(3, 32, 40), 20, np.random.default_rng(0), padding),
    )
    assert crops.shape == (3, 20, 32, 40, 3) and crops.dtype == torch.uint8
    padded = np.pad(images.numpy(), ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge")
    for n, k in np.ndindex(3, 20):
        top, left = crops[n, k, 16, 20, :2].tolist()  # where the middle comes from
        top, left = top - 16 + padding, left - 20 + padding
        np.testing.assert_array_equal(crops[n, k], padded[n, top : top + 32, left : left + 40])


def test_all_shifts_are_equally_likely():
    crops = random_crops(gradients(1, 32, 32), 9 * 9 * 100, np.random.default_rng(0))[0]
    middles = crops[:, 16, 16, :2].numpy().astype(int) - 16
    assert middles.min() == -4 and middles.max() == 4
    _, counts = np.unique(middles @ [9, 1], return_counts=True)
    assert len(counts) == 81 and counts.min() > 60 and counts.max() < 140


def test_the_generator_decides():
    images = gradients(2, 32, 32)
    one, same, other = (random_crops(images, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("as_array", [True, False])
def test_features_of_crops(as_array):
    encoder, images = make_encoder(), gradients(3, 48, 32) * 5
    features = encode_crops(encoder, images.numpy() if as_array else images, 2, np.random.default_rng(0))
    assert features.shape == (3, 2, *encoder.feature_shape(48, 32))
    crops = random_crops(images, 2, np.random.default_rng(0))
    torch.testing.assert_close(features[2], encoder(crops[2]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("crops", "padding"), [(0, 4), (1, -1)])
def test_wrong_settings(crops, padding):
    with pytest.raises(ConfigError, match=f"got {crops} and {padding}"):
        random_crops(gradients(1, 32, 32), crops, np.random.default_rng(0), padding)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_on_a_gpu():
    images = gradients(2, 32, 32)
    crops = random_crops(images.cuda(), 3, np.random.default_rng(0))
    assert torch.equal(crops.cpu(), random_crops(images, 3, np.random.default_rng(0)))
    features = random(2, 16, 8, 8)
    packed, scale = pack(features.cuda())
    torch.testing.assert_close(unpack(packed, scale).cpu(), unpack(*pack(features)), rtol=0, atol=0.05)
