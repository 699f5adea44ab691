"""`CropImages`: look at part of an image, resized."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.images import check_crop, cut, fit_image


class CropImages(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Crop some cameras' images and resize all to one size.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import CropImages
        >>> env = gym.make("hilserl/PickCube-v0", image_size=256)
        >>> env = CropImages(env, {"front": (64, 32, 160, 192)}, size=(128, 128))
        >>> env.observation_space["images"]["front"].shape
        (128, 128, 3)

    Args:
        env: whose observations hold `images`.
        crops: (top, left, height, width) [pixels] by camera; others stay whole.
        size: (height, width) of all images after; None keeps every crop's own.

    Raises:
        ConfigError: an unknown camera, or a crop that leaves its image.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        crops: Mapping[str, tuple[int, int, int, int]],
        size: tuple[int, int] | None = None,
    ):
        RecordConstructorArgs.__init__(self, crops=dict(crops), size=size)
        super().__init__(env)
        if not isinstance(env.observation_space, spaces.Dict) or "images" not in env.observation_space.spaces:
            raise ConfigError(f"CropImages needs observations with `images`; got {env.observation_space}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ConfigError(f"CropImages: size is (height, width) of at least 1 pixel, got {size!r}")
        images = dict(env.observation_space["images"])
        self._crops = {}
        for camera, crop in crops.items():
            shape = images[check_name(camera, images, "camera")].shape
            self._crops[camera] = check_crop(crop, shape[:2], f"CropImages: the crop of {camera!r}")
        self._sizes = {
            camera: size or (self._crops[camera][2:] if camera in self._crops else box.shape[:2])
            for camera, box in images.items()
        }
        boxes = {camera: spaces.Box(0, 255, (*self._sizes[camera], 3), np.uint8) for camera in images}
        self.observation_space = spaces.Dict({**env.observation_space, "images": spaces.Dict(boxes)})

    def observation(self, observation: dict) -> dict:
        images = {}
        for camera, image in observation["images"].items():
            if camera in self._crops:
                image = cut(image, self._crops[camera])
            images[camera] = np.ascontiguousarray(fit_image(image, self._sizes[camera]))
        return {**observation, "images": images}
