"""Every encoder: images in, frozen features out; mistakes are named."""

import sys

import numpy as np
import pytest
import torch

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.encoder import ENCODERS, make_encoder
from tests import resnet10_file


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet10_params.pkl"
    path.write_bytes(resnet10_file.jax_pickle(resnet10_file.parameters()))
    return {"efficientnet-lite0": None, "resnet10": path}


@pytest.fixture(params=ENCODERS)
def name(request):
    return request.param


def noise(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(128, 128), (32, 32), (33, 100)])
def test_shapes(name, weights, size):
    encoder = make_encoder(name, weights=weights[name])
    features = encoder(noise(2, *size))
    assert features.shape == (2, *encoder.feature_shape(*size))
    assert features.dtype == torch.float32 and features.std() > 0.1


def test_shapes_of_the_usual_camera(weights):
    efficientnet, resnet = (make_encoder(name, weights=weights[name]) for name in ENCODERS)
    assert efficientnet.feature_shape(128, 128) == (112, 8, 8)
    assert resnet.feature_shape(128, 128) == (512, 4, 4)


def test_each_image_by_itself(name, weights):
    encoder, images = make_encoder(name, weights=weights[name]), noise(9, 32, 48)
    together = encoder(images)
    alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
    assert encoder(images[:0]).shape == (0, *together.shape[1:])


def test_frozen_and_repeatable(name, weights):
    encoder, images = make_encoder(name, weights=weights[name]), noise(2, 32, 32)
    features = encoder(images)
    assert torch.equal(features, encoder(images))
    assert torch.equal(features, make_encoder(name, weights=weights[name])(images))
    assert not features.requires_grad
    head = torch.nn.Linear(features[0].numel(), 1)
    head(features.flatten(1)).sum().backward()  # heads can be trained on the features
    assert head.weight.grad.abs().sum() > 0


def test_arrays_and_tensors_of_any_layout(name, weights):
    encoder, images = make_encoder(name, weights=weights[name]), noise(2, 32, 48)
    expected = encoder(images)
    read_only = images.copy()
    read_only.flags.writeable = False
    planes_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    for given in (torch.from_numpy(images), read_only, planes_first, images[:, ::-1][:, ::-1]):
        torch.testing.assert_close(encoder(given), expected)


def test_bfloat16_is_near(name, weights):
    images = noise(2, 64, 64)
    exact = make_encoder(name, weights=weights[name])(images)
    rough = make_encoder(name, weights=weights[name], dtype="bfloat16")(images)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).std() < 0.15 * exact.std()


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (noise(1, 32, 32)[0], r"got shape \(32, 32, 3\) of .*uint8"),
        (noise(1, 32, 32).transpose(0, 3, 1, 2), r"got shape \(1, 3, 32, 32\)"),
        (noise(1, 31, 64), r"sides of at least 32 pixels, got shape \(1, 31, 64, 3\)"),
        (noise(1, 32, 32).astype(np.float32), "of float32"),
        (torch.zeros(1, 32, 32, 3), r"of torch\.float32"),
    ],
)
def test_wrong_images(images, got):
    with pytest.raises(ConfigError, match=r"\(N, H, W, 3\) uint8 RGB.*" + got):
        make_encoder()(images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet18"}, "unknown image encoder 'resnet18': did you mean 'resnet10'"),
        ({"dtype": "float16"}, "unknown encoder dtype 'float16'.*known: float32, bfloat16"),
        ({"device": "cuda:99"}, "no device 'cuda:99' for PyTorch here.*Take \"cpu\""),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"weights": "x.pkl"}, "'efficientnet-lite0' brings its own weights, got weights='x.pkl'"),
        ({"name": "resnet10"}, "'resnet10' needs weights=FILE, got none: download https://"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_encoder(**settings)


def test_without_pytorch(monkeypatch):
    for module in [module for module in sys.modules if module.startswith("hilserl_envs.learning.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("encoder", "efficientnet", "resnet10", "features"):
        with pytest.raises(ConfigError, match=r'PyTorch.*pip install "hilserl_envs\[agent\]"'):
            __import__(f"hilserl_envs.learning.{module}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_sees_the_same(name, weights, dtype):
    images = noise(9, 64, 64)
    on_cpu = make_encoder(name, weights=weights[name])(images)
    on_gpu = make_encoder(name, weights=weights[name], device="cuda", dtype=dtype)(images)
    assert on_gpu.device.type == "cuda"
    # A GPU multiplies float32 with 10 bits of mantissa in convolutions.
    tolerance = {"float32": 0.02, "bfloat16": 0.15}[dtype]
    assert (on_gpu.cpu().float() - on_cpu).std() < tolerance * on_cpu.std()
