"""Made-up weights in the layout of the paper's `resnet10_params.pkl`, pickled as JAX does."""

from __future__ import annotations

import pickle
import sys
import types
from typing import Any
from unittest import mock

import numpy as np


def parameters() -> dict[str, Any]:
    """Weights by flax's names, float32, the same at every call."""
    rng = np.random.default_rng(0)

    def conv(side: int, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        kernel = rng.standard_normal((side, side, inputs, outputs), np.float32)
        return {"kernel": kernel * np.float32(np.sqrt(2 / (side * side * inputs)))}

    def norm(channels: int) -> dict[str, np.ndarray]:
        scale, bias = rng.standard_normal((2, channels), np.float32) / 4
        return {"scale": 1 + scale, "bias": bias}

    params = {"conv_init": conv(7, 3, 64), "norm_init": norm(64)}
    for i, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)]):
        block = {"Conv_0": conv(3, inputs, outputs), "MyGroupNorm_0": norm(outputs)}
        block |= {"Conv_1": conv(3, outputs, outputs), "MyGroupNorm_1": norm(outputs)}
        if i:
            block |= {"conv_proj": conv(1, inputs, outputs), "norm_proj": norm(outputs)}
        params[f"ResNetBlock_{i}"] = block
    params["output_head"] = {"kernel": np.zeros((512, 1000), np.float32), "bias": np.zeros(1000, np.float32)}
    return params


def images() -> np.ndarray:
    """Two images with odd sides, where "SAME" padding is not symmetric."""
    return np.random.default_rng(1).integers(0, 256, (2, 45, 64, 3), dtype=np.uint8)


def jax_pickle(value: Any) -> bytes:
    """`value` pickled as if every array in it were one of JAX 0.4."""
    names = ("jax", "jax._src", "jax._src.array")
    modules = {name: types.ModuleType(name) for name in names}
    modules[names[-1]]._reconstruct_array = _reconstruct_array
    with mock.patch.dict(sys.modules, modules):
        return pickle.dumps(_as_jax(value))


def _as_jax(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_jax(item) for key, item in value.items()}
    return _JaxArray(value) if isinstance(value, np.ndarray) else value


class _JaxArray:
    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self):
        parts = self.array.__reduce__()
        return _reconstruct_array, (*parts, {"weak_type": False, "named_shape": {}})


def _reconstruct_array(*_: Any) -> None:
    raise AssertionError("a name to pickle, never called")


_reconstruct_array.__module__ = "jax._src.array"
