"""`CameraView`: part of a camera's images, at a size of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilserl_envs.cameras.camera import Camera, Frame
from hilserl_envs.errors import ConfigError
from hilserl_envs.images import fit_image


class CameraView:
    """A `Camera` that shows part of another one's images, resized. Several may share one camera.

    `error` is the camera's. `close` closes the camera, and so all its views.

    Args:
        camera: whose images.
        size: (height, width) of the view's images.
        crop: (top, left, height, width) [pixels] of the part; None is the largest one in
            the middle that has the shape of `size`, so that nothing is distorted.

    Raises:
        ConfigError: a size below 1 pixel, or a crop that leaves the image.
    """

    def __init__(self, camera: Camera, size: tuple[int, int] = (128, 128), crop: Sequence[int] | None = None):
        if min(size) < 1:
            raise ConfigError(f"the size of a view is (height, width) of at least 1 pixel, got {size}")
        self._camera, self.size = camera, (int(size[0]), int(size[1]))
        self._crop = middle(camera.size, self.size) if crop is None else check_crop(crop, camera.size)

    def frame(self) -> Frame:
        frame = self._camera.frame()
        top, left, height, width = self._crop
        image = fit_image(frame.image[top : top + height, left : left + width], self.size)
        return Frame(np.array(image, order="C"), frame.time, frame.number)

    def error(self) -> str | None:
        return self._camera.error()

    def close(self) -> None:
        self._camera.close()


def check_crop(crop: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A crop (top, left, height, width) that lies in images of (height, width) `size`.

    Raises:
        ConfigError: it does not.
    """
    if len(crop) != 4:
        raise ConfigError(f"a crop is (top, left, height, width), got {tuple(crop)}")
    top, left, height, width = crop
    if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
        raise ConfigError(
            f"the crop (top, left, height, width) = {tuple(crop)} leaves the image, which is {size[0]} high "
            f"and {size[1]} wide"
        )
    return top, left, height, width


def middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest crop in the middle of images of (height, width) `size` that has the shape of `shape`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(scale * side)) for side in shape)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width
