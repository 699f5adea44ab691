"""SpaceMice without hardware: umockdev's files, and what runs among them.

`umockdev-run` shows a program devices that are files, so that the real hidapi and
pyspacemouse find and read them. `python -m tests.spacemouse_files` is such a program: it does
what lines of JSON on its standard input say, and answers each with one.
"""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import tty
from pathlib import Path
from typing import Any, NamedTuple

from hilserl_envs.errors import HilserlError


class Mouse(NamedTuple):
    """A model: USB ids, the bytes of a report that pyspacemouse reads, the usage it declares."""

    vendor: int
    product: int
    report_size: int
    usage: int = 0x08  # multi-axis controller


COMPACT = Mouse(0x256F, 0xC635, 7)
PRO_WIRELESS = Mouse(0x256F, 0xC632, 13)
WITHOUT_BUTTONS = Mouse(0x256F, 0xC641, 7)
ITS_MOUSE_INTERFACE = PRO_WIRELESS._replace(usage=0x02)
# By /dev/hidraw number. The port is 1-9 minus the number: order by path and by port differ.
MICE = {0: COMPACT, 1: COMPACT, 2: COMPACT, 3: WITHOUT_BUTTONS, 4: ITS_MOUSE_INTERFACE, 5: PRO_WIRELESS}


def port(number: int) -> str:
    return f"1-{9 - number}"


def describe(folder: Path) -> list[str]:
    """Write the files; returns the command that runs a program among them, up to its name."""
    command = ["umockdev-run"]
    for number, mouse in MICE.items():
        device, ioctl = folder / f"{number}.umockdev", folder / f"{number}.ioctl"
        descriptor = bytes([0x05, 0x01, 0x09, mouse.usage, 0xA1, 0x01, 0xC0])
        device.write_text(_device(number, mouse, descriptor))
        ioctl.write_text(_ioctl(number, mouse, descriptor))
        command += ["--device", str(device), "--ioctl", f"/dev/hidraw{number}={ioctl}"]
    return [*command, "--"]


def _device(number: int, mouse: Mouse, descriptor: bytes) -> str:
    usb = f"/devices/pci0000:00/0000:00:14.0/usb1/{port(number)}"
    hid = f"0003:{mouse.vendor:04X}:{mouse.product:04X}.{number:04X}"
    return f"""P: {usb}/{port(number)}:1.0/{hid}/hidraw/hidraw{number}
N: hidraw{number}
E: DEVNAME=/dev/hidraw{number}
E: MAJOR=245
E: MINOR={number}
E: SUBSYSTEM=hidraw
A: dev=245:{number}\\n
L: device=../../../{hid}

P: {usb}/{port(number)}:1.0/{hid}
E: DRIVER=hid-generic
E: HID_ID=0003:{mouse.vendor:08X}:{mouse.product:08X}
E: HID_NAME=3Dconnexion mouse
E: HID_PHYS=usb-0000:00:14.0-1/input0
E: HID_UNIQ=SN{number}
E: SUBSYSTEM=hid
H: report_descriptor={descriptor.hex().upper()}

P: {usb}/{port(number)}:1.0
E: DEVTYPE=usb_interface
E: INTERFACE=3/0/0
E: SUBSYSTEM=usb
A: bInterfaceNumber=00\\n

P: {usb}
N: bus/usb/001/{number + 2:03d}
E: DEVTYPE=usb_device
E: DEVNAME=/dev/bus/usb/001/{number + 2:03d}
E: SUBSYSTEM=usb
E: PRODUCT={mouse.vendor:x}/{mouse.product:x}/437
A: idVendor={mouse.vendor:04x}\\n
A: idProduct={mouse.product:04x}\\n
A: bcdDevice=0437\\n
A: manufacturer=3Dconnexion\\n
A: product=3Dconnexion mouse\\n
A: serial=SN{number}\\n
"""


def _ioctl(number: int, mouse: Mouse, descriptor: bytes) -> str:
    """The answers to HIDIOCGRDESCSIZE, HIDIOCGRDESC and HIDIOCGRAWINFO (linux/hidraw.h)."""
    size = struct.pack("<I", len(descriptor))
    info = struct.pack("<IHH", 3, mouse.vendor, mouse.product)
    return (
        f"@DEV /dev/hidraw{number}\n"
        f"HIDIOCGRDESCSIZE 0 {size.hex().upper()}\n"
        f"HIDIOCGRDESC 0 {(size + descriptor.ljust(4096, bytes(1))).hex().upper()}\n"
        f"HIDIOCGRAWINFO 0 {info.hex().upper()}\n"
    )


