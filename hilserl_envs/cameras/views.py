"""`CameraView`: part of a camera's images, at a size of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilserl_envs.cameras.camera import Camera, Frame
from hilserl_envs.errors import ConfigError
from hilserl_envs.images import check_crop, cut, fit_image


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
        image = fit_image(cut(frame.image, self._crop), self.size)
        return Frame(np.array(image, order="C"), frame.time, frame.number)

    def error(self) -> str | None:
        return self._camera.error()

    def close(self) -> None:
        self._camera.close()


def middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest crop in the middle of images of (height, width) `size` that has the shape of `shape`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(scale * side)) for side in shape)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width
