"""How the images of a store are stored: raw, as PNG (lossless) or as JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.recording.schema import IMAGE_FORMATS

JPEG_QUALITY = 95

Bytes = bytes | memoryview | np.ndarray


class ImageCodec(NamedTuple):
    """Both directions of one format.

    Args:
        encode: bytes of an image (height, width, 3) uint8.
        decode: the image of these bytes and this shape.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[Bytes, tuple[int, int, int]], np.ndarray]


def image_codec(image_format: str) -> ImageCodec:
    """The codec of "png", "raw" or "jpeg".

    Raises:
        ConfigError: an unknown format, or the package for it is missing.
    """
    check_name(image_format, IMAGE_FORMATS, "image format")
    if image_format == "jpeg":
        return _jpeg()
    return {"raw": ImageCodec(np.ndarray.tobytes, _from_raw), "png": ImageCodec(to_png, _from_png)}[
        image_format
    ]


def _from_raw(data: Bytes, shape: tuple[int, int, int]) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(shape)


def to_png(image: np.ndarray) -> bytes:
    """An RGB image as PNG, made for speed rather than size."""
    packed = io.BytesIO()
    # Run lengths and Huffman codes only: on a camera's noise faster than a search for repeats,
    # and no larger.
    Image.fromarray(image).save(packed, "PNG", compress_level=1, compress_type=Image.RLE)
    return packed.getvalue()


def _from_png(data: Bytes, shape: tuple[int, int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.array(image)


def _jpeg() -> ImageCodec:
    try:
        import simplejpeg
    except ImportError:
        raise ConfigError('images as "jpeg" need simplejpeg: pip install simplejpeg, or take "png"') from None

    def encode(image: np.ndarray) -> bytes:
        # Without chroma subsampling: small coloured things are what a policy looks at.
        image = np.ascontiguousarray(image)
        return simplejpeg.encode_jpeg(image, JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")

    def decode(data: Bytes, shape: tuple[int, int, int]) -> np.ndarray:
        return simplejpeg.decode_jpeg(data, colorspace="RGB")

    return ImageCodec(encode, decode)
