"""Synthetic RealSense cameras that the real SDK finds, opens and streams."""

import threading
import time

import numpy as np
import pyrealsense2 as rs

EXPOSURE = rs.option_range()
EXPOSURE.min, EXPOSURE.max, EXPOSURE.step, EXPOSURE.default = 1.0, 165000.0, 1.0, 33000.0
SWITCH = rs.option_range()
SWITCH.min, SWITCH.max, SWITCH.step, SWITCH.default = 0.0, 1.0, 1.0, 1.0


class Ports:
    """USB ports: what is plugged in here is found through `context`."""

    def __init__(self):
        self.context = rs.context()
        self.cameras = {}

    def plug(self, serial, **settings):
        self.cameras[serial] = SoftwareCamera(self.context, serial, **settings)
        return self.cameras[serial]

    def unplug(self, serial):
        self.cameras.pop(serial).remove()

    def close(self):
        for serial in list(self.cameras):
            self.unplug(serial)


class SoftwareCamera:
    """A camera that takes pictures while it is opened and `on`.

    Every pixel of a picture is (its number, the length of its row so far, the serial number),
    all modulo 256.
    """

    def __init__(self, context, serial, modes=((640, 480, 30), (320, 240, 60)), usb="3.2"):
        self.on, self.number, self._serial = True, 0, int(serial)
        self._device = rs.software_device()
        for key, value in {
            rs.camera_info.name: "Synthetic D405",
            rs.camera_info.serial_number: serial,
            rs.camera_info.product_line: "D400",
            rs.camera_info.usb_type_descriptor: usb,
        }.items():
            known = self._device.supports(key)
            (self._device.update_info if known else self._device.register_info)(key, value)
        self.sensor = self._device.add_sensor("Stereo Module")
        self.sensor.add_option(rs.option.exposure, EXPOSURE, True)
        self.sensor.add_option(rs.option.enable_auto_exposure, SWITCH, True)
        for index, mode in enumerate(modes):
            self.sensor.add_video_stream(_stream(*mode, uid=int(serial) % 10000 + index), index == 0)
        # A software device is gone once nobody holds the list that this callback is handed.
        self._held, added = [], threading.Event()
        context.set_devices_changed_callback(
            lambda info: (self._held.append(info.get_new_devices()), added.set())
        )
        self._device.add_to(context)
        assert added.wait(5)
        self._removed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._removed.wait(1 / 60):
            profiles = self.sensor.get_active_streams()
            if self.on and profiles:
                self._push(profiles[0].as_video_stream_profile())

    def _push(self, profile):
        rows = np.arange(profile.width(), dtype=np.uint8)
        image = np.empty((profile.height(), profile.width(), 3), np.uint8)
        image[:] = np.stack(
            [np.full_like(rows, self.number % 256), rows, np.full_like(rows, self._serial % 256)], 1
        )
        frame = rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp, frame.profile = image, image.shape[1] * 3, 3, profile
        frame.timestamp, frame.domain = time.time() * 1e3, rs.timestamp_domain.system_time
        frame.frame_number = self.number
        self.sensor.on_video_frame(frame)
        self.number += 1

    def remove(self):
        """Unplug it. Whoever has it open holds it until they let go."""
        self._removed.set()
        self._thread.join()
        del self._device, self.sensor
        self._held.clear()


def _stream(width, height, fps, uid):
    stream, lens = rs.video_stream(), rs.intrinsics()
    stream.type, stream.index, stream.uid, stream.fmt = rs.stream.color, 0, uid, rs.format.rgb8
    stream.width, stream.height, stream.fps, stream.bpp = width, height, fps, 3
    lens.width, lens.height, lens.model, lens.coeffs = width, height, rs.distortion.none, [0.0] * 5
    lens.fx = lens.fy = 600.0
    lens.ppx, lens.ppy = width / 2, height / 2
    stream.intrinsics = lens
    return stream
