"""`RobotiqBus`: the connection to a Robotiq, by Modbus TCP, Modbus RTU through TCP, or a serial line."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from hilserl_envs.errors import ConfigError, RobotError
from robot_servers.grippers.robotiq_registers import RobotiqStatus, decode

TIMEOUT = 0.3  # of one request [s], of which there are two before the connection counts as lost

_MODBUS_PORT, _RTU_PORT = 502, 54321  # the second: where a UR hands its tool connector on
_SERIAL = re.compile(r"/.+|COM\d+")


class RobotiqBus:
    """Talks to one gripper, connecting where it is not. Threads may share it.

    Args:
        address: see `parse_address`.
        unit: Modbus unit; None takes 0 over Modbus TCP, else 9, as Robotiq delivers them.

    Raises:
        ConfigError: not an address, or a package is missing.
    """

    def __init__(self, address: str, unit: int | None = None):
        self._name = f"Robotiq at {address}"
        host, port, kind = parse_address(address)
        self._client = _client(host, port, kind)
        default, self._outputs, self._inputs = (0, 0, 0) if kind == "tcp" else (9, 1000, 2000)
        self._unit = default if unit is None else unit
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self._name

    def talk(self, command: Sequence[int] | None = None) -> RobotiqStatus:
        """Write the output registers, if there is a command, and read the status.

        Raises:
            RobotError: no answer, or a refusal.
        """
        from pymodbus.exceptions import ModbusException

        with self._lock:
            try:
                if not self._client.connect():
                    raise RobotError(
                        f"{self} does not answer: is the address right, and is it on and plugged in?"
                    )
                if command is not None:
                    written = self._client.write_registers(self._outputs, list(command), device_id=self._unit)
                    self._checked(written)
                read = self._client.read_input_registers(self._inputs, count=3, device_id=self._unit)
                return decode(self._checked(read).registers)
            except ModbusException as error:
                self._client.close()  # a late answer must not be taken for another's
                raise RobotError(
                    f"{self} stopped answering: see its cables, its power and its network"
                ) from error

    def _checked(self, answer: Any) -> Any:
        if answer.isError():
            raise RobotError(
                f"{self} refuses, with Modbus exception {answer.exception_code}: "
                "is the gripper itself plugged in and on, and is the unit right?"
            )
        return answer

    def close(self) -> None:
        """Let go of the connection; another `talk` makes it again."""
        with self._lock:
            self._client.close()


def parse_address(address: str) -> tuple[str, int | None, str]:
    """What an address names: host, port and "tcp" or "rtu"; or a serial port, None and "serial".

    Args:
        address: "HOST" or "HOST:PORT" of a controller with Modbus TCP; "rtu://HOST:PORT" where
            a box hands a serial line through; or a serial port, "/dev/ttyUSB0" or "COM3".

    Raises:
        ConfigError: it is none of them.
    """
    address = str(address or "")
    if _SERIAL.fullmatch(address):
        return address, None, "serial"
    kind = "rtu" if address.startswith("rtu://") else "tcp"
    try:
        parts = urlsplit(address if kind == "rtu" else f"//{address}")
        if parts.hostname and not (parts.path or parts.query or parts.username):
            return parts.hostname, parts.port or (_RTU_PORT if kind == "rtu" else _MODBUS_PORT), kind
    except ValueError:  # a port that is none
        pass
    raise ConfigError(
        'a Robotiq\'s address is "HOST", "HOST:PORT", "rtu://HOST:PORT" or a serial port such as '
        f"/dev/ttyUSB0, got {address!r}"
    )


def _client(host: str, port: int | None, kind: str) -> Any:
    """pymodbus's client, which does not connect yet."""
    try:
        from pymodbus import FramerType
        from pymodbus.client import ModbusSerialClient, ModbusTcpClient
    except ModuleNotFoundError:
        raise ConfigError('a Robotiq gripper needs pymodbus: pip install "hilserl_envs[server]"') from None
    logging.getLogger("pymodbus").addHandler(logging.NullHandler())  # else every try goes to stderr
    if kind == "serial":
        try:
            return ModbusSerialClient(host, baudrate=115200, timeout=TIMEOUT, retries=1)
        except RuntimeError:
            raise ConfigError("a Robotiq on a serial port needs pyserial: pip install pyserial") from None
    framer = FramerType.RTU if kind == "rtu" else FramerType.SOCKET
    return ModbusTcpClient(host, port=port, framer=framer, timeout=TIMEOUT, retries=1)
