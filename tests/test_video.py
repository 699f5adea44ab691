import av
import numpy as np
import pytest

from hilserl_envs.video import write_video


def test_a_video_plays_back_at_its_rate_with_its_frames(tmp_path):
    frames = [np.full((33, 48, 3), shade, np.uint8) for shade in (10, 120, 240)]
    write_video(tmp_path / "video.mp4", frames, fps=10)
    with av.open(str(tmp_path / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(10)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert [frame.shape for frame in decoded] == [(32, 48, 3)] * 3
    np.testing.assert_allclose([frame.mean() for frame in decoded], [10, 120, 240], atol=6)
