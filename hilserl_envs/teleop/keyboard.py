"""`Keyboard`: the keys of this machine, whichever window they are typed into, through pynput."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hilserl_envs.errors import ConfigError, check_fields, check_name, checked_names, ranged
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.teleop.device import Device, TeleopCommand
from hilserl_envs.teleop.hands import Hands
from hilserl_envs.teleop.keys import BINDINGS, KeyMotion

_BROWSER = "use --device browser, which reads the keyboard through a web page"
# With one of these down, a letter is a shortcut of some window.
SHORTCUT_KEYS = {"ctrl", "alt", "cmd"}

log = logging.getLogger("hilserl_envs.teleop")


@checked_names
@dataclass(frozen=True)
class KeyboardSettings:
    """What keys do, and when they count.

    Args:
        ramp: time from the press of a key to full speed [s].
        speed: full speed, in (0, 1].
        fine: of it while "fine" is held, in (0, 1].
        bindings: meanings by key name, besides those of `teleop.keys.BINDINGS`; "" takes
            a key's meaning away.
        arm_key: a press lets keys count, the next one ends that.
        disarm_after: keys stop counting when none was used for so long [s]; 0 is never.
        hold_limit: a held key of which nothing is heard for so long [s] counts as up, in case
            its release was lost; most displays repeat a held key many times a second. 0 is
            never.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    ramp: float = ranged(0.4, 0.0, 5.0)
    speed: float = ranged(1.0, 0.01, 1.0)
    fine: float = ranged(0.3, 0.01, 1.0)
    bindings: Mapping[str, str] | None = None
    arm_key: str = "f9"
    disarm_after: float = ranged(30.0, 0.0, 3600.0)
    hold_limit: float = ranged(5.0, 0.0, 60.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.bindings, Mapping | None):
            raise ConfigError(
                f"KeyboardSettings.bindings are meanings by key name, got {self.bindings!r}; "
                "for example {'i': '+x'}"
            )
        if not isinstance(self.arm_key, str):
            raise ConfigError(f"KeyboardSettings.arm_key is the name of a key, got {self.arm_key!r}")
        if self.arm_key in self.effective_bindings:
            raise ConfigError(
                f"KeyboardSettings.arm_key {self.arm_key!r} means {self.effective_bindings[self.arm_key]!r} "
                "already: choose another key, or take that meaning away (bindings)"
            )

    @property
    def effective_bindings(self) -> dict[str, str]:
        """Meanings by key name, defaults included."""
        bindings = BINDINGS | dict(self.bindings or {})
        return {key: meaning for key, meaning in bindings.items() if meaning}


class Keyboard(Device):
    """Held keys drive one arm, smoothly; two arms in turn ("switch_arm").

    Keys typed into any window are heard. So they count only between two presses of the
    arming key; and while Ctrl, Alt or Cmd is held they do not, unless that is bound.

    Args:
        layout: of the environment's actions.
        settings: see `KeyboardSettings`.

    Raises:
        ConfigError: an unknown key or meaning; or keys cannot be heard here: no display,
            Wayland, no permission on macOS, or a missing package.
    """

    Settings = KeyboardSettings

    def __init__(self, layout: Sequence[ArmAction], settings: KeyboardSettings | None = None):
        self._settings = settings = settings or KeyboardSettings()
        bindings = settings.effective_bindings
        self._keys = KeyMotion(bindings, settings.ramp, settings.speed, settings.fine)
        self._hands = Hands(layout)
        self._shortcuts = SHORTCUT_KEYS - bindings.keys()
        self._lock = threading.Lock()
        self._armed = False
        self._down: set[str] = set()
        self._sides: set[str] = set()  # of keys that are there twice, those that are down
        self._pressed: set[str] = set()
        self._used = 0.0  # when a key went down or up last
        self._listening = True
        keyboard = _pynput_keyboard()
        names = {_name(key) for key in keyboard.Key}
        for key in (settings.arm_key, *bindings):
            if len(key) != 1:
                check_name(key, names, "key")
        self._listener = _listener(keyboard, self._press, self._release)
        self._tell()

    @property
    def armed(self) -> bool:
        """Whether keys count now."""
        with self._lock:
            return self._armed

    def read(self) -> TeleopCommand:
        now = time.monotonic()
        expired = self._expire(now)
        with self._lock:
            held, pressed = (self._down, self._pressed) if self._armed else (set(), set())
            held, self._pressed = set(held), set()
        if expired:
            self._tell()
        if not self._listener.is_alive():
            self._end()
            return TeleopCommand(connected=False)
        return self._hands.command([self._keys.hand(held, pressed, now)])

    def close(self) -> None:
        self._listening = False
        _stop(self._listener)

    def _press(self, key: Any) -> None:
        name, now = _name(key), time.monotonic()
        changed = self._expire(now)
        with self._lock:
            self._used = now
            self._sides.add(getattr(key, "name", None))
            if name in self._down:  # X repeats the presses of a held key
                return
            if name == self._settings.arm_key:
                self._arm(not self._armed)
                self._down = {name}
                changed = True
            elif name in self._shortcuts:
                self._down = {name}
            elif name is not None and not self._down & self._shortcuts:
                self._down.add(name)
                self._pressed.add(name)
        if changed:
            self._tell()

    def _release(self, key: Any) -> None:
        name = _name(key)
        with self._lock:
            self._used = time.monotonic()
            self._sides.discard(getattr(key, "name", None))
            if any(side and _folded(side) == name for side in self._sides):
                return  # the other one is still down
            if name in self._down:
                self._down.remove(name)
            elif name != "shift":
                # With Shift or AltGr a key can go up under another name than it went down:
                # any may be up now, so none shall move the arm.
                self._down &= {"shift"} | self._shortcuts

    def _expire(self, now: float) -> bool:
        """Disarm if no key was used for long; returns whether it did."""
        with self._lock:
            limit = self._settings.hold_limit
            if self._down and limit and now - self._used > limit:
                log.warning("Keyboard: nothing heard of the held keys for %g s; press them anew", limit)
                self._down, self._sides = set(), set()
            limit = self._settings.disarm_after
            if not (self._armed and limit and not self._down and now - self._used > limit):
                return False
            self._arm(False)
            return True

    def _arm(self, armed: bool) -> None:
        self._armed, self._pressed = armed, set()

    def _tell(self) -> None:
        key, limit = self._settings.arm_key, self._settings.disarm_after
        if self.armed:
            until = f" or {limit:g} s pass without a key" if limit else ""
            log.warning("Keyboard: armed. Keys typed into any window drive the arms until %s%s", key, until)
        else:
            log.warning("Keyboard: disarmed. Press %s to let keys drive the arms", key)

    def _end(self) -> None:
        if self._listening:
            self._listening = False
            log.warning("Keyboard: the display is gone, no key is heard any more; %s", _BROWSER)


