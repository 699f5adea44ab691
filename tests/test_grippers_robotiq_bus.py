"""Addresses of a Robotiq, and the lines it is reached through."""

import sys
import time

import pytest

from hilserl_envs.errors import ConfigError, RobotError
from robot_servers.grippers.robotiq_bus import RobotiqBus, parse_address
from robot_servers.grippers.robotiq_registers import encode_go_to
from tests import needs


@pytest.fixture(params=["tcp", "rtu", "serial"])
def stand_in(request):
    needs.module("pymodbus", "server")
    from tests.robotiq_stand_in import RobotiqServer, SerialRobotiq

    if request.param == "serial":
        needs.module("serial", "server")
        made = SerialRobotiq()
    else:
        made = RobotiqServer(request.param)
    yield made
    made.close()


def test_every_line_carries_commands_and_status(stand_in):
    bus = RobotiqBus(stand_in.address)
    assert bus.talk().position == 3
    bus.talk(encode_go_to(200, 255, 30))
    assert stand_in.fingers.writes == [[0x0900, 200, 255 << 8 | 30]]
    end = time.monotonic() + 5
    while bus.talk().position != 200:
        assert time.monotonic() < end
    bus.close()
    assert bus.talk().position == 200  # connects again
    bus.close()


def test_a_gripper_of_another_unit_does_not_answer():
    needs.module("pymodbus", "server")
    from tests.robotiq_stand_in import RobotiqServer

    server = RobotiqServer("rtu")
    with pytest.raises(RobotError, match=f"Robotiq at {server.address} (stopped answering|refuses)"):
        RobotiqBus(server.address, unit=3).talk()
    server.close()


def test_where_nobody_is_the_address_is_named():
    needs.module("pymodbus", "server")
    for address in ("127.0.0.1:1", "rtu://127.0.0.1:1", "/dev/no_such_port"):
        with pytest.raises(RobotError, match=f"Robotiq at {address} does not answer"):
            RobotiqBus(address).talk()


@pytest.mark.parametrize(
    "address, parts",
    [
        ("192.168.1.11", ("192.168.1.11", 502, "tcp")),
        ("gripper.lab:1502", ("gripper.lab", 1502, "tcp")),
        ("[fe80::1]:1502", ("fe80::1", 1502, "tcp")),
        ("rtu://10.0.0.4", ("10.0.0.4", 54321, "rtu")),
        ("rtu://10.0.0.4:63352", ("10.0.0.4", 63352, "rtu")),
        ("/dev/ttyUSB0", ("/dev/ttyUSB0", None, "serial")),
        ("COM3", ("COM3", None, "serial")),
    ],
)
def test_addresses(address, parts):
    assert parse_address(address) == parts


@pytest.mark.parametrize(
    "address", ["", ":502", "http://10.0.0.4", "10.0.0.4/x", "10.0.0.4:modbus", "10.0.0.4:99999", "a@b", None]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="a Robotiq's address is"):
        parse_address(address)


def test_missing_packages_are_named(monkeypatch):
    needs.module("pymodbus", "server")
    import pymodbus.client

    def without_pyserial(*_, **__):
        raise RuntimeError("Serial client requires pyserial")

    monkeypatch.setattr(pymodbus.client, "ModbusSerialClient", without_pyserial)
    with pytest.raises(ConfigError, match="pip install pyserial"):
        RobotiqBus("/dev/ttyUSB0")
    monkeypatch.setitem(sys.modules, "pymodbus", None)
    with pytest.raises(ConfigError, match=r'pip install "hilserl_envs\[server\]"'):
        RobotiqBus("192.168.1.11")
