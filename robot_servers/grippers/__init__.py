"""Grippers, one file a kind, and `make_grippers`, which finds them by name.

The Franka hand has no name here: each backend reaches it in its own way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence

from hilserl_envs.errors import ConfigError, check_name
from robot_servers.parts import Gripper

NONE = "none"
# A comma that another `name=` follows.
_BETWEEN_SETTINGS = re.compile(r",(?=\s*\w+=)")


def make_robotiq(text: str) -> Gripper:
    """A Robotiq 2F-85 by its address, with settings: "192.168.1.11,force=0.3"."""
    from robot_servers.grippers.robotiq import Robotiq, RobotiqSettings

    address, *settings = _BETWEEN_SETTINGS.split(text)
    if not address:
        raise ConfigError("the address of a Robotiq is missing: HOST, or /dev/ttyUSB0")
    values = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        try:
            values[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            raise ConfigError(
                f"settings of a Robotiq are numbers, true or false, got {setting.strip()!r}"
            ) from None
    fields = [field.name for field in dataclasses.fields(RobotiqSettings) if field.name != "address"]
    for key in values:
        check_name(key, fields, "setting of a Robotiq")
    return Robotiq(RobotiqSettings(address, **values))


GRIPPERS: Mapping[str, Callable[[str], Gripper]] = {"robotiq": make_robotiq}


def make_grippers(name: str, addresses: Sequence[str], arms: Sequence[str]) -> dict[str, Gripper]:
    """The grippers of a server's arms, all of one kind, by arm.

    Args:
        name: one of `GRIPPERS`, or "none".
        addresses: one for each arm, in their order; see the gripper's own settings.
        arms: their names.

    Raises:
        ConfigError: an unknown name, a wrong address or setting, or one too many or too few.
        RobotError: one does not answer; the others are closed again.
    """
    wanted = [] if check_name(name, [*GRIPPERS, NONE], "gripper") == NONE else list(arms)
    if len(addresses) != len(wanted):
        takes = f"an address for each arm ({', '.join(wanted)})" if wanted else "no address"
        raise ConfigError(f"the gripper {name!r} takes {takes}, got {list(addresses)}")
    grippers: dict[str, Gripper] = {}
    with contextlib.ExitStack() as unless_all:
        for arm, address in zip(wanted, addresses, strict=True):
            grippers[arm] = GRIPPERS[name](address)
            unless_all.callback(grippers[arm].close)
        unless_all.pop_all()
    return grippers
