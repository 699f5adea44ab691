"""A run keeps what its settings say, and knows how large that becomes."""

import pytest

from hilserl_envs.learning.caches import open_cache, row_size
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.frame_cache import FrameCache
from tests.learning_run import settings

CAMERAS = {"images/left": (32, 32, 3), "images/right": (32, 48, 3)}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, FeatureCache),
        ({"crops": 2}, FeatureCache),
        ({"fresh_crops": True}, FrameCache),
        ({"encoder": "none"}, FrameCache),
    ],
)
def test_features_or_frames(tmp_path, changes, kind):
    wanted = settings(obs="pixels", **changes)
    cache = open_cache(tmp_path / "it.bin", wanted, wanted.make_encoder(), CAMERAS, 7)
    assert type(cache) is kind and cache.capacity == 7
    assert cache.path.stat().st_size == 7 * row_size(wanted, CAMERAS)


def test_without_cameras_there_is_nothing_to_keep(tmp_path):
    assert open_cache(tmp_path / "it.bin", settings(), None, {}, 7) is None
    assert not (tmp_path / "it.bin").exists()
