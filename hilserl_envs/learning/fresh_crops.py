"""`FreshCrops`: images of a batch, cropped anew each time they are drawn, and encoded there and then."""

from __future__ import annotations

from hilserl_envs.learning.batch import Observations, unscaled
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.features import CROP_PADDING


def random_shifts(
    images: torch.Tensor, generator: torch.Generator, padding: int = CROP_PADDING
) -> torch.Tensor:
    """Each image (N, H, W, 3) shifted at random, as by `random_crops`, all at once.

    A shift of -`padding` to `padding` pixels along each side; what comes in from outside repeats the
    edge. The generator and the images are on one device, and so is the work.
    """
    count, height, width, _ = images.shape
    places = {"device": images.device}
    down, right = torch.randint(-padding, padding + 1, (2, count, 1), generator=generator, **places)
    rows = (torch.arange(height, **places) + down).clamp(0, height - 1)
    columns = (torch.arange(width, **places) + right).clamp(0, width - 1)
    rows = rows + height * torch.arange(count, **places)[:, None]
    # One gather, by the number of each pixel among all; other ways are slower on a processor.
    pixels = width * rows[:, :, None] + columns[:, None, :]
    return images.flatten(0, 2).index_select(0, pixels.flatten()).view_as(images)


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
