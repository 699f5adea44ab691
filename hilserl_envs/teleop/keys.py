"""What keys mean, and held keys as smooth motion: shared by the keyboard and the browser page."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np

from hilserl_envs.tasks.setup import AXES
from hilserl_envs.teleop.device import ROLES
from hilserl_envs.teleop.hands import Hand, check_roles

FINE = "fine"  # while held, motions are slow
MOTIONS = tuple(f"{sign}{axis}" for axis in AXES for sign in "+-")
MEANINGS = (*MOTIONS, *ROLES, FINE)
BINDINGS = {
    "w": "+x", "s": "-x", "a": "+y", "d": "-y", "r": "+z", "f": "-z",
    "right": "+rx", "left": "-rx", "down": "+ry", "up": "-ry", "q": "+rz", "e": "-rz",
    "shift": FINE, "g": "gripper", "c": "close", "v": "open",
    "space": "takeover", "tab": "switch_arm", "p": "pause",
    "enter": "success", "backspace": "failure", "delete": "discard",
}  # fmt: skip
START = 0.25  # of full speed, at the moment of the press: a tap is a nudge


class KeyMotion:
    """Turns held keys into a hand's motion that grows while they are held and ends with them.

    Args:
        bindings: meaning (see `MEANINGS`) by key name; None takes `BINDINGS`.
        ramp: time from the press to full speed [s].
        speed: full speed, in (0, 1].
        fine: of it while "fine" is held, in (0, 1].

    Raises:
        ConfigError: an unknown meaning.
    """

    def __init__(
        self,
        bindings: Mapping[str, str] | None = None,
        ramp: float = 0.4,
        speed: float = 1.0,
        fine: float = 0.3,
    ):
        self._bindings = dict(BINDINGS if bindings is None else bindings)
        check_roles(self._bindings, MEANINGS, "key bindings")
        self._ramp, self._speed, self._fine = ramp, speed, fine
        self._since: dict[str, float] = {}

    def hand(self, held: Set[str], pressed: Set[str], now: float) -> Hand:
        """The hand at a time.

        Args:
            held: names of the keys that are down.
            pressed: those that went down since the last call, even if they are up again.
            now: a clock that never goes back [s].
        """
        meanings = {self._bindings[key] for key in held | pressed if key in self._bindings}
        moving = meanings & set(MOTIONS)
        self._since = {motion: self._since.get(motion, now) for motion in moving}
        speed = self._speed * (self._fine if FINE in meanings else 1.0)
        motion = np.zeros(6)
        for name, since in self._since.items():
            level = 1.0 if self._ramp <= 0 else min(1.0, START + (1 - START) * (now - since) / self._ramp)
            motion[AXES.index(name[1:])] += speed * level * (1 if name[0] == "+" else -1)
        return Hand(motion, self._roles(held), self._roles(pressed))

    def _roles(self, keys: Set[str]) -> frozenset[str]:
        return frozenset(self._bindings[key] for key in keys if self._bindings.get(key) in ROLES)