def _name(key: Any) -> str | None:
    """A key's name as in `teleop.keys`, whatever Shift does to it; None if it has none."""
    name = getattr(key, "name", None)
    if name is not None:
        return _folded(name)
    char = getattr(key, "char", None)
    return char.lower() if char else None


def _folded(name: str) -> str:
    return re.sub("_(l|r|gr)$", "", name)


def _pynput_keyboard() -> Any:
    """pynput's keyboard module.

    Raises:
        ConfigError: keys cannot be heard here; says why, and what to use instead.
    """
    if sys.platform.startswith("linux"):
        if os.environ.get("XDG_SESSION_TYPE") == "wayland" or os.environ.get("WAYLAND_DISPLAY"):
            raise ConfigError(f"under Wayland no program hears another one's keys: {_BROWSER}")
        if not os.environ.get("DISPLAY"):
            raise ConfigError(f"the keyboard device needs a display, and DISPLAY is not set: {_BROWSER}")
    try:
        from pynput import keyboard
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the keyboard device needs the package {error.name}: "
            f'pip install "hilserl_envs[teleop]"; or {_BROWSER}'
        ) from error
    except ImportError as error:  # pynput connects to the display when it is imported
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"the keyboard device cannot use this display ({reason}): {_BROWSER}") from error
    return keyboard


def _listener(keyboard: Any, press: Callable[[Any], None], release: Callable[[Any], None]) -> Any:
    """A running listener."""
    listener = keyboard.Listener(on_press=press, on_release=release)
    listener.start()
    # `wait` never returns if the thread fails before it listens.
    waiting = threading.Thread(target=listener.wait, daemon=True)
    waiting.start()
    while waiting.is_alive() and listener.is_alive():
        waiting.join(0.01)
    if sys.platform == "darwin" and not listener.IS_TRUSTED:
        _stop(listener)
        raise ConfigError(
            "macOS lets this program hear no keys: allow it (System Settings, Privacy & Security, "
            f"Input Monitoring and Accessibility) for the terminal that it runs in, or {_BROWSER}"
        )
    if not listener.is_alive():
        raise ConfigError(f"the display lets no program listen to its keys; {_BROWSER}")
    return listener


def _stop(listener: Any) -> None:
    """End a listener's thread; safe to call twice."""
    if not listener.is_alive():
        return
    listener.stop()
    if hasattr(listener, "_context"):
        # pynput asks X to end the stream of keys on the connection that the stream keeps busy,
        # so that its thread would wait for one more key.
        from Xlib import display, error

        try:
            connection = display.Display()
            connection.set_error_handler(lambda *about: None)  # the stream may have ended by itself
            connection.record_disable_context(listener._context)
            connection.sync()
            connection.close()
        except (error.DisplayError, error.ConnectionClosedError):
            pass  # the display ends just now, and the thread with it
    threading.Thread.join(listener, timeout=2)
