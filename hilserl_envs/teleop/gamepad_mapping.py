"""What the sticks and buttons of a gamepad mean: read from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.teleop.gamepad_process import AXES, BUTTONS
from hilserl_envs.teleop.keys import MEANINGS, MOTIONS

DEFAULT = Path(__file__).parent / "mappings" / "gamepad.json"
_FIELDS = ("controls", "sdl")
_STICKS = AXES[:4]  # the others are triggers, which go one way only


@dataclass(frozen=True)
class GamepadMapping:
    """A gamepad's layout.

    Args:
        controls: meaning (see `teleop.keys.MEANINGS`) by name of a stick's axis (at its right
            or lower end), a trigger or a button. Names are SDL's and go by place: "a" is the
            lowest of the four buttons on the right, A on an Xbox pad, the cross on a
            PlayStation's.
        sdl: lines of SDL's gamecontrollerdb.txt, for pads whose buttons SDL does not know.
    """

    controls: Mapping[str, str]
    sdl: tuple[str, ...] = ()


def read_mapping(path: str | Path = DEFAULT) -> GamepadMapping:
    """Read a mapping file.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong; names the file and the entry.
    """
    try:
        return _mapping(json.loads(Path(path).expanduser().read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # ValueError: no JSON, no text, or a ConfigError
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"gamepad mapping {path}: {reason}") from None


def _mapping(data: Any) -> GamepadMapping:
    if not isinstance(data, dict) or "controls" not in data:
        raise ConfigError('must be an object with "controls"; see the file that ships, teleop/mappings')
    for name in data:
        check_name(name, _FIELDS, "field")
    controls, lines = data["controls"], data.get("sdl", [])
    if not isinstance(controls, dict) or not all(isinstance(one, str) for one in controls.values()):
        raise ConfigError(f'"controls" must hold meanings by control, got {controls!r}')
    for control, meaning in controls.items():
        check_name(control, AXES + BUTTONS, "control")
        check_name(meaning, MEANINGS, f"meaning of {control!r}")
        if control in _STICKS and meaning not in MOTIONS:
            raise ConfigError(
                f"{control!r} is a stick's axis, it means a motion ({', '.join(MOTIONS)}), not {meaning!r}"
            )
    if not isinstance(lines, list) or not all(isinstance(one, str) and one.count(",") > 1 for one in lines):
        raise ConfigError(f'"sdl" must be a list of lines "GUID,name,a:b0,b:b1,...", got {lines!r}')
    return GamepadMapping(controls, tuple(lines))
