"""Frames come back as they were."""

import numpy as np
import torch

from hilserl_envs.learning.frame_cache import FrameCache

CAMERAS = {"images/left": (32, 32, 3), "images/right": (16, 48, 3)}


def frame(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {key: rng.integers(0, 256, shape, dtype=np.uint8) for key, shape in CAMERAS.items()}


def test_each_frame_is_what_was_written(tmp_path):
    cache = FrameCache(tmp_path / "frames.bin", CAMERAS, 6)
    for record in range(8):
        cache.write(record, 1000 + record, frame(record), record)
    records = np.array([7, 2, 2, 5])
    images = cache.gather(records, np.random.default_rng(0))
    assert list(images) == list(CAMERAS)
    for key, shape in CAMERAS.items():
        assert images[key].dtype == torch.uint8 and images[key].shape == (4, *shape)
        np.testing.assert_array_equal(images[key], [frame(record)[key] for record in records])


def test_what_was_drawn_is_a_copy(tmp_path):
    """A batch stays as it is when its frames' places go to others."""
    cache = FrameCache(tmp_path / "frames.bin", CAMERAS, 2)
    cache.write(0, 1, frame(0), 0)
    images = cache.gather(np.array([0]), np.random.default_rng(0))
    cache.write(2, 1, frame(2), 2)
    np.testing.assert_array_equal(images["images/left"][0], frame(0)["images/left"])
    images["images/left"].zero_()
    assert cache.gather(np.array([0]), np.random.default_rng(0))["images/left"].any()
