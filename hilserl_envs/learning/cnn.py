"""`CNN`: a small convolutional network that learns with the agent, from pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.extra import torch

nn, functional = torch.nn, torch.nn.functional

CPU_BATCH = 32  # images: on a processor larger ones fall out of the cache, up to 4 times slower


class CNN(nn.Module):
    """Images (N, H, W, 3) uint8 to feature maps (N, channels[-1], h, w) in the type of its weights.

    The first layer looks at 8 x 8 pixels every 4, as that of Mnih et al., "Human-level control
    through deep reinforcement learning" (Nature 2015): most of the work is at full resolution.
    Each other looks at 3 x 3 every 2. 128 pixels become 8 with three layers.

    Args:
        channels: of the layers.
        dtype: in which it computes. Weights, and so optimisers and checkpoints, stay in float32.
    """

    def __init__(self, channels: Sequence[int], dtype: torch.dtype = torch.float32):
        super().__init__()
        first, *others = channels
        layers, before = [nn.Conv2d(3, first, 8, 4, 2)], first
        for out in others:
            layers.append(nn.Conv2d(before, out, 3, 2, 1))
            before = out
        for layer in layers:
            nn.init.orthogonal_(layer.weight, math.sqrt(2))  # keeps sizes through ReLU
            nn.init.zeros_(layer.bias)
        self.layers, self.channels = nn.ModuleList(layers), before
        self._dtype = dtype

    def feature_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """The features (channels, rows, columns) of an image of that size.

        Raises:
            ConfigError: it is too small.
        """
        if min(height, width) < 4:
            raise ConfigError(f"a CNN needs images of at least 4 x 4 pixels, got {height} x {width}")
        for layer in self.layers:
            (kernel, _), (stride, _), (padding, _) = layer.kernel_size, layer.stride, layer.padding
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        return self.channels, height, width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.device.type != "cpu":
            return self._features(images)
        return torch.cat([self._features(piece) for piece in images.split(CPU_BATCH)])

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        # Channels last in memory, as the camera gave them: nearly twice quicker on a processor.
        x = (images.to(self._dtype) / 255 - 0.5).permute(0, 3, 1, 2)
        for layer in self.layers:
            weight, bias = (part.to(x.dtype) for part in (layer.weight, layer.bias))
            x = functional.relu(functional.conv2d(x, weight, bias, layer.stride, layer.padding))
        return x.float()
