"""How a person takes over, in every command in which one may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hilserl_envs.cli import Command

_SETTINGS = {
    "device_frame": "frame",
    "heading": "heading",
    "takeover": "mode",
    "release_delay": "release_delay",
}  # of `Intervention`, by the flag


@dataclass(frozen=True, kw_only=True)
class TakeoverCommand(Command):
    """Settings of `Intervention`."""

    device_frame: str = "world"
    """Axes of the person's motions: world or tcp."""
    heading: float = 0.0
    """Where the person looks, about the world's z [rad]: 0 stands behind the arm, 3.14 faces it."""
    takeover: str = "hold"
    """hold or toggle: how the person takes control."""
    release_delay: float = 0.5
    """How long hold keeps the arm still after a motion [s]."""

    @property
    def intervention(self) -> dict[str, Any] | None:
        """As `make_env` takes it; None where nothing was asked for."""
        given = {flag: getattr(self, flag) for flag in _SETTINGS}
        return {_SETTINGS[f]: v for f, v in given.items() if v != getattr(TakeoverCommand, f)} or None
