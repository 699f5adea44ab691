"""Images as (height, width, 3) uint8 RGB arrays: fitting, tiling, saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


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
