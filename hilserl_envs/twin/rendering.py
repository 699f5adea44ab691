"""Images of MuJoCo models, with or without a display.

`Renderer` is our own because mujoco's takes several samples a pixel, casts shadows and
draws fine meshes: on a software rasteriser that costs 100 times as much.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, RenderingError, check_name
from hilserl_envs.twin.gl_backend import gl_backend

# Settings of the model that MuJoCo reads once, when a context is made. Spheres and capsules
# of 4 stacks cost half of those of 8, and 128 pixels show no difference.
_FAST_QUALITY = {"offsamples": 0, "shadowsize": 0, "numslices": 10, "numstacks": 4}
_FINE_QUALITY = {"offsamples": 4, "shadowsize": 1024, "numslices": 20, "numstacks": 10}
_SLOW_FLAGS = [
    mujoco.mjtRndFlag.mjRND_SHADOW.value,
    mujoco.mjtRndFlag.mjRND_REFLECTION.value,
    mujoco.mjtRndFlag.mjRND_SKYBOX.value,
    mujoco.mjtRndFlag.mjRND_HAZE.value,
]
_EVERYTHING = mujoco.mjtCatBit.mjCAT_ALL.value
MAX_SIZE = 16384  # edge of the largest framebuffer of Mesa's rasteriser [pixels]

_creating = threading.RLock()
_open: weakref.WeakSet[Renderer] = weakref.WeakSet()
# What renderers left behind that nobody closed. They are freed between images: the garbage
# collector may run inside one, and freeing a context takes away the one in use.
_abandoned: list[tuple[Any, mujoco.MjrContext]] = []


class Renderer:
    """Draws one model at one size. Any thread may use it, one at a time.

    Args:
        model: what is drawn; it is left as it was.
        height, width: of the images [pixels].
        fast: for small observation images: one sample a pixel, few polygons, no shadows,
            reflections, skybox, haze or sites; 0.2 to 0.4 ms for 128x128 on a CPU core.
            Otherwise with all of these and 4 samples a pixel; 30 ms for 480x640.

    Raises:
        ConfigError: a size below 1 or above `MAX_SIZE`.
        RenderingError: this machine cannot draw; the message says what to install.

    Example:
        >>> with Renderer(model, 128, 128) as renderer:
        ...     image = renderer.render(data, "wrist_1")
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int, fast: bool = True):
        self._context = None  # what close() and __del__ go by
        for size in (height, width):
            if not 1 <= size <= MAX_SIZE:
                raise ConfigError(f"an image is 1 to {MAX_SIZE} pixels high and wide, got {height} x {width}")
        self._model = model
        self._lock = threading.Lock()
        self._viewpoints: dict[str | int, mujoco.MjvCamera] = {}
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        # Room for what is drawn beside geoms: sites, lights, the segments of tendons.
        self._scene = mujoco.MjvScene(model, 2 * (model.ngeom + model.nsite + model.nwrap) + 200)
        self._options = mujoco.MjvOption()
        if fast:
            self._scene.flags[_SLOW_FLAGS] = 0
            self._options.sitegroup[:] = 0
        with _creating:
            _free_abandoned()
            make_gl, self._release = gl_backend()
            _close_all_at_exit()
            try:
                self._gl = make_gl(width, height)
                self._gl.make_current()
                with _quality(model, height, width, _FAST_QUALITY if fast else _FINE_QUALITY):
                    self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
            except Exception as error:
                raise RenderingError(f"cannot make a framebuffer of {height} x {width}: {error}") from error
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
            self._release(self._gl)
            _open.add(self)

    def render(
        self, data: mujoco.MjData, camera: str | int | mujoco.MjvCamera, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The image that a camera sees: (height, width, 3) uint8 RGB, top row first.

        Args:
            data: a state of the model, after `mj_forward` or a step.
            camera: name or number of one of the model's cameras, -1 for MuJoCo's default view
                of the whole scene, or a free camera.
            out: written and returned if given; else the array is a fresh one.
        """
        if out is None:
            out = np.empty_like(self._pixels)
        elif out.shape != self._pixels.shape or out.dtype != np.uint8:
            raise ConfigError(f"out must be {self._pixels.shape} uint8, got {out.shape} {out.dtype}")
        self._draw(data, [(camera, out)])
        return out

    def render_all(self, data: mujoco.MjData, cameras: Iterable[str]) -> dict[str, np.ndarray]:
        """What several of the model's cameras see, each as `render` gives it, by name."""
        images = {camera: np.empty_like(self._pixels) for camera in cameras}
        self._draw(data, list(images.items()))
        return images

    def _draw(
        self, data: mujoco.MjData, images: list[tuple[str | int | mujoco.MjvCamera, np.ndarray]]
    ) -> None:
        views = [(c if isinstance(c, mujoco.MjvCamera) else self._viewpoint(c), out) for c, out in images]
        with self._lock:
            if self._context is None:
                raise RenderingError("this renderer is closed: make a new one")
            _free_abandoned()
            # A context is current on one thread at most. Taking and letting go of it costs
            # 5 us, and the next images may come from any thread.
            self._gl.make_current()
            try:
                for viewpoint, out in views:
                    mujoco.mjv_updateScene(
                        self._model, data, self._options, None, viewpoint, _EVERYTHING, self._scene
                    )
                    mujoco.mjr_render(self._rectangle, self._scene, self._context)
                    mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)
                    out[:] = self._pixels[::-1]
            finally:
                self._release(self._gl)

    def close(self) -> None:
        """Free the framebuffer; safe to call twice."""
        if self._context is None:
            return
        with self._lock:
            context, self._context = self._context, None
            if context is not None:
                _free(self._gl, context)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._context is not None:
            _abandoned.append((self._gl, self._context))

    def _viewpoint(self, camera: str | int) -> mujoco.MjvCamera:
        if camera not in self._viewpoints:
            names = [self._model.camera(number).name for number in range(self._model.ncam)]
            is_name = isinstance(camera, str)
            number = names.index(check_name(camera, names, "camera")) if is_name else int(camera)
            if not -1 <= number < len(names):
                raise ConfigError(f"camera numbers are -1 to {len(names) - 1}, got {number}; names: {names}")
            viewpoint = mujoco.MjvCamera()
            mujoco.mjv_defaultFreeCamera(self._model, viewpoint)
            if number >= 0:
                viewpoint.type, viewpoint.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, number
            self._viewpoints[camera] = viewpoint
        return self._viewpoints[camera]


