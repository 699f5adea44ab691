"""RealSense cameras through the real SDK, on its own synthetic devices: every way to open and lose one."""

import platform
import subprocess
import sys
import time

import numpy as np
import pytest

from hilserl_envs.cameras import RealSenseSettings, reader, realsense_camera
from hilserl_envs.errors import CameraError, ConfigError
from tests import needs

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="pyrealsense2 has no package for this machine"
)
FIRST, SECOND = "128422271784", "127122270572"


@pytest.fixture
def ports():
    needs.shared_library("usb-1.0", "libusb-1.0-0")
    from tests.realsense_stand_in import Ports

    made = Ports()
    yield made
    made.close()


@pytest.fixture
def open_camera(ports):
    opened = []

    def opener(serial=FIRST, **settings):
        opened.append(realsense_camera(RealSenseSettings(serial, **settings), ports.context))
        return opened[-1]

    yield opener
    for camera in opened:
        camera.close()


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(reader, "RETRY", 0.05)
    monkeypatch.setattr(reader, "STALL", 0.5)


def until(condition, what, timeout=10.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.005)


def test_two_cameras_by_serial_number_each_in_its_mode(ports, open_camera):
    ports.plug(FIRST)
    ports.plug(SECOND)
    large, small = open_camera(FIRST), open_camera(SECOND, width=320, height=240, fps=60)
    assert large.size == (480, 640) and small.size == (240, 320)
    for camera, serial in ((large, FIRST), (small, SECOND)):
        frame = camera.frame()
        assert frame.image.shape == (*camera.size, 3) and frame.image.dtype == np.uint8
        assert frame.image[7, 33, 1] == 33 and frame.image[0, 0, 2] == int(serial) % 256
        until(lambda camera=camera, frame=frame: camera.frame().number > frame.number, "a newer picture")
        assert camera.frame().image[0, 0, 0] != frame.image[0, 0, 0]
        assert camera.error() is None


def test_exposure_is_set_or_left_to_the_camera(ports, open_camera):
    import pyrealsense2 as rs

    sensor = ports.plug(FIRST).sensor
    open_camera(exposure=40000).close()
    assert sensor.get_option(rs.option.exposure) == 40000
    assert sensor.get_option(rs.option.enable_auto_exposure) == 0
    open_camera().close()
    assert sensor.get_option(rs.option.enable_auto_exposure) == 1
    with pytest.raises(CameraError, match=f"{FIRST}: exposure is 1 to 165000 on this camera, got 200000"):
        open_camera(exposure=200000)


def test_a_stall_is_reported_and_ends_by_itself(ports, open_camera, soon):
    device, camera = ports.plug(FIRST), open_camera()
    before = camera.frame()
    device.on = False
    until(camera.error, "the stall being noticed")
    assert camera.error().startswith(f"RealSense {FIRST}")
    until(lambda: "gives no pictures" in camera.error(), "the camera being opened anew")
    began = time.monotonic()
    with pytest.raises(CameraError, match=FIRST):
        camera.frame()
    assert time.monotonic() - began < 0.5
    device.on = True
    until(lambda: camera.error() is None, "the pictures' return")
    assert camera.frame().number > before.number


def test_a_camera_that_stays_silent_when_opened_anew_is_restarted(ports, open_camera, soon, monkeypatch):
    import pyrealsense2 as rs

    restarted = []
    monkeypatch.setattr(rs.device, "hardware_reset", lambda device: restarted.append(device.is_connected()))
    device, camera = ports.plug(FIRST), open_camera()
    device.on = False
    until(lambda: restarted, "the restart")
    until(lambda: "is being restarted" in (camera.error() or ""), "the restart being told")
    device.on = True
    until(lambda: camera.error() is None, "the pictures' return")
    assert len(restarted) == 1


