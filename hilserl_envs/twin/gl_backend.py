"""Which OpenGL this process draws with: the one MUJOCO_GL names, else EGL, else OSMesa.

The contexts are those that ship with mujoco. PyOpenGL below them takes one platform per
process, when it is imported; this file makes a second choice possible after a first that
failed. macOS draws through its own library, Windows through a hidden window.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from hilserl_envs.errors import RenderingError

# Debian's packages that each backend needs, the same in Debian 12 and 13.
DEBIAN_PACKAGES = {"egl": ("libegl1", "libgl1", "libgl1-mesa-dri"), "osmesa": ("libosmesa6",)}
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
_DEFAULTS = {"Linux": ("egl", "osmesa"), "Darwin": ("cgl", "glfw"), "Windows": ("glfw",)}
# Values of MUJOCO_GL; glx and wgl are what a window has below it.
_NAMES = {"egl": "egl", "osmesa": "osmesa", "cgl": "cgl", "glfw": "glfw", "glx": "glfw", "wgl": "glfw"}
_DISABLED = ("disable", "disabled", "off", "false", "0")

# MUJOCO_GL is set after the import: where its library is missing, `import mujoco` fails obscurely.
_TRY_BACKEND = """
import os, sys
from hilserl_envs.twin import gl_backend, rendering
os.environ["MUJOCO_GL"] = sys.argv[1]
gl_backend._load(sys.argv[1])
rendering.draw_test_image()
"""


@functools.cache
def gl_backend() -> tuple[type, Callable[[Any], None]]:
    """The class of GL contexts for this process, and how to let go of a current one.

    Raises:
        RenderingError: no backend works; the message says why and what to install.
    """
    # Mesa's rasteriser hands the tiles of an image to threads of its own. For 128x128 pixels
    # that costs more than it gains: without, an image takes 0.26 ms instead of 0.38, and two
    # threads with a renderer each draw 7100 images a second instead of 3600. And a process
    # forked from one that has drawn would wait for ever for threads that it has not got.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in _DISABLED:
        raise RenderingError(f"MUJOCO_GL={asked} turns drawing off: unset it, or use state observations only")
    names = (_NAMES[asked],) if asked in _NAMES else _DEFAULTS[platform.system()]
    reasons = []
    for name in names:
        try:
            return _load(name)
        except Exception as error:  # a missing library surfaces as one of many types
            reasons.append(f"{name}: {' '.join(str(error).split())}")
    fixes = [f"`{apt_line(*DEBIAN_PACKAGES[name])}`" for name in names if name in DEBIAN_PACKAGES]
    raise RenderingError(
        f"no way to draw images on this machine ({'; '.join(reasons)})."
        + (f" MUJOCO_GL={asked} rules out the others: unset it to try them." if asked in _NAMES else "")
        + (f" On Debian or Ubuntu, {' or '.join(fixes)} helps." if fixes else "")
        + " `hilserl doctor` shows what is missing."
    )


def available_backends() -> dict[str, str | None]:
    """GL backends of this system, each with the reason why it does not work, None if it does.

    Each draws an image in a process of its own: the caller's stays free to choose.
    """
    chosen = ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    environment = {key: value for key, value in os.environ.items() if key not in chosen}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    attempts = {
        name: subprocess.Popen(
            [sys.executable, "-c", _TRY_BACKEND, name],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in _DEFAULTS[platform.system()]
    }
    reasons: dict[str, str | None] = {}
    for name, attempt in attempts.items():
        try:
            message = attempt.communicate(timeout=60)[1].strip()
        except subprocess.TimeoutExpired:
            attempt.kill()
            message = attempt.communicate()[1] + "\nno image after 60 s"
        why = message.splitlines()[-1] if message else f"it crashed with status {attempt.returncode}"
        reasons[name] = None if attempt.returncode == 0 else why
    return reasons


def apt_line(*packages: str) -> str:
    """The shell line that installs Debian packages, for the user who runs this process."""
    is_root = getattr(os, "geteuid", lambda: 1)() == 0
    return f"{'' if is_root else 'sudo '}apt-get install -y {' '.join(packages)}"


def _load(name: str) -> tuple[type, Callable[[Any], None]]:
    """Commit the process to a backend, or raise and leave it as free as it was."""
    if name in _LIBRARIES:
        ctypes.CDLL(_LIBRARIES[name])  # its message names the missing file
    modules = set(sys.modules)
    environment = {key: os.environ.get(key) for key in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    try:
        if name == "osmesa":
            # Else libmujoco takes its GL functions from EGL's library, where that is loaded too.
            os.environ["MUJOCO_GL"] = "osmesa"
        module = importlib.import_module(f"mujoco.{name}")
        if name == "glfw" and not module.glfw.init():
            raise RenderingError("there is no display")
        release = {
            "egl": lambda gl: module.EGL.eglReleaseThread(),
            "osmesa": lambda gl: module.osmesa.OSMesaMakeCurrent(None, None, module.GL.GL_FLOAT, 0, 0),
            "glfw": lambda gl: module.glfw.make_context_current(None),
            "cgl": lambda gl: module.cgl.CGLUnlockContext(gl._context),
        }[name]
        gl = module.GLContext(16, 16)
        gl.make_current()
        gl.free()
        return module.GLContext, release
    except Exception:
        for imported in set(sys.modules) - modules:
            if imported.split(".")[0] == "OpenGL" or imported.startswith(f"mujoco.{name}"):
                del sys.modules[imported]
        for key, value in environment.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        raise
