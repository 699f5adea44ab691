"""`Gamepad`: Xbox, PlayStation and other pads, through pygame-ce."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, DeviceError, check_fields, checked_names, ranged
from hilserl_envs.tasks.setup import AXES, ArmAction
from hilserl_envs.teleop import gamepad_process
from hilserl_envs.teleop.device import ROLES
from hilserl_envs.teleop.gamepad_mapping import DEFAULT, GamepadMapping, read_mapping
from hilserl_envs.teleop.hands import Hand, without_dead_zone
from hilserl_envs.teleop.keys import FINE, MOTIONS
from hilserl_envs.teleop.polled import PolledDevice

PROCESS = Path(gamepad_process.__file__)
DOWN = 0.5  # a trigger pulled further than this is a pressed button
START_LIMIT = 15.0  # for the process to say its first word [s]
SILENCE_LIMIT = 0.3  # of a process that speaks every `gamepad_process.HEARTBEAT` [s]
_BROWSER = "--device browser reads a gamepad through a web page"


@checked_names
@dataclass(frozen=True)
class GamepadSettings:
    """Which pad, and how it drives.

    Args:
        pad: part of its name, where several are plugged in; empty takes the first.
        mapping: path of a mapping file, see `teleop.gamepad_mapping`; empty takes the one
            that ships.
        translation_speed, rotation_speed: at full deflection, in (0, 1].
        fine: of it while "fine" is held, in (0, 1].
        dead_zone: share of the way, from the middle, that does nothing.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    pad: str = ""
    mapping: str = ""
    translation_speed: float = ranged(1.0, 0.01, 1.0)
    rotation_speed: float = ranged(1.0, 0.01, 1.0)
    fine: float = ranged(0.3, 0.01, 1.0)
    dead_zone: float = ranged(0.1, 0.0, 0.9)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("pad", "mapping"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"GamepadSettings.{name} is a text, got {getattr(self, name)!r}")


class Gamepad(PolledDevice):
    """A gamepad drives one arm; two arms in turn ("switch_arm").

    ===================  =================  =====================================
    control              Xbox, PlayStation  meaning
    ===================  =================  =====================================
    left stick                              away and back, left and right
    right stick                             up and down, turn about the vertical
    triggers             LT RT, L2 R2       roll left, right
    shoulder buttons     LB RB, L1 R1       pitch up, down
    a                    A, cross           gripper
    b                    B, circle          failure
    x                    X, square          takeover
    y                    Y, triangle        success
    back                 view, create       discard
    start                menu, options      pause
    left stick pressed                      fine: slow while held
    right stick pressed                     switch_arm
    ===================  =================  =====================================

    The same as on the browser's page. Which number a button has differs between models, and
    for one model between drivers; SDL's table of pads knows, so one mapping serves them all.

    Args:
        layout: of the environment's actions.
        settings: see `GamepadSettings`.

    Raises:
        ConfigError: no pad, a wrong mapping file, or a missing package.
        DeviceError: the process that reads the pad does not run.
    """

    Settings = GamepadSettings

    def __init__(self, layout: Sequence[ArmAction], settings: GamepadSettings | None = None):
        super().__init__(layout)
        self._settings = settings or GamepadSettings()
        self._mapping = read_mapping(self._settings.mapping or DEFAULT)
        if importlib.util.find_spec("pygame") is None:
            raise ConfigError(
                f'a gamepad needs the package pygame-ce: pip install "hilserl_envs[teleop]". Or: {_BROWSER}'
            )
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _look(self) -> list[Hand]:
        if self._process is None:
            self._launch()
        running = self._receive()
        if not running or time.monotonic() - self._heard > SILENCE_LIMIT:
            self._shut()
            raise DeviceError(f"the process that reads it {'hangs' if running else 'ended'}")
        if self._levels is None:
            raise self._missing()
        pressed, self._pressed = self._pressed, set()
        return [self._hand(self._levels, pressed)]

    def _shut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def _launch(self) -> None:
        """Start the process, and wait for its first line."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROCESS), self._settings.pad],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=_environment(self._mapping),
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self._name: str | None = None
        self._unknown: list[str] = []
        self._levels: dict[str, float] | None = None  # by control; None without a pad
        self._down: set[str] = set()
        self._pressed: set[str] = set()
        start = self._heard = time.monotonic()
        while self._heard == start and time.monotonic() - start < START_LIMIT:
            if select.select([self._process.stdout], [], [], START_LIMIT)[0] and not self._receive():
                break

    def _receive(self) -> bool:
        """Take in every line that is there; False when the process has closed the pipe."""
        while chunk := self._process.stdout.read(65536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._heard = time.monotonic()
                self._take(json.loads(line))
        return chunk is None

    def _take(self, state: dict) -> None:
        if state["pad"] is None:
            self._levels, self._unknown, self._pressed = None, state["unknown"], set()
            return
        appeared, self._name = self._levels is None, state["pad"]
        self._levels = dict(zip(gamepad_process.AXES, state["axes"], strict=True))
        self._levels |= dict.fromkeys(state["down"], 1.0)
        down = {control for control, level in self._levels.items() if level > DOWN}
        if not appeared:  # what was down already was not pressed
            self._pressed |= (down - self._down) | set(state["pressed"])
        self._down = down

    def _hand(self, levels: dict[str, float], pressed: set[str]) -> Hand:
        meanings = self._mapping.controls
        held = {meanings[control] for control in self._down if control in meanings}
        presses = {meanings[control] for control in pressed if control in meanings}
        motion = np.zeros(6)
        for control, meaning in meanings.items():
            if meaning in MOTIONS:
                level = without_dead_zone(levels.get(control, 0.0), self._settings.dead_zone)
                motion[AXES.index(meaning[1:])] += level if meaning[0] == "+" else -level
        motion[:3] *= self._settings.translation_speed
        motion[3:] *= self._settings.rotation_speed
        if FINE in held:
            motion *= self._settings.fine
        return Hand(motion, frozenset(held & set(ROLES)), frozenset(presses & set(ROLES)))

    def _missing(self) -> ConfigError | DeviceError:
        if self._name is not None:
            return DeviceError(f"{self._name} is unplugged, or its radio is lost")
        wanted = f" called {self._settings.pad!r}" if self._settings.pad else ""
        if self._unknown:
            known = (
                f"SDL does not know the buttons of {', '.join(self._unknown)}: put the pad's line of "
                'gamecontrollerdb.txt into a mapping file, as "sdl": ["..."]'
            )
        else:
            known = "plug it in or pair it, and press a button; `ls /dev/input/js*` lists pads"
        return ConfigError(f"no gamepad{wanted} was found: {known}. Or: {_BROWSER}")


def _environment(mapping: GamepadMapping) -> dict[str, str]:
    """Of the process."""
    lines = [os.environ.get("SDL_GAMECONTROLLERCONFIG", ""), *mapping.sdl]
    return os.environ | {
        "SDL_VIDEODRIVER": "dummy",  # it has no window
        "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
        "SDL_NO_SIGNAL_HANDLERS": "1",
        "SDL_GAMECONTROLLERCONFIG": "\n".join(line for line in lines if line),
        "PYGAME_HIDE_SUPPORT_PROMPT": "1",
        "PYTHONSAFEPATH": "1",  # the modules beside it are not for `import`
    }
