"""What an operator's page says in one message, checked to the last number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from hilserl_envs.errors import ActionError

PAD_BUTTONS, MOUSE_BUTTONS = 32, 32  # numbers that presses may carry: pad:0, mouse:0, ...
_MANY = 4  # gamepads and SpaceMice at once
_NUMBERED = frozenset([f"pad:{i}" for i in range(PAD_BUTTONS)] + [f"mouse:{i}" for i in range(MOUSE_BUTTONS)])
_PAGE_ID = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class Sticks:
    """One gamepad or SpaceMouse, raw: the numbers of its axes and its buttons (0 to 1)."""

    axes: tuple[float, ...]
    buttons: tuple[float, ...]


@dataclass(frozen=True)
class Message:
    """What a page says.

    Args:
        page: its id.
        seq: number of the message, growing.
        seen: `tick` of the newest answer that the page has; None before the first.
        held: names of keys and on-screen buttons that are down: "key:w", "role:success".
        presses: how often what can be pressed went down since the page was loaded, by
            name; also "pad:0" and "mouse:0" for buttons by number.
        pads: in the Gamepad API's standard mapping: axes in [-1, 1].
        mice: SpaceMice: x, y, z, rx, ry, rz as reported.
        take: the person asks for control although another page has it.
        leave: the page is being closed.
    """

    page: str
    seq: int
    seen: float | None = None
    held: frozenset[str] = frozenset()
    presses: Mapping[str, int] = field(default_factory=dict)
    pads: tuple[Sticks, ...] = ()
    mice: tuple[Sticks, ...] = ()
    take: bool = False
    leave: bool = False


_FIELDS = set(Message.__dataclass_fields__)


def parse_message(data: Any, names: Set[str]) -> Message:
    """Check what came out of a page's JSON.

    Args:
        data: decoded JSON.
        names: of the keys and on-screen buttons that there are, as in `Message.held`.

    Raises:
        ActionError: it is not exactly a message; says what is wrong.
    """
    if not isinstance(data, dict) or set(data) != _FIELDS:
        raise ActionError(f"a message is an object with {sorted(_FIELDS)}")
    if not (isinstance(data["page"], str) and _PAGE_ID.fullmatch(data["page"])):
        raise ActionError("page must be 16 to 64 hexadecimal digits")
    presses = data["presses"]
    if not isinstance(presses, dict) or not presses.keys() <= names | _NUMBERED:
        raise ActionError("presses must be counts by name, of keys and buttons that there are")
    held = data["held"]
    if not isinstance(held, list) or not all(isinstance(name, str) and name in names for name in held):
        raise ActionError("held must be a list of names, of keys and buttons that there are")
    for flag in ("take", "leave"):
        if not isinstance(data[flag], bool):
            raise ActionError(f"{flag} must be true or false")
    return Message(
        page=data["page"],
        seq=_count(data["seq"], "seq"),
        seen=None if data["seen"] is None else _number(data["seen"], 0.0, 1e12, "seen"),
        held=frozenset(held),
        presses={name: _count(count, "presses") for name, count in presses.items()},
        pads=_sticks(data["pads"], range(4, 17), 1.0, PAD_BUTTONS, "pads"),
        mice=_sticks(data["mice"], range(6, 7), 32768.0, MOUSE_BUTTONS, "mice"),
        take=data["take"],
        leave=data["leave"],
    )


def _sticks(value: Any, axes: range, limit: float, buttons: int, what: str) -> tuple[Sticks, ...]:
    if not isinstance(value, list) or len(value) > _MANY:
        raise ActionError(f"{what} must be a list of at most {_MANY}")
    result = []
    for one in value:
        if not isinstance(one, dict) or set(one) != {"axes", "buttons"}:
            raise ActionError(f"{what} must hold objects with axes and buttons")
        if not isinstance(one["axes"], list) or len(one["axes"]) not in axes:
            raise ActionError(f"{what} must have {axes[0]} to {axes[-1]} axes")
        if not isinstance(one["buttons"], list) or len(one["buttons"]) > buttons:
            raise ActionError(f"{what} must have at most {buttons} buttons")
        result.append(
            Sticks(
                tuple(_number(axis, -limit, limit, f"axes of {what}") for axis in one["axes"]),
                tuple(_number(button, 0.0, 1.0, f"buttons of {what}") for button in one["buttons"]),
            )
        )
    return tuple(result)


def _number(value: Any, low: float, high: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ActionError(f"{what} must be numbers from {low:g} to {high:g}")
    return float(value)


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ActionError(f"{what} must be a whole number of at least 0")
    return value
