"""`Browser`: keyboard, gamepad, SpaceMouse and touch screen of whoever has the operator's page open."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hilserl_envs.errors import ConfigError, check_fields, checked_names, ranged
from hilserl_envs.live.controls import Controls, Held
from hilserl_envs.live.messages import Sticks
from hilserl_envs.live.page import Page
from hilserl_envs.live.server import PageServer
from hilserl_envs.tasks.setup import AXES, ArmAction
from hilserl_envs.teleop.device import ROLES, Device, TeleopCommand
from hilserl_envs.teleop.gamepad_mapping import DEFAULT, read_mapping
from hilserl_envs.teleop.hands import Hand, Hands, button_roles, without_dead_zone
from hilserl_envs.teleop.keys import BINDINGS, FINE, MOTIONS, KeyMotion

# The order of the Gamepad API's standard mapping, in the names of `GamepadMapping`.
PAD_AXES = ("leftx", "lefty", "rightx", "righty")
PAD_BUTTONS = (
    "a", "b", "x", "y", "leftshoulder", "rightshoulder", "lefttrigger", "righttrigger",
    "back", "start", "leftstick", "rightstick", "dpup", "dpdown", "dpleft", "dpright", "guide",
)  # fmt: skip
MOUSE_RANGE = 350.0  # what a SpaceMouse reports at full deflection
DOWN = 0.5  # a button, or a trigger, pressed further than this is down
SCREEN_ROLES = ("takeover", "pause", "success", "failure", "discard", "gripper", "switch_arm")


@checked_names
@dataclass(frozen=True)
class BrowserSettings:
    """Where the page is served, and what its keys, sticks and buttons do.

    Args:
        host: address to serve at; see `live.server.PageServer`.
        port: 0 takes a free one.
        timeout: how long a motion goes on when the page falls silent [s].
        ramp: time from the press of a key to full speed [s].
        speed: full speed, in (0, 1].
        fine: of it while "fine" is held, in (0, 1].
        dead_zone: share of a stick's way, from its middle, that does nothing.
        bindings: meanings by key name, besides those of `teleop.keys.BINDINGS`; "" takes a
            key's meaning away.
        mapping: path of a gamepad's mapping file, see `teleop.gamepad_mapping`; empty takes
            the one that ships.
        buttons: roles of a SpaceMouse's buttons, first to last, "" for none; empty takes
            those of `hands.button_roles`.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    host: str = "127.0.0.1"
    port: int = ranged(0, 0, 65535)
    timeout: float = ranged(0.25, 0.1, 2.0)
    ramp: float = ranged(0.4, 0.0, 5.0)
    speed: float = ranged(1.0, 0.01, 1.0)
    fine: float = ranged(0.3, 0.01, 1.0)
    dead_zone: float = ranged(0.1, 0.0, 0.9)
    bindings: Mapping[str, str] | None = None
    mapping: str = ""
    buttons: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.host, str) or not self.host:
            raise ConfigError(f"BrowserSettings.host is an address such as '127.0.0.1', got {self.host!r}")
        if self.port != int(self.port):
            raise ConfigError(f"BrowserSettings.port is a whole number, got {self.port}")
        if not isinstance(self.bindings, Mapping | None):
            raise ConfigError(
                f"BrowserSettings.bindings are meanings by key name, got {self.bindings!r}; "
                "for example {'i': '+x'}"
            )
        if not isinstance(self.mapping, str):
            raise ConfigError(f"BrowserSettings.mapping is a path, got {self.mapping!r}")
        if not isinstance(self.buttons, list | tuple):
            raise ConfigError(f"BrowserSettings.buttons is a list of roles, got {self.buttons!r}")


