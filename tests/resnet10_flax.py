"""The paper's ResNet-10 in flax: `python -m tests.resnet10_flax` writes what our own must match.

In an environment of its own, with jax 0.4.30 and flax 0.8.5; the tests need neither.
"""

import pickle
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from tests import resnet10_file

EXPECTED = Path(__file__).parent / "data" / "resnet10_flax_features.npy"


class MyGroupNorm(nn.GroupNorm):
    """Only its name matters: flax names parameters after classes."""


conv = partial(nn.Conv, use_bias=False)
norm = partial(MyGroupNorm, num_groups=4, epsilon=1e-5)


class ResNetBlock(nn.Module):
    filters: int
    strides: tuple

    @nn.compact
    def __call__(self, x):
        y = nn.relu(norm()(conv(self.filters, (3, 3), self.strides)(x)))
        y = norm()(conv(self.filters, (3, 3))(y))
        if x.shape != y.shape:
            x = norm(name="norm_proj")(conv(self.filters, (1, 1), self.strides, name="conv_proj")(x))
        return nn.relu(x + y)


class ResNet10(nn.Module):
    @nn.compact
    def __call__(self, images):
        x = images.astype(jnp.float32) / 255
        x = (x - jnp.array([0.485, 0.456, 0.406])) / jnp.array([0.229, 0.224, 0.225])
        x = conv(64, (7, 7), (2, 2), padding=[(3, 3), (3, 3)], name="conv_init")(x)
        x = nn.relu(norm(name="norm_init")(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for i in range(4):
            x = ResNetBlock(64 * 2**i, (2, 2) if i else (1, 1))(x)
        return x


def main() -> None:
    params = resnet10_file.parameters()
    del params["output_head"]
    features = ResNet10().apply({"params": params}, resnet10_file.images())
    np.save(EXPECTED, np.asarray(features).transpose(0, 3, 1, 2))
    array = np.arange(3, dtype=np.float32)
    assert resnet10_file.jax_pickle(array) == pickle.dumps(jnp.asarray(array)), "JAX pickles in another way"


if __name__ == "__main__":
    main()
