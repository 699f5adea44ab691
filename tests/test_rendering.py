"""Images: what is in them, who may ask for them, and what happens where they cannot be drawn."""

import ctypes
import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mujoco
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, RenderingError
from hilserl_envs.twin.gl_backend import available_backends
from hilserl_envs.twin.rendering import Renderer, draw_test_image

# A red box above a green one, seen from the front and from behind.
SCENE = """
<mujoco>
  <visual>
    <global offwidth="7" offheight="5"/>
    <quality shadowsize="512" offsamples="2" numslices="9"/>
  </visual>
  <worldbody>
    <light directional="true" dir="0 1 0" pos="0 -3 0"/>
    <geom type="box" size=".5 .5 .5" pos="0 0 .5" rgba="1 0 0 1"/>
    <geom type="box" size=".5 .5 .5" pos="0 0 -.5" rgba="0 1 0 1"/>
    <site size=".3" pos="0 -.6 .5" rgba="0 0 1 1"/>
    <camera name="front" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/>
    <camera name="back" pos="0 2 0" xyaxes="-1 0 0 0 0 1"/>
  </worldbody>
</mujoco>
"""
DRAW = """
import mujoco
from hilserl_envs.twin.rendering import Renderer, draw_test_image
draw_test_image()
left_open = Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8)
from hilserl_envs.twin.gl_backend import gl_backend
print(gl_backend()[0].__module__)
"""


@pytest.fixture(scope="module")
def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    kept["PYTHONPATH"] = str(Path(__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=60
    )


def without_library(folder: Path, *names: str) -> str:
    """A library path on which the named libraries cannot be loaded."""
    for name in names:
        (folder / name).write_text("not a library")
    return str(folder)


@pytest.mark.parametrize("fast", [True, False])
def test_colours_and_rows(scene, fast):
    model, data = scene
    with Renderer(model, 32, 48, fast=fast) as renderer:
        image = renderer.render(data, "back")
    assert image.shape == (32, 48, 3) and image.dtype == np.uint8
    red, green = image[8, 24].astype(int), image[24, 24].astype(int)
    assert red[0] > 60 and red[0] > 3 * max(red[1:]), "the upper box is red: row 0 is the top"
    assert green[1] > 60 and green[1] > 3 * max(green[0], green[2])


def test_fast_hides_sites(scene):
    model, data = scene
    with Renderer(model, 32, 32) as fast, Renderer(model, 32, 32, fast=False) as fine:
        assert fast.render(data, "front")[8, 16].argmax() == 0
        assert fine.render(data, "front")[8, 16].argmax() == 2


def test_images_are_fresh_unless_out_is_given(scene):
    model, data = scene
    with Renderer(model, 16, 16) as renderer:
        first = renderer.render(data, "front")
        kept = first.copy()
        second = renderer.render(data, "back")
        out = np.empty((16, 16, 3), np.uint8)
        assert renderer.render(data, "back", out=out) is out
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, out)


def test_renderers_alternate(scene):
    model, data = scene
    with Renderer(model, 16, 16) as small, Renderer(model, 33, 65) as large:
        expected = small.render(data, "front"), large.render(data, "front")
        for _ in range(3):
            np.testing.assert_array_equal(small.render(data, "front"), expected[0])
            np.testing.assert_array_equal(large.render(data, "front"), expected[1])
        with Renderer(model, 16, 16) as third:
            third.render(data, "front")
        np.testing.assert_array_equal(small.render(data, "front"), expected[0])


def test_forgotten_renderer_does_not_disturb(scene):
    model, data = scene
    with Renderer(model, 16, 16) as renderer:
        expected = renderer.render(data, "front")
        for _ in range(3):
            Renderer(model, 16, 16)
            gc.collect()
            np.testing.assert_array_equal(renderer.render(data, "front"), expected)


def test_any_thread(scene):
    model, data = scene
    with Renderer(model, 32, 32) as renderer, ThreadPoolExecutor(4) as pool:
        expected = renderer.render(data, "front")
        for image in pool.map(lambda _: renderer.render(data, "front"), range(40)):
            np.testing.assert_array_equal(image, expected)

    def draw(_):
        with Renderer(model, 32, 32) as own:
            return own.render(data, "front")

    with ThreadPoolExecutor(4) as pool:
        for image in pool.map(draw, range(8)):
            np.testing.assert_array_equal(image, expected)


