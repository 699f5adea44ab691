"""Tests of starting and ending a server."""

import socket
import threading
from pathlib import Path

import pytest
import requests

from hilserl_envs.errors import ConfigError
from robot_servers.backends import BACKENDS, BackendSettings, make_station
from robot_servers.parts import FakeArm
from robot_servers.routes.own import ServerInfo
from robot_servers.serve import RobotServer, open_server
from robot_servers.station import Station
from tests.servers import fake_server

INFO = ServerInfo("fake", {"arm": [0, 0, 0, -2, 0, 2, 0]})


def test_other_hosts_need_a_token_and_the_arm_is_let_go():
    arm = FakeArm()
    with pytest.raises(ConfigError, match="give a --token-file.*ssh -L"):
        RobotServer(Station({"arm": arm}), INFO, host="0.0.0.0")
    assert arm.calls == ["close"]
    with pytest.raises(ConfigError, match="--token-file"):
        open_server("libfranka", BackendSettings(), host="0.0.0.0")  # before any arm is brought up


def test_a_taken_port_lets_go_of_the_arm():
    arm = FakeArm()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ConfigError, match="is taken"):
            RobotServer(Station({"arm": arm}), INFO, port=taken.getsockname()[1])
    assert set(arm.calls) == {"close"}
    assert not [thread for thread in threading.enumerate() if thread.name == "deadman"]


def test_with_a_token_it_listens_where_it_is_told():
    server = RobotServer(Station({"arm": FakeArm()}), INFO, host="0.0.0.0", token="x" * 20)
    try:
        url = server.url.replace(socket.gethostname(), "127.0.0.1")
        assert requests.get(f"{url}/state", timeout=5).status_code == 401
        key = {"Authorization": f"Bearer {'x' * 20}"}
        assert requests.get(f"{url}/state", headers=key, timeout=5).ok
    finally:
        server.close()


def test_closing_ends_threads_and_frees_the_port():
    before = set(threading.enumerate())
    with fake_server() as server:
        session = requests.Session()
        assert session.get(server.url + "/state", timeout=5).ok
        port = int(server.url.rpartition(":")[2])
    server.close()
    assert set(threading.enumerate()) == before
    with fake_server(port=port) as server:
        assert session.get(server.url + "/state", timeout=5).ok  # a client that is still there


def test_backends_are_found_by_name():
    assert set(BACKENDS) == {"twin", "libfranka", "ros"}
    with pytest.raises(ConfigError, match="unknown robot 'twn': did you mean 'twin'"):
        make_station("twn", BackendSettings())
    with pytest.raises(ConfigError, match="--task RamInsertion"):
        make_station("twin", BackendSettings())


@pytest.mark.parametrize(
    ("backend", "settings", "message"),
    [
        ("twin", {"robot_ip": ("172.16.0.2",)}, "twin backend takes no robot_ip, got .*172.16.0.2"),
        ("twin", {"cameras": Path("rig.toml")}, "twin backend takes no cameras"),
        ("libfranka", {"controller": "wrench"}, "libfranka backend takes no controller, got 'wrench'"),
        ("ros", {"speed": 2.0}, "ros backend takes no speed, got 2.0; it takes .*ros_package"),
    ],
)
def test_a_setting_that_a_backend_has_no_use_for_is_refused(backend, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_station(backend, BackendSettings(**settings))


@pytest.mark.parametrize(
    "settings",
    [{"controller": "wrnch"}, {"speed": 0}, {"speed": "fast"}, {"gripper": "hand"}, {"image_size": 0}],
)
def test_backend_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        BackendSettings(**settings)
