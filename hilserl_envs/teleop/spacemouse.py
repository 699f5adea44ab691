"""`SpaceMouse`: one or two 3Dconnexion mice through pyspacemouse."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hilserl_envs.errors import ConfigError, DeviceError, check_fields, checked_names, ranged
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.teleop.hands import Hand, button_roles, without_dead_zone
from hilserl_envs.teleop.polled import PolledDevice, log

MULTI_AXIS_CONTROLLER = (0x01, 0x08)  # HID usage page and usage
UNKNOWN_USAGE = (0, 0)  # what older hidapi libraries say of everything
# Vendors are 3Dconnexion and, of older models, Logitech; the pattern fits cable and Bluetooth.
UDEV_RULE = 'KERNEL=="hidraw*", KERNELS=="*:256F:*|*:046D:C62*", MODE="0666"'
_PERMISSION = (
    f"the line {UDEV_RULE} in /etc/udev/rules.d/70-spacemouse.rules lets everybody use it, "
    "once it is plugged in again"
)
_BROWSER = "--device browser reads a SpaceMouse, or the keyboard, through a web page"


@checked_names
@dataclass(frozen=True)
class SpaceMouseSettings:
    """Which mice, and how they drive.

    Args:
        mice: 1, or 2, one in each hand; 0 takes as many as are plugged in, one an arm at most.
        devices: which ones, the left arm's first: each by its USB port ("1-4.2"), its path
            ("/dev/hidraw3") or its serial number. Empty takes them in the order of their ports.
        buttons: roles of the buttons, first to last, "" for none; empty takes those of
            `hands.button_roles`.
        translation_speed, rotation_speed: at full deflection, in (0, 1].
        translation_dead_zone, rotation_dead_zone: share of the way, from the middle, that
            does nothing.
        silence: a mouse that says nothing for so long is taken to be at rest [s]. While it
            is deflected it speaks every 8 to 16 ms; silence means that its radio is lost.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    mice: int = ranged(0, 0, 2)
    devices: Sequence[str] = field(default_factory=tuple)
    buttons: Sequence[str] = field(default_factory=tuple)
    translation_speed: float = ranged(1.0, 0.01, 1.0)
    rotation_speed: float = ranged(1.0, 0.01, 1.0)
    translation_dead_zone: float = ranged(0.1, 0.0, 0.9)
    rotation_dead_zone: float = ranged(0.1, 0.0, 0.9)
    silence: float = ranged(0.5, 0.1, 10.0)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("devices", "buttons"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
                raise ConfigError(f"SpaceMouseSettings.{name} is a list of names, got {given!r}")
        if self.mice not in (0, 1, 2) or len(self.devices) > 2:
            raise ConfigError(
                "SpaceMouseSettings: there is one mouse or two, "
                f"got mice={self.mice}, devices={list(self.devices)}"
            )
        if self.devices and self.mice not in (0, len(self.devices)):
            raise ConfigError(f"SpaceMouseSettings: {self.mice} mice, but devices={list(self.devices)}")


class _Found(NamedTuple):
    """A mouse that is plugged in: easyhid's handle and pyspacemouse's description."""

    hid: Any
    spec: Any
    port: str

    @property
    def place(self) -> str:
        """Where it is plugged in; its path changes whenever it is plugged in again."""
        return self.port or self.hid.path

    @property
    def names(self) -> set[str]:
        return {self.port, self.hid.path, self.hid.serial_number} - {"", None}

    def __str__(self) -> str:
        return f"{self.spec.name} at {f'USB port {self.port}, ' if self.port else ''}{self.hid.path}"


@dataclass
class _Mouse:
    """An open mouse, and what it said last."""

    found: _Found
    device: Any
    time: float = -1.0  # of the last report, by pyspacemouse's clock
    heard: float = -np.inf  # the same, by ours [s]
    held: set[str] = field(default_factory=set)


class SpaceMouse(PolledDevice):
    """One mouse, or one in each hand; with one, two arms are driven in turn ("switch_arm").

    Axes are pyspacemouse's ROS ones, x away from the person, y to their left, z up, with
    right-handed rotations: what the devices report is right-handed about x to the right, y
    towards the person, z down (HID usage tables, 4.2).

    Args:
        layout: of the environment's actions.
        settings: see `SpaceMouseSettings`.

    Raises:
        ConfigError: too few mice, no permission, or a missing package or library.
    """

    Settings = SpaceMouseSettings

    def __init__(self, layout: Sequence[ArmAction], settings: SpaceMouseSettings | None = None):
        super().__init__(layout)
        self._settings = settings or SpaceMouseSettings()
        self._roles = button_roles(layout, self._settings.buttons)
        self._places: list[str] = []  # of each hand's mouse: one that comes back finds its hand
        self._mice: list[_Mouse] = []
        if max(self._settings.mice, len(self._settings.devices)) > len(layout):
            raise ConfigError("two mice drive two arms, and this task has one: leave out mice and devices")
        self._start()

    def _look(self) -> list[Hand]:
        if not self._mice:
            self._open()
        now = time.monotonic()
        return [self._hand(mouse, now) for mouse in self._mice]

    def _shut(self) -> None:
        for mouse in self._mice:
            mouse.device.close()
        self._mice = []

    def _open(self) -> None:
        found = _find()
        chosen = self._named(found) if self._settings.devices else self._any(found)
        if not self._places:
            self._check_switch(chosen)
        try:
            for one in chosen:
                self._mice.append(_Mouse(one, _opened(one)))
        except ConfigError:
            self._shut()
            raise
        self._places = [one.place for one in chosen]
        if len(chosen) > 1:
            names = [f"{arm} is the {one}" for arm, one in zip(self._hands.arms, chosen, strict=True)]
            log.info("SpaceMouse: %s", ", ".join(names))

    def _named(self, found: list[_Found]) -> list[_Found]:
        """Each hand's mouse, as the settings name them."""
        names = self._settings.devices
        chosen = [_called(name, found) for name in names]
        if None in chosen:
            missing = [name for name, one in zip(names, chosen, strict=True) if one is None]
            raise ConfigError(f"no SpaceMouse is called {' or '.join(missing)}{_listed(found)}")
        if len({one.hid.path for one in chosen}) < len(chosen):
            raise ConfigError(f"devices={list(names)} name the same SpaceMouse twice")
        return chosen

    def _any(self, found: list[_Found]) -> list[_Found]:
        """Each hand's mouse: the one at the port where it was before, else the next one."""
        count = len(self._places) or self._settings.mice or min(len(found), len(self._hands.arms))
        if len(found) < max(count, 1):
            raise ConfigError(
                f"too few SpaceMice, {max(count, 1)} needed{_listed(found)}. Check that it is plugged in "
                f"(`lsusb` lists 3Dconnexion or Logitech) and that you may use it: {_PERMISSION}. "
                f"Or: {_BROWSER}"
            )
        chosen = [_called(place, found) for place in self._places] or [None] * count
        others = iter([one for one in found if one not in chosen])
        return [one or next(others) for one in chosen]

    def _check_switch(self, chosen: list[_Found]) -> None:
        buttons = len(chosen[0].spec.button_specs)
        if len(chosen) < len(self._hands.arms) and "switch_arm" not in self._roles[:buttons]:
            raise ConfigError(
                f"one SpaceMouse drives two arms in turn, but none of its {buttons} buttons is "
                "'switch_arm': choose roles (buttons=['gripper', 'switch_arm']) or plug in a second one"
            )

    def _hand(self, mouse: _Mouse, now: float) -> Hand:
        """Everything that the mouse said since the last look."""
        from easyhid import HIDException

        pressed: set[str] = set()
        try:
            while (state := mouse.device.read()).t != mouse.time:
                mouse.time, mouse.heard = state.t, now
                held = {role for role, down in zip(self._roles, state.buttons, strict=False) if down and role}
                pressed |= held - mouse.held
                mouse.held = held
        except HIDException:
            self._shut()
            raise DeviceError(f"{mouse.found} is unplugged") from None
        resting = now - mouse.heard > self._settings.silence
        return Hand(
            np.zeros(6) if resting else self._motion(state), frozenset(mouse.held), frozenset(pressed)
        )

    def _motion(self, state: Any) -> np.ndarray:
        one = self._settings
        level = np.clip([state.x, state.y, state.z, state.roll, state.pitch, state.yaw], -1, 1)
        dead = [one.translation_dead_zone] * 3 + [one.rotation_dead_zone] * 3
        speed = [one.translation_speed] * 3 + [one.rotation_speed] * 3
        return np.array([s * without_dead_zone(v, d) for v, d, s in zip(level, dead, speed, strict=True)])


def _called(name: str, found: list[_Found]) -> _Found | None:
    return next((one for one in found if name in one.names), None)


def _listed(found: list[_Found]) -> str:
    return f"; plugged in: {', '.join(map(str, found)) or 'none'}"


def _find() -> list[_Found]:
    """The mice that are plugged in, in the order of their ports."""
    try:
        import easyhid
        import pyspacemouse

        devices = easyhid.Enumeration().find()
    except ImportError as error:
        raise ConfigError(
            f'a SpaceMouse needs the package {error.name}: pip install "hilserl_envs[teleop]". Or: {_BROWSER}'
        ) from error
    except (AttributeError, OSError) as error:  # easyhid goes on without the library until it calls it
        raise ConfigError(
            "a SpaceMouse needs the library hidapi: apt-get install libhidapi-hidraw0 (Debian, Ubuntu), "
            f"brew install hidapi (macOS). Or: {_BROWSER}"
        ) from error
    specs = {spec.hid_id: spec for spec in pyspacemouse.get_device_specs().values()}
    found: dict[str, _Found] = {}
    for hid in devices:
        spec = specs.get((hid.vendor_id, hid.product_id))
        # A radio receiver shows a mouse and a keyboard as well, as interfaces of their own.
        if spec and (hid.usage_page, hid.usage) in (MULTI_AXIS_CONTROLLER, UNKNOWN_USAGE):
            found.setdefault(hid.path, _Found(hid, spec, _usb_port(hid.path)))
    return sorted(found.values(), key=lambda one: one.place)


def _usb_port(path: str) -> str:
    """The port of a /dev/hidraw node, such as "1-4.2"; "" where there is none, or no Linux."""
    parts = os.path.realpath(f"/sys/class/hidraw/{os.path.basename(path)}").split("/")
    ports = [part for part in parts if re.fullmatch(r"\d+-\d+(\.\d+)*", part)]
    return ports[-1] if ports else ""


def _opened(found: _Found) -> Any:
    """pyspacemouse's device, reading without waiting. Its own `open` prints to stdout."""
    import pyspacemouse

    spec = pyspacemouse.apply_axis_convention(found.spec, pyspacemouse.AxisConvention.ROS)
    device = pyspacemouse.SpaceMouseDevice(spec, found.hid)
    try:
        device.open()
    except RuntimeError as error:
        raise ConfigError(
            f"the {found} cannot be opened, most often for lack of permission: {_PERMISSION}. Or: {_BROWSER}"
        ) from error
    found.hid.set_nonblocking(True)
    return device
