"""The cameras of a server: from a file, checked, opened once each, and a part of a station."""

import json
import platform
import sys
import time

import numpy as np
import pytest

from hilserl_envs.cameras import RealSenseSettings
from hilserl_envs.errors import CameraError, ConfigError
from robot_servers.cameras import ViewSettings, open_cameras, read_cameras
from robot_servers.parts import FakeArm
from robot_servers.station import Station
from tests import needs

FIRST, SECOND = "128422271784", "127122270572"
TOML = f"""
[wrist_1]
serial = "{FIRST}"
fps = 30
exposure = 40000
crop = [10, 80, 400, 400]

["left/side"]
serial = "{SECOND}"
resolution = [320, 240]
fps = 60
size = [64, 96]

[wrist_close]
serial = "{FIRST}"
exposure = 40000
crop = [100, 200, 128, 128]
"""
VIEWS = {
    "wrist_1": ViewSettings(RealSenseSettings(FIRST, exposure=40000), crop=(10, 80, 400, 400)),
    "left/side": ViewSettings(RealSenseSettings(SECOND, width=320, height=240, fps=60), size=(64, 96)),
    "wrist_close": ViewSettings(RealSenseSettings(FIRST, exposure=40000), crop=(100, 200, 128, 128)),
}


@pytest.fixture
def write(tmp_path):
    def writer(text, name="cameras.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return writer


def test_a_toml_file_names_the_cameras(write):
    assert read_cameras(write(TOML)) == VIEWS


def test_a_json_file_does_too(write):
    data = {
        "wrist_1": {"serial": FIRST, "exposure": 40000, "crop": [10, 80, 400, 400]},
        "left/side": {"serial": SECOND, "resolution": [320, 240], "fps": 60, "size": [64, 96]},
        "wrist_close": {"serial": FIRST, "exposure": 40000, "crop": [100, 200, 128, 128]},
    }
    assert read_cameras(write(json.dumps(data), "cameras.json")) == VIEWS


@pytest.mark.parametrize(
    "table, message",
    [
        ("fps = 30", "serial is missing"),
        ("serial = 128422271784", "in quotes, got 128422271784"),
        ('serial = "1"\nexposur = 3', "unknown setting 'exposur': did you mean 'exposure'"),
        ('serial = "1"\nfps = 30.5', "fps is a whole number"),
        ('serial = "1"\nfps = 1', r"fps = 1 is outside \[5, 300\]"),
        ('serial = "1"\nexposure = "auto"', "left out for automatic"),
        ('serial = "1"\nresolution = 640', r"resolution is \[width, height\].*got 640"),
        ('serial = "1"\nsize = [128, 128, 3]', r"size is \[height, width\].*got \[128, 128, 3\]"),
        ('serial = "1"\nsize = [0, 128]', "at least 1"),
        ('serial = "1"\ncrop = [0, 0, 480, 641]', "leaves the image, which is 480 high and 640 wide"),
        ('serial = "1"\ncrop = [-1, 0, 4, 4]', "at least 0"),
        ('serial = "1"\ncrop = [0.5, 0, 4, 4]', "whole numbers"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_name_and_file(write, table, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_cameras(write(f"[wrist_1]\n{table}\n"))
    assert "cameras.toml: camera 'wrist_1': " in str(raised.value)


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("", "cameras.toml", "names no camera"),
        ("[]", "cameras.json", "names no camera"),
        ('wrist_1 = "1"', "cameras.toml", "a table is expected"),
        ('["a b"]\nserial = "1"', "cameras.toml", "a name is letters"),
        ("[wrist_1\n", "cameras.toml", r"cameras.toml is not TOML: .*line 1"),
        ('{"a": ', "cameras.json", r"cameras.json is not JSON: .*line 1"),
        (TOML, "cameras.yaml", "ends in .toml or .json"),
    ],
)
def test_a_file_that_is_no_list_of_cameras_is_refused(write, text, name, message):
    with pytest.raises(ConfigError, match=message):
        read_cameras(write(text, name))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read from .*No such file"):
        read_cameras(tmp_path / "cameras.toml")


def test_one_camera_has_one_mode(write):
    text = f'[a]\nserial = "{FIRST}"\n[b]\nserial = "{FIRST}"\nfps = 15\nexposure = 100'
    with pytest.raises(ConfigError) as raised:
        read_cameras(write(text))
    assert f"camera 'b': it shows the same camera as 'a', {FIRST}" in str(raised.value)
    assert "640x480 at 15, exposure 100 and 640x480 at 30, automatic exposure" in str(raised.value)


def test_toml_without_a_parser_says_what_to_do(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(ConfigError, match="pip install tomli. Or write JSON"):
        read_cameras(write(TOML))


@pytest.fixture
def ports():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("pyrealsense2 has no package for this machine")
    needs.shared_library("usb-1.0", "libusb-1.0-0")
    from tests.realsense_stand_in import Ports

    made = Ports()
    yield made
    made.close()


def test_a_station_sees_through_them_and_a_lost_camera_is_two_lost_views(ports, write):
    ports.plug(FIRST)
    ports.plug(SECOND)
    station = Station({"arm": FakeArm()}, cameras=open_cameras(read_cameras(write(TOML)), ports.context))
    try:
        assert station.cameras == {"wrist_1": (128, 128), "left/side": (64, 96), "wrist_close": (128, 128)}
        images = station.capture()
        assert {name: image.shape[:2] for name, image in images.items()} == station.cameras
        # Uncropped in scale: the stand-in writes every pixel's column into its second channel.
        np.testing.assert_array_equal(images["wrist_close"][0, :, 1], np.arange(200, 328) % 256)
        assert station.errors() == {}
        ports.unplug(FIRST)
        end = time.monotonic() + 10
        while set(station.errors()) != {"wrist_1", "wrist_close"}:
            assert time.monotonic() < end, station.errors()
            time.sleep(0.01)
        with pytest.raises(CameraError, match=FIRST):
            station.capture()
    finally:
        station.close()
    assert all("is closed" in error for error in station.errors().values())


def test_where_one_does_not_open_the_others_are_closed_again(ports, write):
    ports.plug(FIRST)
    with pytest.raises(CameraError, match=f"RealSense {SECOND} is not plugged in; found: {FIRST}"):
        open_cameras(read_cameras(write(TOML)), ports.context)
    only = {"wrist_1": VIEWS["wrist_1"]}
    opened = open_cameras(only, ports.context)  # would be busy
    opened["wrist_1"].close()
