import numpy as np
import pytest
from PIL import Image

from hilserl_envs.errors import ConfigError
from hilserl_envs.images import check_crop, contact_sheet, cut, fit_image, save_png


def test_a_crop_shows_its_part_up_to_the_edges():
    image = np.arange(4 * 6).reshape(4, 6)
    np.testing.assert_array_equal(cut(image, check_crop([1, 2, 3, 4], (4, 6))), image[1:, 2:])


@pytest.mark.parametrize(
    "crop", [(0, 0, 41, 10), (0, 55, 10, 10), (-1, 0, 10, 10), (0, 0, 0, 10), (39, 0, 2, 1)]
)
def test_a_crop_that_leaves_the_image_is_refused(crop):
    with pytest.raises(ConfigError, match="that crop .* leaves the image, which is 40 high and 60 wide"):
        check_crop(crop, (40, 60), "that crop")


def test_an_image_of_the_right_size_is_returned_as_it_is():
    image = np.zeros((4, 6, 3), np.uint8)
    assert fit_image(image, (4, 6)) is image
    assert fit_image(image, (8, 5)).shape == (8, 5, 3)


def test_a_sheet_holds_every_image_in_its_place():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 6, 3), np.uint8)
    sheet = contact_sheet([images[:3], images[3:]], gap=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    np.testing.assert_array_equal(sheet[2:6, 2:8], images[0])
    np.testing.assert_array_equal(sheet[8:12, 10:16], images[4])
    assert (sheet[8:12, 18:24] == 255).all()  # the second row is shorter


def test_png_files_hold_the_image(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    save_png(tmp_path / "image.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")), image)
