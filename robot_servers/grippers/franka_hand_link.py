"""The Franka hand's own protocol: what libfranka's `Gripper` says on the wire, without waiting.

pylibfranka's `Gripper` would do, but for this: its calls return when the fingers have arrived,
and until then no other thread of the process runs Python, an emergency stop included. Source:
`research_interface/gripper/types.h` of libfranka-common, version 3, the same for Panda and FR3.
All numbers are little-endian and packed.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import time
from dataclasses import dataclass

from hilserl_envs.errors import RobotError

PORT = 1338
VERSION = 3
TIMEOUT = 2.0  # of connecting [s]
_HEADER = struct.Struct("<HII")  # command, its number, size of the message with this header
_STATE = struct.Struct("<Idd?H")  # number, width, widest [m], grasped, temperature [deg C]


class Command(enum.IntEnum):
    CONNECT = 0
    HOMING = 1
    GRASP = 2
    MOVE = 3
    STOP = 4


class Status(enum.IntEnum):
    """How a command ended."""

    SUCCESS = 0
    FAIL = 1
    UNSUCCESSFUL = 2
    ABORTED = 3


@dataclass(frozen=True)
class HandState:
    """What the hand measures: width between the fingers and the widest [m], whether it holds something."""

    width: float
    max_width: float
    is_grasped: bool
    temperature: int


class FrankaHandLink:
    """A connection to a hand. Only one thread may use it.

    Args:
        host: address of the arm's control box.

    Raises:
        RobotError: no hand there, or one of another version.
    """

    def __init__(self, host: str):
        self._number, self._received = 0, b""
        try:
            self._commands = socket.create_connection((host, PORT), TIMEOUT)
        except OSError as error:
            raise RobotError(
                f"no Franka hand answers at {host} ({error.strerror or error}): see that it is mounted and "
                "set as end effector in Desk, and that FCI is active"
            ) from error
        self._commands.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._states = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._states.bind((self._commands.getsockname()[0], 0))
            self._states.setblocking(False)
            self._shake_hands(host)
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, host: str) -> None:
        self.send(Command.CONNECT, "HH", VERSION, self._states.getsockname()[1])
        deadline = time.monotonic() + TIMEOUT
        self._commands.setblocking(False)
        while not (answers := self._messages()):
            if time.monotonic() > deadline:
                raise RobotError(
                    f"the Franka hand at {host} does not answer; is another program connected to it?"
                )
            time.sleep(0.005)
        status, version = struct.unpack_from("<HH", answers[0][1])
        if status != 0:
            raise RobotError(
                f"the Franka hand at {host} speaks version {version} of its protocol, {VERSION} is expected: "
                "the robot's system is too new or too old"
            )

    def send(self, command: Command, layout: str = "", *values: float) -> int:
        """Send a command; returns its number, which `ended` gives when it is done."""
        self._number += 1
        body = struct.pack(f"<{layout}", *values)
        self._commands.sendall(_HEADER.pack(command, self._number, _HEADER.size + len(body)) + body)
        return self._number

    def home(self) -> int:
        """Open and close once, to learn how far the fingers go."""
        return self.send(Command.HOMING)

    def move(self, width: float, speed: float) -> int:
        """Drive the fingers to a width [m], at a speed [m/s]."""
        return self.send(Command.MOVE, "dd", width, speed)

    def grasp(self, width: float, speed: float, force: float) -> int:
        """Close towards a width [m], then squeeze [N]; whatever is met counts as grasped."""
        return self.send(Command.GRASP, "ddddd", width, 1.0, 1.0, speed, force)

    def stop(self) -> int:
        return self.send(Command.STOP)

    def ended(self) -> dict[int, Status]:
        """How commands ended since the last call, by number."""
        return {number: Status(struct.unpack_from("<H", body)[0]) for number, body in self._messages()}

    def _messages(self) -> list[tuple[int, bytes]]:
        """(number of the command, body) of the answers that have come."""
        with contextlib.suppress(BlockingIOError):
            while chunk := self._commands.recv(4096):
                self._received += chunk
            raise ConnectionResetError("the hand closed the connection")
        messages = []
        while len(self._received) >= _HEADER.size:
            _, number, size = _HEADER.unpack_from(self._received)
            if len(self._received) < size:
                break
            messages.append((number, self._received[_HEADER.size : size]))
            self._received = self._received[size:]
        return messages

    def newest(self) -> HandState | None:
        """The newest state that came since the last call, None where none did."""
        packet = None
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._states.recv(_STATE.size)
        return None if packet is None else HandState(*_STATE.unpack(packet)[1:])

    def close(self) -> None:
        """Let go of the hand, which holds what it holds."""
        self._commands.close()
        self._states.close()
