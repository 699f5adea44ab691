"""A window on the twin, for render_mode="human"."""

from __future__ import annotations

import atexit
import functools
import math
import os
import sys
import threading

import mujoco

from hilserl_envs.errors import RenderingError

VIEW_DISTANCE = 1.2  # from the eye to the point that the mouse turns around [m]


class Window:
    """MuJoCo's own viewer, fed after every step; the person may turn and zoom it.

    Raises:
        RenderingError: there is no display, or the viewer cannot open.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, camera: str):
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise RenderingError(
                "render_mode='human' (--render) needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is "
                "set; use render_mode='rgb_array' (--out or --video), or a virtual display: xvfb-run -a ..."
            )
        import mujoco.viewer

        before = set(threading.enumerate())
        try:
            self._handle = mujoco.viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
        except RuntimeError as error:  # on macOS the viewer needs `mjpython`
            raise RenderingError(f"the viewer does not open: {error}") from error
        # The viewer draws from model and data on a thread of its own; they must outlive it.
        threads = set(threading.enumerate()) - before
        self._shut = functools.partial(_shut, self._handle, threads)
        atexit.register(self._shut)  # a window left open closes before the display library ends
        eye, backward = data.camera(camera).xpos, data.camera(camera).xmat.reshape(3, 3)[:, 2]
        with self._handle.lock():
            view = self._handle.cam
            view.lookat[:] = eye - VIEW_DISTANCE * backward
            view.distance = VIEW_DISTANCE
            view.azimuth = math.degrees(math.atan2(-backward[1], -backward[0]))
            view.elevation = -math.degrees(math.asin(backward[2]))

    def update(self) -> None:
        """Show the present state; does nothing once the person has closed the window."""
        if self._handle.is_running():
            self._handle.sync()

    def close(self) -> None:
        """Close the window; safe to call twice."""
        self._shut()
        atexit.unregister(self._shut)


def _shut(handle, threads: set[threading.Thread]) -> None:
    handle.close()
    for thread in threads:
        thread.join(timeout=5)
