"""Parts of one camera's pictures, without distortion, and what several views share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.cameras import Camera, CameraView, FakeCamera, Frame
from hilserl_envs.cameras.views import middle
from hilserl_envs.errors import CameraError, ConfigError


class Ramp(FakeCamera):
    """Every pixel is (row, column, 0)."""

    def frame(self):
        frame = super().frame()
        rows, columns = np.indices(self.size)
        image = np.stack([rows, columns, np.zeros(self.size)], -1).astype(np.uint8)
        return Frame(image, frame.time, frame.number)


def test_a_crop_is_cut_out_as_it_is_where_its_size_is_asked_for():
    view = CameraView(Ramp((40, 60)), size=(8, 10), crop=(5, 20, 8, 10))
    assert isinstance(view, Camera) and view.size == (8, 10)
    image = view.frame().image
    assert image.shape == (8, 10, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image[0, 0], [5, 20, 0])
    np.testing.assert_array_equal(image[-1, -1], [12, 29, 0])
    image[:] = 0  # the reader's own
    assert view.frame().image.any()


def test_without_a_crop_the_middle_is_shown_and_nothing_is_distorted():
    image = CameraView(Ramp((40, 60)), size=(20, 20)).frame().image.astype(int)
    assert image.shape == (20, 20, 3)
    # Both directions shrink by the same factor, about the same middle.
    np.testing.assert_allclose(np.diff(image[:, 10, 0])[2:-2], 2, atol=1)
    np.testing.assert_allclose(np.diff(image[10, :, 1])[2:-2], 2, atol=1)
    np.testing.assert_allclose(image[:, :, :2].mean((0, 1)), [19.5, 29.5], atol=0.6)


def test_views_share_frames_errors_and_the_end_of_their_camera():
    camera = FakeCamera((40, 60))
    near, far = CameraView(camera, (16, 16), (0, 0, 16, 16)), CameraView(camera, (16, 16))
    assert (near.frame().number, far.frame().number) == (1, 2)  # one camera's count
    camera.trouble = "unplugged"
    assert near.error() == far.error() == "unplugged"
    with pytest.raises(CameraError, match="unplugged"):
        near.frame()
    camera.trouble = None
    near.close()
    near.close()
    assert far.error() == "closed"


@given(
    size=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    shape=st.tuples(st.integers(1, 500), st.integers(1, 500)),
)
def test_the_middle_lies_in_the_image_and_touches_two_of_its_sides(size, shape):
    top, left, height, width = middle(size, shape)
    assert 0 <= top and 0 <= left and top + height <= size[0] and left + width <= size[1]
    assert height == size[0] or width == size[1]
    assert abs(height - width * shape[0] / shape[1]) <= max(1, shape[0] / shape[1])


def test_what_is_no_crop_or_no_size_is_refused():
    with pytest.raises(ConfigError, match=r"\(top, left, height, width\), got \(1, 2, 3\)"):
        CameraView(FakeCamera(), crop=(1, 2, 3))
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        CameraView(FakeCamera(), size=(0, 10))
