"""Frozen image encoders: uint8 images in, feature maps out, no gradient.

Frozen means that a frame's features never change: they can be computed once and stored. An
encoder is no part of an agent's parameters, optimisers or checkpoints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.learning.extra import torch

ENCODERS = ("efficientnet-lite0", "resnet10")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SMALLEST_SIDE = 32  # pixels: below, the deepest maps have a single one

# On a CPU, larger batches fall out of the cache: up to twice slower an image.
CPU_BATCH = 4

# Of ImageNet's RGB in [0, 1]; both networks were trained on images normalised with these.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class ImageEncoder:
    """A frozen network from images to feature maps.

    Equal images in an equal batch give equal features; in a batch of another size they may
    differ by rounding.

    Args:
        name: one of `ENCODERS`.
        network: (N, 3, H, W) normalised RGB to (N, channels, ceil(H / stride), ceil(W / stride)),
            with the attributes `channels` and `stride`.
        device: of the network and of its features.
        dtype: of the network and of its features.

    Attributes:
        name, device, dtype: as given.
        channels: of the features.
    """

    def __init__(self, name: str, network: torch.nn.Module, device: torch.device, dtype: torch.dtype):
        self.name, self.device, self.dtype = name, device, dtype
        self.channels = network.channels
        self._stride = network.stride
        network = network.eval().requires_grad_(False)
        self._network = network.to(device, dtype, memory_format=torch.channels_last)
        self._mean = torch.tensor(MEAN, device=device) * 255
        self._deviation = torch.tensor(DEVIATION, device=device) * 255

    def feature_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """The features (channels, rows, columns) of an image of that size."""
        return self.channels, -(-height // self._stride), -(-width // self._stride)

    @torch.no_grad()  # not inference mode: heads are trained on these features
    def __call__(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Features (N, channels, rows, columns) of RGB images (N, H, W, 3) uint8.

        Raises:
            ConfigError: images of another shape or type, or with a side under 32 pixels.
        """
        images = image_batch(images).to(self.device)
        if self.device.type != "cpu":
            return self._encode(images)
        return torch.cat([self._encode(piece) for piece in images.split(CPU_BATCH)])

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        normalised = (images.float() - self._mean) / self._deviation
        # Channels last in memory already, as the camera gave them.
        return self._network(normalised.to(self.dtype).permute(0, 3, 1, 2))


def make_encoder(
    name: str = "efficientnet-lite0",
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> ImageEncoder:
    """The frozen encoder of that name with its ImageNet weights.

    Args:
        name: "efficientnet-lite0", 112 channels at 1/16 of the image's sides, weights from an
            installed package; or "resnet10", the paper's, 512 channels at 1/32.
        weights: the file of "resnet10", see `load_resnet10`.
        device: "cpu", "cuda", "cuda:1" and so on.
        dtype: "float32", or "bfloat16", which is faster where the processor multiplies it; its
            features are off by 8 % (efficientnet-lite0) or 1 % (resnet10) of their deviation.

    Raises:
        ConfigError: an unknown name, device or dtype, a device that is not there, no weights,
            or weights for an encoder that brings its own.
    """
    check_name(name, ENCODERS, "image encoder")
    check_name(dtype, DTYPES, "encoder dtype")
    place = checked_device(device)
    if name == "efficientnet-lite0":
        from hilserl_envs.learning.efficientnet import load_efficientnet_lite0

        if weights is not None:
            raise ConfigError(f"{name!r} brings its own weights, got weights={str(weights)!r}: leave it out")
        network = load_efficientnet_lite0()
    else:
        from hilserl_envs.learning.resnet10 import WEIGHTS_URL, load_resnet10

        if weights is None:
            raise ConfigError(f"{name!r} needs weights=FILE, got none: download {WEIGHTS_URL}")
        network = load_resnet10(weights)
    return ImageEncoder(name, network, place, DTYPES[dtype])


def checked_device(device: str) -> torch.device:
    """PyTorch's device of that name; nothing is done on it yet.

    Raises:
        ConfigError: it is not there.
    """
    with _explained(device):
        place = torch.device(device)
        torch.empty(0, device=place)
    return place


def try_device(device: str) -> None:
    """Compute something on a device: this build may have nothing for it, or it may be full.

    Raises:
        ConfigError: it cannot be used.
    """
    with _explained(device):
        torch.ones(1, device=device).add_(1).item()


@contextlib.contextmanager
def _explained(device: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(
            f"no device {device!r} for PyTorch here: {str(error).splitlines()[0]}. "
            'Take "cpu", or install a build of PyTorch for this GPU'
        ) from None


def image_batch(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """RGB images (N, H, W, 3) uint8 as a tensor; an array is copied.

    Raises:
        ConfigError: another shape or type, or a side under 32 pixels.
    """
    if isinstance(images, np.ndarray) and images.dtype == np.uint8:
        images = torch.tensor(images)  # a copy: what comes from a store may be read-only
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[3] != 3 or min(shape[1:3]) < SMALLEST_SIDE:
        raise ConfigError(
            f"images must be (N, H, W, 3) uint8 RGB with sides of at least {SMALLEST_SIDE} pixels, "
            f"got shape {shape} of {images.dtype}"
        )
    return images
