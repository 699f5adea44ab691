"""The paper's image encoder: a ResNet-10 with group norms, pretrained on ImageNet.

The weights are a file of the paper's public code, which the user downloads and names; it is
read as plain data, and JAX is not needed.

Source: `resnetv1-10-frozen` in rail-berkeley/hil-serl, serl_launcher/vision/resnet_v1.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.padding import SameConv2d, pad_same
from hilserl_envs.recording.safe_pickle import load_plain_pickle

nn = torch.nn

WEIGHTS_URL = "https://github.com/rail-berkeley/serl/releases/download/resnet10/resnet10_params.pkl"
CHANNELS = (64, 128, 256, 512)  # of the four blocks; each but the first halves the map
NORM_GROUPS = 4
NORM_EPSILON = 1e-5


class ResNet10(nn.Module):
    """(N, 3, H, W) normalised RGB to (N, 512, H/32, W/32), rounded up; nothing is negative.

    Attributes:
        channels: of the output.
        stride: pixels of the input to one of the output.
    """

    channels = CHANNELS[-1]
    stride = 32

    def __init__(self):
        super().__init__()
        self.conv_init = nn.Conv2d(3, CHANNELS[0], 7, 2, padding=3, bias=False)
        self.norm_init = _norm(CHANNELS[0])
        inputs = (CHANNELS[0], *CHANNELS)
        self.blocks = nn.Sequential(*(Block(*sides) for sides in zip(inputs, CHANNELS, strict=False)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem = nn.functional.relu(self.norm_init(self.conv_init(images)))
        # Nothing is negative here, so that the zeros around never win.
        return self.blocks(nn.functional.max_pool2d(pad_same(stem, 3, 2), 3, 2))


class Block(nn.Module):
    """Two 3x3 convolutions and a way around them, which is projected where the size changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        changes = inputs != outputs
        stride = 2 if changes else 1
        self.conv_0 = SameConv2d(inputs, outputs, 3, stride, bias=False)
        self.norm_0 = _norm(outputs)
        self.conv_1 = SameConv2d(outputs, outputs, 3, bias=False)
        self.norm_1 = _norm(outputs)
        self.conv_proj = SameConv2d(inputs, outputs, 1, stride, bias=False) if changes else nn.Identity()
        self.norm_proj = _norm(outputs) if changes else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output = nn.functional.relu(self.norm_0(self.conv_0(images)))
        output = self.norm_1(self.conv_1(output))
        return nn.functional.relu(output + self.norm_proj(self.conv_proj(images)))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels, eps=NORM_EPSILON)


def load_resnet10(path: str | Path) -> ResNet10:
    """The network with the weights of the public `resnet10_params.pkl`.

    The file is a pickled dictionary of dictionaries of arrays, as flax names them: kernels
    (rows, columns, inputs, outputs), `scale` and `bias` of the norms. Its classifier
    (`output_head`) is left out. Nothing that the pickle names is run.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        published = load_plain_pickle(path)
    except RecordingError as error:
        raise ConfigError(f"no weights for 'resnet10': {error}. The file is at {WEIGHTS_URL}") from None
    network = ResNet10()
    network.load_state_dict(
        {
            name: _published_array(published, name, tuple(value.shape), path)
            for name, value in network.state_dict().items()
        }
    )
    return network


def _published_array(published: Mapping, name: str, shape: tuple[int, ...], path: str | Path) -> torch.Tensor:
    """The array of one of our parameters, such as `blocks.1.norm_0.weight`, in our layout."""
    keys = _published_keys(name)
    value = published
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    is_kernel = keys[-1] == "kernel"
    wanted = (*shape[2:], shape[1], shape[0]) if is_kernel else shape
    if not isinstance(value, np.ndarray) or value.shape != wanted or value.dtype.kind != "f":
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ConfigError(
            f"{path} holds {got} at {'/'.join(keys)}, expected floats {wanted}; "
            f"the weights of 'resnet10' are at {WEIGHTS_URL}"
        )
    if not np.isfinite(value).all():
        raise ConfigError(f"{path} holds NaN or infinity at {'/'.join(keys)}; get it again: {WEIGHTS_URL}")
    value = value.transpose(3, 2, 0, 1) if is_kernel else value
    return torch.tensor(value.astype(np.float32))


def _published_keys(name: str) -> list[str]:
    """Where the file has it: `blocks.1.norm_0.weight` is at ResNetBlock_1/MyGroupNorm_0/scale."""
    *block, layer, kind = name.split(".")
    flax = {"conv_0": "Conv_0", "conv_1": "Conv_1", "norm_0": "MyGroupNorm_0", "norm_1": "MyGroupNorm_1"}
    leaf = "bias" if kind == "bias" else "kernel" if layer.startswith("conv") else "scale"
    return [*(f"ResNetBlock_{index}" for index in block[1:]), flax.get(layer, layer), leaf]