def test_free_camera_and_numbers(scene):
    model, data = scene
    view = mujoco.MjvCamera()
    view.lookat, view.distance, view.azimuth, view.elevation = [0, 0, 0], 3, 90, 0
    with Renderer(model, 32, 32) as renderer:
        assert renderer.render(data, view)[8, 16].argmax() == 0
        np.testing.assert_array_equal(renderer.render(data, 1), renderer.render(data, "back"))
        assert renderer.render(data, -1).any()


def test_model_is_left_as_it_was(scene):
    model, _ = scene
    with Renderer(model, 300, 200):
        pass
    assert (model.vis.global_.offwidth, model.vis.global_.offheight) == (7, 5)
    quality = model.vis.quality
    assert (quality.shadowsize, quality.offsamples, quality.numslices) == (512, 2, 9)


def test_close(scene):
    model, data = scene
    renderer = Renderer(model, 16, 16)
    renderer.close()
    renderer.close()
    with pytest.raises(RenderingError, match="closed: make a new one"):
        renderer.render(data, "front")


def test_wrong_arguments(scene):
    model, data = scene
    with pytest.raises(ConfigError, match="got 0 x 16"):
        Renderer(model, 0, 16)
    with pytest.raises(ConfigError, match="16384"):
        Renderer(model, 16, 20000)
    with Renderer(model, 16, 16) as renderer:
        with pytest.raises(ConfigError, match="'fornt': did you mean 'front'.*known: front, back"):
            renderer.render(data, "fornt")
        with pytest.raises(ConfigError, match="camera numbers are -1 to 1, got 2"):
            renderer.render(data, 2)
        with pytest.raises(ConfigError, match=r"out must be \(16, 16, 3\) uint8, got \(16, 16, 3\) float64"):
            renderer.render(data, "front", out=np.empty((16, 16, 3)))


def test_backends_are_tried_in_other_processes():
    backends = available_backends()
    assert any(reason is None for reason in backends.values())
    draw_test_image()


def test_exit_with_open_renderer_is_silent():
    done = run_python(DRAW)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_process_draws():
    code = """
import os, signal
from hilserl_envs.twin.rendering import draw_test_image
draw_test_image()
child = os.fork()
if child == 0:
    signal.alarm(30)
    draw_test_image()
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1] != 0)
"""
    assert run_python(code).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="EGL and OSMesa are Linux's")
@pytest.mark.parametrize("broken", ["library", "driver"])
def test_falls_back_to_osmesa(tmp_path, broken):
    try:
        ctypes.CDLL("libOSMesa.so.8")
    except OSError:
        pytest.skip("libOSMesa.so.8 is not installed (Debian: libosmesa6)")
    if broken == "library":
        done = run_python(DRAW, LD_LIBRARY_PATH=without_library(tmp_path, "libEGL.so.1"))
    else:
        done = run_python(DRAW, __EGL_VENDOR_LIBRARY_FILENAMES=str(tmp_path / "none.json"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "mujoco.osmesa\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="EGL and OSMesa are Linux's")
def test_no_backend_names_the_packages(tmp_path):
    path = without_library(tmp_path, "libEGL.so.1", "libOSMesa.so.8")
    done = run_python(DRAW, LD_LIBRARY_PATH=path)
    message = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "RenderingError" in message
    for part in ("apt-get install -y libegl1 libgl1", "libosmesa6", "hilserl doctor", "libEGL.so.1"):
        assert part in message


@pytest.mark.skipif(sys.platform != "linux", reason="EGL and OSMesa are Linux's")
@pytest.mark.parametrize(("asked", "says"), [("egl", "rules out the others"), ("off", "turns drawing off")])
def test_asked_backend_is_not_replaced(tmp_path, asked, says):
    done = run_python(DRAW, MUJOCO_GL=asked, __EGL_VENDOR_LIBRARY_FILENAMES=str(tmp_path / "none.json"))
    assert done.returncode == 1 and says in done.stderr.splitlines()[-1]
