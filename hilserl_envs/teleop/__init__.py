"""Devices by which a person drives the arms: one small protocol, one file a device.

`make_device("keyboard", env)` makes one by name; `"expert:noise=0.2,skill=0.9"` changes
some of its settings. Nothing is imported before it is asked for: a machine without a
display or a SpaceMouse loses only that device.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from typing import TYPE_CHECKING, Any

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.teleop.device import ArmMotion, Device, FakeDevice, TeleopCommand
from hilserl_envs.teleop.takeover import Takeover

if TYPE_CHECKING:
    import gymnasium

DEVICES = {
    "browser": "hilserl_envs.teleop.browser:Browser",
    "expert": "hilserl_envs.teleop.expert:ExpertDevice",
    "gamepad": "hilserl_envs.teleop.gamepad:Gamepad",
    "keyboard": "hilserl_envs.teleop.keyboard:Keyboard",
    "spacemouse": "hilserl_envs.teleop.spacemouse:SpaceMouse",
}
# A comma that another `name=` follows: values may be JSON lists.
_BETWEEN_SETTINGS = re.compile(r",(?=\s*\w+=)")

__all__ = [
    "DEVICES",
    "ArmMotion",
    "Device",
    "FakeDevice",
    "Takeover",
    "TeleopCommand",
    "device_class",
    "make_device",
]


def device_class(name: str) -> type[Device]:
    """The class of a device by name.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    module, _, attribute = DEVICES[check_name(name, DEVICES, "device")].partition(":")
    return getattr(importlib.import_module(module), attribute)


def make_device(device: str | Device, env: gymnasium.Env, **settings: Any) -> Device:
    """A device for the arms of an environment.

    Args:
        device: a name; a name with settings, "expert:noise=0.2,skill=0.9"; or a device,
            which is returned as it is.
        env: in any stack.
        settings: of the device, by name; they go before those in `device`.

    Raises:
        ConfigError: an unknown device or setting, or a wrong value.
    """
    if isinstance(device, Device):
        if settings:
            raise ConfigError(f"{device} is made already; settings {sorted(settings)} come too late")
        return device
    if not isinstance(device, str):
        raise ConfigError(f"a device is a Device or a name, got {device!r}; names: {', '.join(DEVICES)}")
    name, _, text = device.partition(":")
    made = device_class(name)
    fields = {field.name: field for field in dataclasses.fields(made.Settings)}
    given = dict(_parsed(part, name) for part in _BETWEEN_SETTINGS.split(text)) if text else {}
    values = given | settings
    for key in values:
        check_name(key, fields, f"setting of the device {name!r}")
    return made.for_env(env, made.Settings(**values))


def _parsed(part: str, device: str) -> tuple[str, Any]:
    """`noise=0.2` as a name and a value: a number, true, false, null, else a string."""
    key, equals, value = part.partition("=")
    if not equals:
        raise ConfigError(f"settings of a device are written {device}:name=value,name=value; got {part!r}")
    try:
        return key.strip(), json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value.strip()
