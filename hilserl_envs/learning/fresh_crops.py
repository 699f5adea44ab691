"""`FreshCrops`: images of a batch, cropped anew each time they are drawn, and encoded there and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilserl_envs.learning.batch import Observations, unscaled
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.features import CROP_PADDING, shifted


def random_shifts(
    images: torch.Tensor | Sequence[np.ndarray], generator: torch.Generator, padding: int = CROP_PADDING
) -> torch.Tensor:
    """Each image (N, H, W, 3) shifted at random, as by `random_crops`, each by its own.

    A shift of -`padding` to `padding` pixels along each side; what comes in from outside repeats the
    edge. The generator and the images are on one device, and so is the work.
    """
    down, right = torch.randint(
        -padding, padding + 1, (2, len(images)), generator=generator, device=generator.device
    )
    return shifted(images, down, right)


class FreshCrops:
    """Makes observations with images into those that an agent's networks take.

    Args:
        encoder: frozen, on the device of the images; None where the agent's own network takes
            images.
    """

    def __init__(self, encoder: ImageEncoder | None):
        self._encoder = encoder

    def __call__(self, observations: Observations, generator: torch.Generator) -> Observations:
        """Each image by a crop that the generator draws, and encoded where there is an encoder."""
        images = {key: random_shifts(image, generator) for key, image in observations.images.items()}
        if self._encoder is not None:
            images = {key: unscaled(self._encoder(image)) for key, image in images.items()}
        return observations._replace(images=images)
