"""A Robotiq 2F-85 behind a real Modbus server: fingers that take their time, an object, faults."""

import asyncio
import contextlib
import os
import pty
import select
import socket
import threading
import time
import tty

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

OPEN_END, CLOSED_END = 3.0, 228.0
FASTEST = 380.0  # positions a second, of 255; the real one takes 0.6 s from end to end too


class Fingers:
    """The gripper itself.

    Attributes:
        object: position at which closing fingers meet something, or None.
        fault: code that it reports, until it is reset.
        refuses: Modbus exception that is answered to everything, or None.
        delay: before any answer [s].
        writes: every command so far: its three registers.
    """

    def __init__(self, active=True, activation=0.2):
        self.object, self.fault, self.refuses, self.delay, self.writes = None, 0, None, 0.0, []
        self._command = [0x0900 if active else 0, 0, 0]
        self._activation, self._active_from = activation, 0.0 if active else None
        self.position, self._moved, self._result = OPEN_END, time.monotonic(), 3

    def write(self, registers):
        self._step()
        before, after = self._command[0] >> 8 & 1, registers[0] >> 8 & 1
        if not after:
            self._active_from, self.fault = None, 0
        elif not before:
            self._active_from = time.monotonic() + self._activation
        self._command = list(registers)
        self.writes.append(list(registers))

    def status(self):
        self._step()
        action = self._command[0] >> 8
        first = self._result << 6 | self._phase() << 4 | (action & 8) | (action & 1)
        return [first << 8, self.fault << 8 | self._command[1] & 255, round(self.position) << 8 | 10]

    def power_cycle(self):
        self.__init__(active=False, activation=self._activation)

    def _phase(self):
        if self._active_from is None or self.fault >= 0x0A:
            return 0
        return 3 if time.monotonic() >= self._active_from else 1

    def _step(self):
        now = time.monotonic()
        passed, self._moved = now - self._moved, now
        if self._phase() != 3 or not self._command[0] >> 11 & 1:
            return
        wanted, speed = self._command[1] & 255, self._command[2] >> 8
        step = passed * FASTEST * (20 + 130 * speed / 255) / 150
        position = self.position + max(-step, min(step, wanted - self.position))
        self._result = 0
        if self.object is not None and wanted > self.position and position >= self.object:
            position, self._result = self.object, 2
        self.position = min(max(position, OPEN_END), CLOSED_END)
        if self.position in (wanted, OPEN_END, CLOSED_END) and self._result == 0:
            self._result = 3


class RobotiqServer:
    """Serves fingers: Modbus "tcp", or "rtu" framing through TCP. `stop` and `start` as often as needed."""

    def __init__(self, kind="tcp", **fingers):
        self.fingers, self._kind = Fingers(**fingers), kind
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"{'rtu://' if kind == 'rtu' else ''}127.0.0.1:{self.port}"
        self.start()

    def start(self):
        framer = FramerType.SOCKET if self._kind == "tcp" else FramerType.RTU
        device = _device(self.fingers, self._kind)
        self._loop = _Loop(lambda: ModbusTcpServer(device, address=("127.0.0.1", self.port), framer=framer))

    def stop(self):
        self._loop.stop()

    close = stop


class SerialRobotiq:
    """Fingers at the other end of a serial line, which is a pair of pseudo terminals here."""

    def __init__(self, **fingers):
        self.fingers = Fingers(**fingers)
        ends = [pty.openpty() for _ in range(2)]
        self._masters = [master for master, _ in ends]
        for _, slave in ends:
            tty.setraw(slave)
        self.address, there = (os.ttyname(slave) for _, slave in ends)
        self._ended = threading.Event()
        self._line = threading.Thread(target=self._carry, daemon=True)
        self._line.start()
        device = _device(self.fingers, "serial")
        self._loop = _Loop(lambda: ModbusSerialServer(device, port=there, baudrate=115200))

    def _carry(self):
        while not self._ended.is_set():
            for ready in select.select(self._masters, [], [], 0.05)[0]:
                with contextlib.suppress(OSError):  # nobody at the other end just now
                    os.write(self._masters[self._masters[0] == ready], os.read(ready, 256))

    def close(self):
        self._loop.stop()
        self._ended.set()
        self._line.join()


class _Loop:
    """A Modbus server in an event loop of its own."""

    def __init__(self, make):
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(make)), daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    async def _serve(self, make):
        self._server, self._here = make(), asyncio.get_running_loop()
        await self._server.serve_forever(background=True)
        self._ready.set()
        await self._server.serving

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._here).result(5)
        self._thread.join(5)


def _device(fingers, kind):
    """Output and input registers 0 to 2 apart, or from 1000 and 2000 of one block, unit 9."""
    outputs, inputs, unit = (0, 0, 0) if kind == "tcp" else (1000, 2000, 9)

    async def action(function_code, start, address, count, registers, values):
        await asyncio.sleep(fingers.delay)
        if fingers.refuses is not None:
            return fingers.refuses
        if values is not None:
            if address == outputs and len(values) == 3:
                fingers.write(values)
        elif function_code == 4:
            for index, value in enumerate(fingers.status()):
                registers[inputs - start + index] = value

    def block(address):
        return [SimData(address, count=3, values=0, datatype=DataType.REGISTERS)]

    if kind == "tcp":
        bits = [SimData(0, count=1, values=False, datatype=DataType.BITS)]
        return SimDevice(unit, simdata=(bits, bits, block(0), block(0)), action=action)
    return SimDevice(unit, simdata=block(1000) + block(2000), action=action)
