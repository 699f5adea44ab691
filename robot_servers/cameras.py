"""Which cameras a server has: read from a TOML or JSON file, then opened.

One table a camera, by the name that the task knows it by; two with the same serial number
are two views of one camera, which is opened once:

    [wrist_1]
    serial = "128422271784"
    resolution = [640, 480]       # width, height
    fps = 30
    exposure = 40000              # left out: automatic
    crop = [0, 80, 480, 480]      # top, left, height, width; left out: the middle
    size = [128, 128]             # height, width of the images that the policy gets
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hilserl_envs.cameras import Camera, CameraView, RealSenseSettings, realsense_camera
from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.images import check_crop

SIZE = (128, 128)
_KEYS = ("serial", "resolution", "fps", "exposure", "crop", "size")
_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?")


@dataclass(frozen=True)
class ViewSettings:
    """One camera of a server.

    Args:
        camera: what takes the pictures; equal ones are one camera.
        size: (height, width) of the images.
        crop: (top, left, height, width) of the part shown; None is the middle.
    """

    camera: RealSenseSettings
    size: tuple[int, int] = SIZE
    crop: tuple[int, int, int, int] | None = None


def read_cameras(path: str | Path) -> dict[str, ViewSettings]:
    """The cameras that a file names.

    Raises:
        ConfigError: no such file, not TOML or JSON, or something in it is wrong; says where.
    """
    path = Path(path)
    data = _parsed(path)
    if not isinstance(data, Mapping) or not data:
        raise ConfigError(f"{path} names no camera: one table a camera, such as [wrist_1], is expected")
    views: dict[str, ViewSettings] = {}
    for name, table in data.items():
        try:
            views[name] = _view(name, table)
            _check_one_mode(name, views)
        except ConfigError as error:
            raise ConfigError(f"{path}: camera {name!r}: {error}") from error
    return views


def open_cameras(views: Mapping[str, ViewSettings], context: Any = None) -> dict[str, Camera]:
    """Open cameras, by name; returns when each has its first picture.

    Args:
        views: see `read_cameras`.
        context: the RealSense SDK's `rs.context` to find them in; None makes one.

    Raises:
        ConfigError: this machine has no SDK.
        CameraError: one does not open; the others are closed again.
    """
    cameras: dict[RealSenseSettings, Camera] = {}
    with contextlib.ExitStack() as unless_all:
        for view in views.values():
            if view.camera not in cameras:
                cameras[view.camera] = realsense_camera(view.camera, context)
                unless_all.callback(cameras[view.camera].close)
        opened = {
            name: CameraView(cameras[view.camera], view.size, view.crop) for name, view in views.items()
        }
        unless_all.pop_all()
    return opened


def _parsed(path: Path) -> Any:
    if path.suffix not in (".toml", ".json"):
        raise ConfigError(f"cameras are read from a file that ends in .toml or .json, got {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cameras cannot be read from {path}: {error}") from None
    try:
        return json.loads(text) if path.suffix == ".json" else _toml().loads(text)
    except ValueError as error:  # both parsers' errors are
        raise ConfigError(f"{path} is not {path.suffix[1:].upper()}: {error}") from None


def _toml() -> Any:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        try:
            import tomli as tomllib
        except ModuleNotFoundError:
            raise ConfigError("TOML takes Python 3.11, or: pip install tomli. Or write JSON") from None
    return tomllib


def _view(name: str, table: Any) -> ViewSettings:
    if not _NAME.fullmatch(name):
        raise ConfigError("a name is letters, digits, _ and -, such as wrist_1 or left/wrist_1")
    if not isinstance(table, Mapping):
        raise ConfigError(f'a table is expected, such as serial = "128422271784", got {table!r}')
    for key in table:
        check_name(key, _KEYS, "setting")
    if "serial" not in table:
        raise ConfigError("serial is missing: the camera's serial number; `hilserl doctor` lists them")
    mode = {key: table[key] for key in ("serial", "fps", "exposure") if key in table}
    if "resolution" in table:
        mode["width"], mode["height"] = _whole(table, "resolution", "width, height", 1)
    camera = RealSenseSettings(**mode)
    crop = None
    if "crop" in table:
        crop = check_crop(_whole(table, "crop", "top, left, height, width", 0), (camera.height, camera.width))
    size = _whole(table, "size", "height, width", 1) if "size" in table else SIZE
    return ViewSettings(camera, size, crop)


def _whole(table: Mapping[str, Any], key: str, parts: str, least: int) -> tuple[int, ...]:
    value = table[key]
    numbers = isinstance(value, list) and all(type(one) is int and one >= least for one in value)
    if not numbers or len(value) != len(parts.split(",")):
        raise ConfigError(f"{key} is [{parts}], whole numbers of at least {least}, got {value!r}")
    return tuple(value)


def _check_one_mode(name: str, views: Mapping[str, ViewSettings]) -> None:
    mine = views[name].camera
    for other, view in views.items():
        if view.camera.serial == mine.serial and view.camera != mine:
            raise ConfigError(
                f"it shows the same camera as {other!r}, {mine.serial}, and one camera has one resolution, "
                f"fps and exposure; got {_mode(mine)} and {_mode(view.camera)}"
            )


def _mode(camera: RealSenseSettings) -> str:
    exposure = "automatic exposure" if camera.exposure is None else f"exposure {camera.exposure:g}"
    return f"{camera.width}x{camera.height} at {camera.fps}, {exposure}"
