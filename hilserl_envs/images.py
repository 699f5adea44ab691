"""Images as (height, width, 3) uint8 RGB arrays: cropping, fitting, tiling, saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hilserl_envs.errors import ConfigError

Crop = tuple[int, int, int, int]  # (top, left, height, width) [pixels]


def check_crop(crop: Sequence[int], size: tuple[int, int], what: str = "the crop") -> Crop:
    """A crop (top, left, height, width) that lies in images of (height, width) `size`.

    Raises:
        ConfigError: it does not; the message calls it `what`.
    """
    if len(crop) != 4:
        raise ConfigError(f"{what} is (top, left, height, width), got {tuple(crop)}")
    top, left, height, width = crop
    if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
        raise ConfigError(
            f"{what} (top, left, height, width) = {tuple(crop)} leaves the image, which is {size[0]} high "
            f"and {size[1]} wide"
        )
    return top, left, height, width


def cut(image: np.ndarray, crop: Crop) -> np.ndarray:
    """The part of `image` that a checked crop shows; a view, not a copy."""
    top, left, height, width = crop
    return image[top : top + height, left : left + width]


def fit_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` at (height, width) `size`; an image of that size is returned as it is."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Images of one size in rows, on white, `gap` pixels apart; rows may differ in length."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            sheet[top : top + height, left : left + width] = image
    return sheet


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG."""
    Image.fromarray(image).save(path, optimize=True)