class Among:
    """The program among the devices, seen from the test: each method is done over there."""

    def __init__(self, folder: Path):
        self._process = subprocess.Popen(
            [*describe(folder), sys.executable, "-m", "tests.spacemouse_files"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __getattr__(self, name: str):
        return lambda *arguments, **settings: self._ask(name, arguments, settings)

    def _ask(self, *request: Any) -> Any:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Bench:
    """The program's side: plugs mice in and out, lets them report, reads the device."""

    def __init__(self):
        import logging

        self._root = Path(os.environ["UMOCKDEV_DIR"])
        self._links = {number: os.readlink(self._class(number)) for number in MICE}
        self._ends: dict[int, int] = {}
        self._device = None
        self._said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self._said.append(record.getMessage())
        logger = logging.getLogger("hilserl_envs.teleop")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        self.clear()

    def _class(self, number: int) -> Path:
        return self._root / "sys" / "class" / "hidraw" / f"hidraw{number}"

    def clear(self) -> None:
        """Nothing is plugged in, nothing is open."""
        self.close()
        for number in MICE:
            self.unplug(number)
        self._said.clear()

    def plug(self, number: int) -> None:
        """As udev does it: the device's file first, here the end of a terminal."""
        end, other = pty.openpty()
        tty.setraw(other)
        name = os.ttyname(other)
        node = self._root / "dev" / f"hidraw{number}"
        node.unlink(missing_ok=True)
        node.symlink_to(name)
        known = self._root / "dev" / ".ptymap" / name.replace("/", "_")  # by it ioctls find the device
        known.unlink(missing_ok=True)
        known.symlink_to(f"/dev/hidraw{number}")
        self._class(number).symlink_to(self._links[number])
        self._ends[number] = end
        os.close(other)

    def unplug(self, number: int) -> None:
        self._class(number).unlink(missing_ok=True)
        (self._root / "dev" / f"hidraw{number}").unlink(missing_ok=True)
        if number in self._ends:
            os.close(self._ends.pop(number))

    def forbid(self, number: int) -> None:
        """Plug in, but nobody may open it. A test may run as root: so there is nothing to open."""
        self.plug(number)
        (self._root / "dev" / f"hidraw{number}").unlink()

    def report(self, number: int, kind: int, *values: int) -> None:
        """Report 1 is translation (and rotation), 2 rotation, 3 buttons (bytes)."""
        body = bytes(values) if kind == 3 else struct.pack(f"<{len(values)}h", *values)
        os.write(self._ends[number], (bytes([kind]) + body).ljust(MICE[number].report_size, bytes(1)))

    def open(self, arms: int = 1, **settings: Any) -> str | None:
        """Returns the error's text, if there is one."""
        from hilserl_envs.teleop.spacemouse import SpaceMouse, SpaceMouseSettings
        from tests.generic_env import GenericEnv

        try:
            self._device = SpaceMouse(GenericEnv(arms).action_layout, SpaceMouseSettings(**settings))
        except HilserlError as error:
            return f"{type(error).__name__}: {error}"
        return None

    def close(self) -> list[str]:
        """Twice; returns the threads that are left."""
        import threading

        if self._device is not None:
            self._device.close()
            self._device.close()
            self._device = None
        return [thread.name for thread in threading.enumerate() if thread.name == "SpaceMouse"]

    def read(self, after: float = 0.0) -> dict[str, Any]:
        """The command `after` seconds from now, and what was said since the last read."""
        import time

        time.sleep(after)
        command = self._device.read()
        said, self._said[:] = list(self._said), []
        return {
            "arms": {name: [arm.motion.tolist(), arm.gripper] for name, arm in command.arms.items()},
            "held": sorted(command.held),
            "pressed": sorted(command.pressed),
            "acting": command.acting,
            "connected": command.connected,
            "said": said,
        }

    def time_reads(self, times: int) -> float:
        """Of one read, the median [s]."""
        import statistics
        import time

        def once() -> float:
            start = time.perf_counter()
            self._device.read()
            return time.perf_counter() - start

        return statistics.median(once() for _ in range(times))

    def lose_hidapi(self) -> None:
        """From now on no library is found, as where hidapi is not installed."""
        import ctypes.util

        ctypes.util.find_library = lambda name: None


if __name__ == "__main__":
    bench = Bench()
    for line in sys.stdin:
        method, given, named = json.loads(line)
        print(json.dumps(getattr(bench, method)(*given, **named)), flush=True)
