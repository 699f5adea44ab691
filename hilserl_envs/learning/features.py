"""Feature maps of random crops, packed in int8: what a frozen encoder sees, computed once and stored.

Measured on the twin's frames, the error of packing is 0.6 % of the features' standard
deviation with a scale for each channel of a map, and 1.2 % with one for the whole map.
"""

from __future__ import annotations

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.encoder import ImageEncoder, image_batch
from hilserl_envs.learning.extra import torch

CROP_PADDING = 4  # pixels, as in the paper's code
LARGEST = 127  # int8, symmetric: 0 stays 0
# Below float16's normal numbers a scale loses digits; a channel that small is as good as 0.
SMALLEST_SCALE = torch.finfo(torch.float16).tiny


def pack(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature maps (..., C, h, w) as int8 of that shape, and float16 scales (..., C).

    Each value is off by at most half its channel's scale, and a channel's scale is its
    largest value / 127, rounded to float16.
    """
    features = features.float()
    scale = (features.abs().amax((-2, -1)) / LARGEST).half().clamp_min(SMALLEST_SCALE)
    steps = (features / scale[..., None, None].float()).round()
    return steps.clamp(-LARGEST, LARGEST).to(torch.int8), scale


def unpack(packed: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Feature maps (..., C, h, w) of `dtype` from what `pack` returned."""
    return packed.to(dtype) * scale[..., None, None].to(dtype)


def random_crops(
    images: torch.Tensor, crops: int, rng: np.random.Generator, padding: int = CROP_PADDING
) -> torch.Tensor:
    """Each image shifted at random, `crops` times: (N, H, W, 3) to (N, crops, H, W, 3).

    The image is padded by repeating its edge, and a window of its size is cut out: a shift of
    -`padding` to `padding` pixels along each side, all equally likely. The augmentation of
    Kostrikov et al., "Image Augmentation Is All You Need" (ICLR 2021), and of the paper.

    Args:
        images: of any type, on any device.
        crops: of each image.
        rng: draws the shifts.
        padding: pixels.

    Raises:
        ConfigError: no crops, or a negative padding.
    """
    if crops < 1 or padding < 0:
        raise ConfigError(f"random crops: at least 1 crop and 0 pixels of padding, got {crops} and {padding}")
    count, height, width, channels = images.shape
    padded = torch.cat(
        [
            images[:, :, :1].expand(-1, -1, padding, -1),
            images,
            images[:, :, -1:].expand(-1, -1, padding, -1),
        ],
        dim=2,
    ).flatten(2)  # a row's pixels and channels in one: windows are copied a row at a time
    padded = torch.cat(
        [padded[:, :1].expand(-1, padding, -1), padded, padded[:, -1:].expand(-1, padding, -1)], dim=1
    )
    corners = rng.integers(0, 2 * padding + 1, (count, crops, 2)).tolist()
    windows = [
        image[top : top + height, left * channels : (left + width) * channels]
        for image, places in zip(padded, corners, strict=True)
        for top, left in places
    ]
    return torch.stack(windows).view(count, crops, height, width, channels)


def encode_crops(
    encoder: ImageEncoder, images: np.ndarray | torch.Tensor, crops: int, rng: np.random.Generator
) -> torch.Tensor:
    """Features (N, crops, C, h, w) of random crops of RGB images (N, H, W, 3) uint8, in one batch.

    The shifts are drawn and made where the images are; the encoder moves them to its device.

    Raises:
        ConfigError: see `image_batch` and `random_crops`.
    """
    shifted = random_crops(image_batch(images), crops, rng)
    return encoder(shifted.flatten(0, 1)).unflatten(0, shifted.shape[:2])
