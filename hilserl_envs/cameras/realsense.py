"""`RealSense`: colour images of an Intel RealSense camera, by serial number, through its SDK."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from hilserl_envs.cameras.reader import CameraReader
from hilserl_envs.errors import CameraError, ConfigError, check_fields, checked_names, ranged


@checked_names
@dataclass(frozen=True)
class RealSenseSettings:
    """Which camera, and how it takes pictures.

    Args:
        serial: its serial number.
        width, height: of its images [pixels].
        fps: pictures a second.
        exposure: in the unit of the camera's own option: microseconds on a D405, hundreds of
            them on a D415, D435 and D455. None is automatic.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    serial: str
    width: int = ranged(640, 1, 10000)
    height: int = ranged(480, 1, 10000)
    fps: int = ranged(30, 5, 300)
    exposure: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.serial, str) or not self.serial.strip():
            raise ConfigError(
                f'a serial number is text such as "128422271784", in quotes, got {self.serial!r}'
            )
        for name in ("width", "height", "fps"):
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"{name} is a whole number, got {getattr(self, name)}")
        exposure = self.exposure
        number = isinstance(exposure, int | float) and not isinstance(exposure, bool)
        if exposure is not None and not (number and math.isfinite(exposure)):
            raise ConfigError(f"exposure is a number, or left out for automatic exposure, got {exposure!r}")


def realsense_camera(settings: RealSenseSettings, context: Any = None) -> CameraReader:
    """Open a camera; returns with its first picture.

    Args:
        settings: see `RealSenseSettings`.
        context: the SDK's `rs.context` to find it in; None makes one.

    Raises:
        ConfigError: this machine has no SDK.
        CameraError: no such camera, a mode or an exposure that it does not have, or no picture.
    """
    return CameraReader(RealSense(settings, context))


class RealSense:
    """A `Source`; see `realsense_camera`."""

    def __init__(self, settings: RealSenseSettings, context: Any = None):
        self._rs = import_sdk()
        self._settings, self._context = settings, context or self._rs.context()
        self.size = (settings.height, settings.width)
        self._sensor, self._queue = None, None
        self._silent = False  # since it was opened last

    def __str__(self) -> str:
        return f"RealSense {self._settings.serial}"

    def open(self) -> None:
        # Not by an rs.pipeline: it waits 15 s for a camera that is not there.
        with self._sdk_errors():
            device = self._find()
            sensor, profile = self._color_stream(device)
            if self._silent:
                self._restart(device)
            self._queue = self._rs.frame_queue(1)  # older ones give way
            sensor.open(profile)
            self._sensor = sensor
            sensor.start(self._queue)
            self._expose(sensor)
            self._silent = True

    def read(self, timeout: float) -> tuple[np.ndarray, int] | None:
        with self._sdk_errors():
            came, frame = self._queue.try_wait_for_frame(round(timeout * 1000))
            if not came:
                return None
            self._silent = False
            # A copy: the SDK uses its buffers again.
            return np.array(frame.as_video_frame().get_data()), frame.get_frame_number()

    def close(self) -> None:
        sensor, self._sensor, self._queue = self._sensor, None, None
        if sensor is not None:
            for stop in (sensor.stop, sensor.close):
                with contextlib.suppress(RuntimeError):  # it did not start, or is unplugged
                    stop()

    def _find(self) -> Any:
        info, devices = self._rs.camera_info, {}
        listed = self._context.query_devices()
        for index in range(len(listed)):
            with contextlib.suppress(RuntimeError):  # one that is just being unplugged hides no other
                device = listed[index]
                if device.supports(info.serial_number):
                    devices[device.get_info(info.serial_number)] = device
        if self._settings.serial not in devices:
            found = [f"{serial} ({device.get_info(info.name)})" for serial, device in sorted(devices.items())]
            raise CameraError(
                f"{self} is not plugged in; found: {', '.join(found) or 'no RealSense camera at all'}. "
                "Its serial number is on its label; `hilserl doctor` lists those that the SDK sees"
            )
        return devices[self._settings.serial]

    def _color_stream(self, device: Any) -> tuple[Any, Any]:
        """The sensor that takes colour images, and its profile for the mode that is asked for."""
        one, rs = self._settings, self._rs
        modes = {}
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8:
                    video = profile.as_video_stream_profile()
                    modes[video.width(), video.height(), video.fps()] = sensor, profile
        if (one.width, one.height, one.fps) in modes:
            return modes[one.width, one.height, one.fps]
        usb = rs.camera_info.usb_type_descriptor
        slow = device.supports(usb) and device.get_info(usb).startswith("2")
        hint = ". It is on USB 2, where it has few: use a USB 3 port, and a cable for it" if slow else ""
        raise CameraError(
            f"{self} has no colour images of {one.width}x{one.height} at {one.fps} a second; "
            f"it has {_in_words(modes)}{hint}"
        )

    def _expose(self, sensor: Any) -> None:
        option, exposure = self._rs.option, self._settings.exposure
        if sensor.supports(option.enable_auto_exposure):
            # A camera keeps what the program before this one chose.
            sensor.set_option(option.enable_auto_exposure, float(exposure is None))
        if exposure is None:
            return
        if not sensor.supports(option.exposure):
            raise CameraError(f"{self} does not let its exposure be set: leave out exposure")
        allowed = sensor.get_option_range(option.exposure)
        if not allowed.min <= exposure <= allowed.max:
            raise CameraError(
                f"{self}: exposure is {allowed.min:g} to {allowed.max:g} on this camera, got {exposure:g}"
            )
        sensor.set_option(option.exposure, exposure)

    def _restart(self, device: Any) -> None:
        """Have the camera's firmware start anew: opening it again did not bring a picture."""
        self._silent = False
        try:
            device.hardware_reset()
        except RuntimeError:  # it cannot: opening it again is all there is
            return
        raise CameraError(f"{self} gave no pictures when opened anew; it is being restarted")

    @contextlib.contextmanager
    def _sdk_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # the SDK knows no other
            if isinstance(error, CameraError):
                raise
            reason = str(error).rstrip(".!")
            raise CameraError(
                f"{self} fails: {reason}. If another program uses it, end that; else plug it in anew"
            ) from error


def import_sdk() -> Any:
    """The module pyrealsense2.

    Raises:
        ConfigError: it is missing, or a library that it needs; says what to do.
    """
    try:
        import pyrealsense2
    except ModuleNotFoundError:
        raise ConfigError(
            "RealSense cameras need the package pyrealsense2: pip install pyrealsense2. There are packages "
            "for Linux and Windows on x86-64; elsewhere build librealsense with "
            "-DBUILD_PYTHON_BINDINGS=ON (github.com/IntelRealSense/librealsense)"
        ) from None
    except ImportError as error:
        raise ConfigError(
            f"pyrealsense2 does not load: {error}. It needs libusb: apt-get install libusb-1.0-0 "
            "(Debian, Ubuntu)"
        ) from error
    return pyrealsense2


def _in_words(modes: Iterable[tuple[int, int, int]]) -> str:
    """(width, height, fps) as "640x480 at 15 or 30 a second; ..."."""
    sizes = groupby(sorted(modes), key=lambda mode: mode[:2])
    listed = [
        f"{width}x{height} at {' or '.join(str(mode[2]) for mode in group)} a second"
        for (width, height), group in sizes
    ]
    return "; ".join(listed) or "none at all"
