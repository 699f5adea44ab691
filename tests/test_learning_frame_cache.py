"""Frames come back as they were."""

import numpy as np
import pytest

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
        assert [image.shape for image in images[key]] == 4 * [shape] and images[key][0].dtype == np.uint8
        np.testing.assert_array_equal(images[key], [frame(record)[key] for record in records])


def test_nobody_writes_into_what_was_drawn(tmp_path):
    cache = FrameCache(tmp_path / "frames.bin", CAMERAS, 2)
    cache.write(0, 1, frame(0), 0)
    (image,) = cache.gather(np.array([0]), np.random.default_rng(0))["images/left"]
    with pytest.raises(ValueError, match="read-only"):
        image[:] = 0
