"""Images come back as they were, or nearly with JPEG."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.image_codec import image_codec, to_png


def smooth_and_noisy(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    image = np.stack([x, y, x + y], axis=2) * 255 // (height + width)
    image[height // 2 :] += np.random.default_rng(0).integers(0, 20, image[height // 2 :].shape)
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("image_format", ["raw", "png"])
@pytest.mark.parametrize("shape", [(128, 128), (1, 1), (3, 50), (50, 3)])
def test_lossless(image_format, shape):
    image = smooth_and_noisy(*shape)
    codec = image_codec(image_format)
    for given in (image, image[:, ::-1], np.asfortranarray(image)):
        decoded = codec.decode(memoryview(codec.encode(given)), image.shape)
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, given)


def test_png_is_what_others_read():
    image = smooth_and_noisy(20, 30)
    with Image.open(io.BytesIO(to_png(image))) as opened:
        opened.load()  # checks the chunks
        assert opened.mode == "RGB" and opened.size == (30, 20)
        np.testing.assert_array_equal(np.asarray(opened), image)


def test_jpeg_is_near():
    image = smooth_and_noisy(64, 64)
    codec = image_codec("jpeg")
    decoded = codec.decode(np.frombuffer(codec.encode(image), np.uint8), image.shape)
    assert np.abs(decoded.astype(int) - image).mean() < 3


def test_mistakes_are_explained(monkeypatch):
    with pytest.raises(ConfigError, match="unknown image format 'jpg': did you mean 'jpeg'"):
        image_codec("jpg")
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(ConfigError, match="need simplejpeg: pip install"):
        image_codec("jpeg")