def draw_test_image() -> None:
    """Draw a red box with this process's GL backend.

    Raises:
        RenderingError: no backend works, or the box is not red.
    """
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="box" size="1 1 1" rgba="1 0 0 1"/></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with Renderer(model, 64, 64) as renderer:
        red, green, blue = renderer.render(data, -1)[32, 32].tolist()
    if red < 50 or green > red / 4 or blue > red / 4:
        raise RenderingError(f"GL draws wrong images: a red box came out as RGB {red, green, blue}")


@contextlib.contextmanager
def _quality(model: mujoco.MjModel, height: int, width: int, quality: dict[str, int]) -> Iterator[None]:
    """Lend the model settings for as long as a context is made from it."""
    settings = [(model.vis.global_, "offheight", height), (model.vis.global_, "offwidth", width)]
    settings += [(model.vis.quality, name, value) for name, value in quality.items()]
    before = [getattr(group, name) for group, name, _ in settings]
    try:
        for group, name, value in settings:
            setattr(group, name, value)
        yield
    finally:
        for (group, name, _), value in zip(settings, before, strict=True):
            setattr(group, name, value)


def _free(gl: Any, context: mujoco.MjrContext) -> None:
    gl.make_current()
    context.free()
    gl.free()


def _free_abandoned() -> None:
    while _abandoned:
        with contextlib.suppress(IndexError):  # another thread took the last one
            _free(*_abandoned.pop())


@functools.cache
def _close_all_at_exit() -> None:
    # Registered after the backend is loaded, so run before mujoco.egl takes down its display.
    @atexit.register
    def close_all() -> None:
        for renderer in list(_open):
            renderer.close()
        _free_abandoned()
