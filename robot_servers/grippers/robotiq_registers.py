"""The registers of a Robotiq 2F-85, as in its manual's chapter on control: to and from numbers with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FULL = 255  # of position (closed), speed and force
# Where the fingers' ends are, give or take two: they stop there whatever is asked of them.
OPEN_END, CLOSED_END = 3, 228
# mm/s of the finger tips at speed 0 and 255.
SLOWEST, FASTEST = 20.0, 150.0

# Bits of the action request and of the status.
_ACTIVATE, _GO_TO = 1 << 8, 1 << 11
_RESETTING, _ACTIVATING, _ACTIVATED = 0, 1, 3
_MOVING = 0
_OBJECTS = {1: "opening", 2: "closing"}

NOT_ACTIVE = (0x05, 0x07)
NEEDS_RESET = 0x0A  # and all above
FAULTS = {
    0x05: "it waits for its activation to end",
    0x07: "it is not activated",
    0x08: "it is too hot, and works again when it has cooled down",
    0x09: "it heard nothing from its controller for a second",
    0x0A: "its supply voltage is too low",
    0x0B: "its automatic release is under way",
    0x0C: "it has an internal fault",
    0x0D: "its activation failed: is something between the fingers, or in their way?",
    0x0E: "its motor current was too high",
    0x0F: "its automatic release is done",
}


@dataclass(frozen=True)
class RobotiqStatus:
    """What the gripper says of itself.

    Args:
        active: whether it has been activated, and is ready to move.
        activating: whether it is just being.
        reset: whether its activation is off.
        moving: on its way to where it was sent.
        held: "closing" or "opening" if something stopped the fingers on that way, else None.
        fault: its code, 0 for none; see `FAULTS`.
        position: of the fingers, 0 open to 255 closed.
    """

    active: bool
    activating: bool
    reset: bool
    moving: bool
    held: str | None
    fault: int
    position: int


def decode(registers: Sequence[int]) -> RobotiqStatus:
    """The three input registers, 16 bits each."""
    status, fault, position = (register >> 8 for register in registers)
    activated, going, phase, result = status & 1, status >> 3 & 1, status >> 4 & 3, status >> 6
    return RobotiqStatus(
        active=bool(activated) and phase == _ACTIVATED,
        activating=phase == _ACTIVATING,
        reset=not activated and phase == _RESETTING,
        moving=bool(going) and result == _MOVING,
        held=_OBJECTS.get(result) if going else None,
        fault=fault & 15,
        position=position,
    )


def encode_go_to(position: int, speed: int, force: int) -> list[int]:
    """The output registers that send an active gripper's fingers somewhere; all 0 to 255."""
    return [_ACTIVATE | _GO_TO, position, speed << 8 | force]


def encode_activate() -> list[int]:
    """The output registers that activate it: the fingers open and close."""
    return [_ACTIVATE, 0, 0]


def encode_reset() -> list[int]:
    """The output registers that end its activation, and with it its faults."""
    return [0, 0, 0]


def speed_to_register(share: float) -> int:
    """A share, 0 to 1, of its highest speed; it has a lowest one too."""
    return round(FULL * min(1.0, max(0.0, (share * FASTEST - SLOWEST) / (FASTEST - SLOWEST))))
