"""What a run keeps of images on disk: features of a few crops, or frames to be cropped each time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.frame_cache import FrameCache
from hilserl_envs.learning.row_cache import row_type
from hilserl_envs.learning.run_settings import RunSettings


def open_cache(
    path: Path,
    settings: RunSettings,
    encoder: ImageEncoder | None,
    cameras: Mapping[str, tuple[int, int, int]],
    capacity: int,
) -> FeatureCache | FrameCache | None:
    """The cache in that file, as a run's settings say; None where there are no cameras.

    Args:
        path: of the file.
        settings: of the run.
        encoder: its encoder.
        cameras: (height, width, 3) by key.
        capacity: rows.

    Raises:
        LearningError: there can be no such file.
    """
    if not cameras:
        return None
    if settings.crops_at_update:
        return FrameCache(path, cameras, capacity)
    return FeatureCache(path, encoder, cameras, settings.crops, capacity, settings.seed)


def row_size(settings: RunSettings, cameras: Mapping[str, tuple[int, int, int]]) -> int:
    """Bytes on disk that such a cache needs for a frame of all cameras."""
    if settings.crops_at_update:
        fields = FrameCache.fields(cameras)
    else:
        fields = FeatureCache.fields(settings.make_encoder(), cameras, settings.crops)
    return row_type(fields).itemsize
