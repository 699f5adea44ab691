"""The network is the one of the paper's code, and its weights are read without JAX."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.encoder import make_encoder
from tests import resnet10_file

EXPECTED = Path(__file__).parent / "data" / "resnet10_flax_features.npy"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "resnet10_params.pkl"


@pytest.mark.parametrize("dumps", [resnet10_file.jax_pickle, pickle.dumps], ids=["jax", "numpy"])
def test_as_flax_computes_it(path, dumps):
    path.write_bytes(dumps(resnet10_file.parameters()))
    features = make_encoder("resnet10", weights=path)(resnet10_file.images()).numpy()
    np.testing.assert_allclose(features, np.load(EXPECTED), rtol=1e-4, atol=1e-4)


def test_a_file_without_a_classifier(path):
    params = resnet10_file.parameters()
    del params["output_head"]
    path.write_bytes(pickle.dumps(params))
    make_encoder("resnet10", weights=path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "is not a whole pickle"),
        (pickle.dumps(os.getcwd), "is refused: it holds .*getcwd"),
        (pickle.dumps([1, 2]), r"holds NoneType at conv_init/kernel, expected floats \(7, 7, 3, 64\)"),
    ],
    ids=["no pickle", "a call", "other content"],
)
def test_other_files(path, data, message):
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"resnet10_params.pkl {message}.*https://"):
        make_encoder("resnet10", weights=path)


@pytest.mark.parametrize(
    ("layer", "content", "message"),
    [
        ("ResNetBlock_2", {}, r"holds NoneType at ResNetBlock_2/Conv_0/kernel"),
        ("norm_init", np.ones(64), r"holds NoneType at norm_init/scale"),
        (
            "norm_init",
            {"scale": np.ones(32)},
            r"holds float64 \(32,\) at norm_init/scale, expected floats \(64,\)",
        ),
        ("norm_init", {"scale": np.ones(64, int)}, r"holds int64 \(64,\) at norm_init/scale"),
        ("norm_init", {"scale": np.full(64, np.nan)}, "holds NaN or infinity at norm_init/scale"),
    ],
)
def test_other_weights(path, layer, content, message):
    path.write_bytes(pickle.dumps(resnet10_file.parameters() | {layer: content}))
    with pytest.raises(ConfigError, match=f"resnet10_params.pkl {message}.*https://"):
        make_encoder("resnet10", weights=path)


def test_no_file(path):
    with pytest.raises(ConfigError, match="cannot read .*resnet10_params.pkl: No such file.*https://"):
        make_encoder("resnet10", weights=path)
