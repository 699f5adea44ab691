"""A window on the twin, for render_mode="human"."""

from __future__ import annotations

import os
import sys

import mujoco

from hilserl_envs.errors import RenderingError


class Window:
    """MuJoCo's own viewer, fed after every step; the person may turn and zoom it.

    Raises:
        RenderingError: there is no display, or the viewer cannot open.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, camera: str):
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise RenderingError(
                "render_mode='human' needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; use "
                "render_mode='rgb_array', or run under a virtual display: xvfb-run -a python ..."
            )
        import mujoco.viewer

        try:
            self._handle = mujoco.viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
        except RuntimeError as error:  # on macOS the viewer needs `mjpython`
            raise RenderingError(f"the viewer does not open: {error}") from error
        with self._handle.lock():
            self._handle.cam.type = mujoco.mjtCamera.mjCAMERA_FREE
            mujoco.mjv_defaultFreeCamera(model, self._handle.cam)
            number = model.camera(camera).id
            self._handle.cam.lookat[:] = data.cam_xpos[number] - 1.2 * data.cam_xmat[number].reshape(3, 3)[:, 2]
            self._handle.cam.distance = 1.2

    def update(self) -> None:
        """Show the present state; does nothing once the person has closed the window."""
        if self._handle.is_running():
            self._handle.sync()

    def close(self) -> None:
        """Close the window; safe to call twice."""
        self._handle.close()
