"""TensorFlow's and JAX's "SAME" padding, with which the pretrained networks were trained.

The output has ceil(side / stride) rows and columns. Where the zeros to add are odd in number,
the last goes below and to the right, which no symmetric `padding` of PyTorch can say.
"""

from __future__ import annotations

from hilserl_envs.learning.extra import torch

F = torch.nn.functional


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side of that many pixels."""
    missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return missing // 2, missing - missing // 2


def pad_same(images: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Images (N, C, H, W) with the zeros around them that a square window needs."""
    height, width = images.shape[-2:]
    return F.pad(images, (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride)))


class SameConv2d(torch.nn.Conv2d):
    """A convolution with a square kernel and "SAME" padding: (N, C, H, W) to (N, C', H', W')."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1 and kernel % 2 == 1:  # the same on both sides: the convolution pads by itself
            padding = kernel // 2
        else:
            images, padding = pad_same(images, kernel, stride), 0
        return F.conv2d(images, self.weight, self.bias, stride, padding, groups=self.groups)