def test_a_camera_that_is_unplugged_comes_back_while_another_goes_on(ports, open_camera, soon):
    ports.plug(FIRST)
    ports.plug(SECOND)
    camera, other = open_camera(FIRST), open_camera(SECOND)
    for _ in range(2):
        before = camera.frame()
        ports.unplug(FIRST)
        until(lambda: "not plugged in" in (camera.error() or ""), "the camera being missed")
        assert f"RealSense {FIRST} is not plugged in; found: {SECOND} (Synthetic D405)" in camera.error()
        assert other.error() is None
        ports.plug(FIRST)
        until(lambda: camera.error() is None, "the camera's return")
        assert camera.frame().number > before.number


def test_an_unknown_serial_number_lists_those_that_are_there(ports, open_camera):
    with pytest.raises(CameraError, match="found: no RealSense camera at all.*hilserl doctor"):
        open_camera("000000")
    ports.plug(FIRST)
    ports.plug(SECOND)
    began = time.monotonic()
    with pytest.raises(
        CameraError, match=f"RealSense 000000 is not plugged in; found: {SECOND} .*, {FIRST} "
    ):
        open_camera("000000")
    assert time.monotonic() - began < 3  # the SDK's pipeline would wait 15 s


def test_a_mode_that_is_not_there_lists_those_that_are(ports, open_camera):
    ports.plug(FIRST, modes=((640, 480, 15), (640, 480, 30), (320, 240, 60)))
    with pytest.raises(CameraError) as raised:
        open_camera(width=1280, height=720)
    assert str(raised.value) == (
        f"RealSense {FIRST} has no colour images of 1280x720 at 30 a second; "
        "it has 320x240 at 60 a second; 640x480 at 15 or 30 a second"
    )


def test_usb_2_is_named_as_the_reason_for_a_missing_mode(ports, open_camera):
    ports.plug(FIRST, usb="2.1")
    with pytest.raises(CameraError, match="USB 2, where it has few: use a USB 3 port"):
        open_camera(width=1280, height=720)


def test_a_camera_that_is_open_already_says_so(ports, open_camera):
    ports.plug(FIRST)
    camera = open_camera()
    with pytest.raises(CameraError, match="If another program uses it, end that"):
        open_camera()
    assert camera.error() is None


def test_a_program_that_forgets_its_camera_still_ends_well(ports):
    program = f"""
from hilserl_envs.cameras import RealSenseSettings, realsense_camera
from tests.realsense_stand_in import Ports

ports = Ports()
ports.plug("{FIRST}")
camera = realsense_camera(RealSenseSettings("{FIRST}"), ports.context)
print(camera.frame().image.shape)
ports.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "(480, 640, 3)\n"), done.stderr


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"serial": 128422271784}, "in quotes"),
        ({"serial": " "}, "in quotes"),
        ({"width": 640.5}, "width is a whole number"),
        ({"height": 0}, r"height = 0 is outside"),
        ({"fps": True}, "fps must be a number"),
        ({"fps": 1}, r"fps = 1 is outside \[5, 300\]"),
        ({"exposure": "auto"}, "left out for automatic"),
        ({"exposure": float("nan")}, "left out for automatic"),
        ({"exposur": 3}, "did you mean 'exposure'"),
    ],
)
def test_wrong_settings_are_refused_before_any_camera_is_touched(wrong, message):
    with pytest.raises(ConfigError, match=message):
        RealSenseSettings(**{"serial": FIRST} | wrong)


def test_without_the_sdk_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(ConfigError, match="pip install pyrealsense2.*elsewhere build librealsense"):
        realsense_camera(RealSenseSettings(FIRST))


def test_without_libusb_it_says_what_to_do(monkeypatch, tmp_path):
    # What Python raises where pyrealsense2 is there and libusb is not.
    broken = 'raise ImportError("libusb-1.0.so.0: cannot open shared object file")\n'
    (tmp_path / "pyrealsense2.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyrealsense2", raising=False)
    with pytest.raises(ConfigError, match="libusb-1.0.so.0.*apt-get install libusb-1.0-0"):
        realsense_camera(RealSenseSettings(FIRST))
    sys.modules.pop("pyrealsense2", None)
