"""A small CNN: what comes out of it has the shape it says, in any batch and type."""

import pytest
import torch

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.cnn import CNN, CPU_BATCH
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(count: int, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8), (4, 6, 8, 10, 12)])
@pytest.mark.parametrize("size", [(128, 128), (32, 48), (37, 61), (4, 5)])
def test_features_have_the_shape_that_it_says(channels, size):
    cnn = CNN(channels)
    features = cnn(images(2, *size))
    assert features.shape == (2, *cnn.feature_shape(*size)) and features.dtype == torch.float32


def test_the_usual_size():
    assert CNN((32, 64, 128)).feature_shape(128, 128) == (128, 8, 8)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ConfigError, match="at least 4 x 4 pixels, got 3 x 9"):
        CNN((4,)).feature_shape(3, 9)


def test_an_images_features_do_not_depend_on_its_batch():
    cnn, many = CNN((4, 6, 8)), images(2 * CPU_BATCH + 3)
    features = cnn(many)
    for number in (0, CPU_BATCH, len(many) - 1):
        torch.testing.assert_close(features[number], cnn(many[number : number + 1])[0])


def test_gradients_of_a_large_batch_are_the_sum_of_its_images():
    cnn, many = CNN((4, 6)), images(CPU_BATCH + 5)
    whole = torch.autograd.grad(cnn(many).square().sum(), list(cnn.parameters()))
    single = [torch.autograd.grad(cnn(one[None]).square().sum(), list(cnn.parameters())) for one in many]
    for gradient, parts in zip(whole, zip(*single, strict=True), strict=True):
        torch.testing.assert_close(gradient, sum(parts), rtol=1e-3, atol=1e-3)


def test_in_bfloat16_it_is_nearly_the_same_and_its_weights_stay_exact():
    exact, rough = CNN((8, 8, 8)), CNN((8, 8, 8), torch.bfloat16)
    rough.load_state_dict(exact.state_dict())
    many = images(4)
    features, expected = rough(many), exact(many)
    assert features.dtype == torch.float32
    assert (features - expected).std() < 0.02 * expected.std()
    gradients = torch.autograd.grad(features.sum(), list(rough.parameters()))
    assert all(gradient.dtype == torch.float32 for gradient in gradients)


def test_features_start_at_a_size_that_heads_can_use():
    features = CNN((32, 64, 128))(images(8, 64, 64))
    assert 0.01 < features.std() < 10 and (features > 0).float().mean() > 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.05)])
def test_the_same_on_a_gpu(dtype, tolerance):
    cnn, many = CNN((8, 8, 8), dtype), images(2 * CPU_BATCH)
    on_cpu = cnn(many)
    on_gpu = cnn.cuda()(many.cuda()).cpu()
    assert (on_gpu - on_cpu).std() < tolerance * on_cpu.std()
