"""What tests of devices share: waiting for what somebody did to arrive."""

from __future__ import annotations

import time
from collections.abc import Callable

from hilserl_envs.teleop import Device, TeleopCommand


def until(device: Device, true: Callable[[TeleopCommand], bool], timeout: float = 10.0) -> TeleopCommand:
    """The first command of which something is true."""
    end = time.monotonic() + timeout
    while not true(command := device.read()):
        assert time.monotonic() < end, f"it never came true; the last command was {command}"
        time.sleep(0.002)
    return command


class Driven:
    """Something around a device that somebody drives.

    Attributes:
        device: which one.
    """

    device: Device | None = None

    def until(self, true: Callable[[TeleopCommand], bool]) -> TeleopCommand:
        """The device's first command of which something is true."""
        return until(self.device, true)