class Browser(Device):
    """One hand on a web page, through whatever it is plugged into there.

    The page reads keys, gamepads (mapped as for `teleop.gamepad`) and SpaceMice, and has
    buttons for a touch screen; all add up. It works from other machines, on Wayland and on
    macOS. Its address is logged when it starts. When the page falls silent the command is
    zero at once.

    Example:
        >>> from hilserl_envs.tasks import make_task
        >>> from hilserl_envs.teleop.browser import Browser
        >>> device = Browser(make_task("PickCube").action_layout)
        >>> device.read().connected  # nobody has opened the page yet
        False
        >>> device.close()

    Args:
        layout: of the environment's actions.
        settings: see `BrowserSettings`.

    Attributes:
        page: the `Page`; the live view shows the cameras on it.
        url: of the page, with its token.

    Raises:
        ConfigError: the port is taken, a package is missing, an unknown meaning, or a wrong
            mapping file.
    """

    Settings = BrowserSettings

    def __init__(self, layout: Sequence[ArmAction], settings: BrowserSettings | None = None):
        self._settings = settings = settings or BrowserSettings()
        useless = {"", *_useless(layout)}
        bindings = BINDINGS | dict(settings.bindings or {})
        self._keys = {key: meaning for key, meaning in bindings.items() if meaning not in useless}
        self._key_motion = KeyMotion(self._keys, settings.ramp, settings.speed, settings.fine)
        controls = read_mapping(settings.mapping or DEFAULT).controls
        self._pad_axes = [controls.get(name, "") for name in PAD_AXES]
        self._pad_buttons = [controls.get(name, "") for name in PAD_BUTTONS]
        self._mouse_buttons = button_roles(layout, settings.buttons)
        self._hands = Hands(layout)
        roles = [role for role in SCREEN_ROLES if role not in useless]
        self._controls = Controls(self._keys, roles, settings.timeout, settings.dead_zone, MOUSE_RANGE)
        self.page = Page(self._controls)
        self._server = PageServer(self.page, settings.host, int(settings.port))
        self.url = self._server.url

    def read(self) -> TeleopCommand:
        now = time.monotonic()
        held = self._controls.read(now)
        hand = self._hand(held, now)
        return self._hands.command([hand]) if held.connected else TeleopCommand(connected=False)

    def close(self) -> None:
        self._server.close()

    def _hand(self, held: Held, now: float) -> Hand:
        """Everything that is held, as one hand."""
        keys, taps = _named(held.names, "key"), _named(held.pressed, "key")
        if held.resumed:  # a tap from before the connection came back moves nothing
            taps = {key for key in taps if self._keys[key] in ROLES}
        hand = self._key_motion.hand(keys, taps, now)
        meant = {self._keys[key] for key in keys} | _named(held.names, "role")
        sticks = np.zeros(6)
        for pad in held.pads:
            sticks += self._pad_motion(pad)
            meant |= _meanings(self._pad_buttons, _down(pad))
        for mouse in held.mice:
            sticks += self._mouse_motion(mouse)
            meant |= _meanings(self._mouse_buttons, _down(mouse))
        pressed = _named(held.pressed, "role")
        pressed |= _meanings(self._pad_buttons, _named(held.pressed, "pad"))
        pressed |= _meanings(self._mouse_buttons, _named(held.pressed, "mouse"))
        speed = self._settings.speed * (self._settings.fine if FINE in meant else 1.0)
        return Hand(
            hand.motion + speed * sticks,
            frozenset(meant & _ROLES),
            hand.pressed | (pressed & _ROLES),
        )

    def _pad_motion(self, pad: Sticks) -> np.ndarray:
        motion = np.zeros(6)
        axes = zip(self._pad_axes, pad.axes, strict=False)
        buttons = zip(self._pad_buttons, pad.buttons, strict=False)
        for meaning, level in (*axes, *buttons):
            if meaning in MOTIONS:
                level = without_dead_zone(level, self._settings.dead_zone)
                motion[AXES.index(meaning[1:])] += level if meaning[0] == "+" else -level
        return motion

    def _mouse_motion(self, mouse: Sticks) -> np.ndarray:
        """From right, towards the person, down (HID usage tables, 4.2) to away, left, up."""
        levels = [without_dead_zone(axis / MOUSE_RANGE, self._settings.dead_zone) for axis in mouse.axes]
        x, y, z, rx, ry, rz = levels
        return -np.array([y, x, z, ry, rx, rz])


_ROLES = frozenset(ROLES)


def _useless(layout: Sequence[ArmAction]) -> set[str]:
    """Roles that mean nothing on these arms."""
    useless = set() if any(arm.gripper for arm in layout) else {"gripper", "close", "open"}
    return useless if len(layout) > 1 else useless | {"switch_arm"}


def _named(names: frozenset[str], kind: str) -> set[str]:
    """Of names such as "key:w" those of one kind, without it."""
    return {name.partition(":")[2] for name in names if name.startswith(f"{kind}:")}


def _down(sticks: Sticks) -> list[int]:
    return [number for number, level in enumerate(sticks.buttons) if level > DOWN]


def _meanings(buttons: Sequence[str], numbers: Iterable[int | str]) -> set[str]:
    """Of buttons by number; those beyond the last have none."""
    return {buttons[int(number)] for number in numbers if int(number) < len(buttons)}
