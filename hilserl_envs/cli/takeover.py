"""What a person does in several commands: how they take over, whether they give the reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hilserl_envs.cli import Command
from hilserl_envs.errors import ConfigError, check_name


def reward_named(name: str) -> str | None:
    """`--reward` as `make_env` takes it.

    Raises:
        ConfigError: neither task nor person, nor the name of a classifier's file.
    """
    if not name.endswith(".safetensors"):
        try:
            check_name(name, ("task", "person"), "reward")
        except ConfigError as error:
            raise ConfigError(f"{error}, or a classifier's file, NAME.safetensors") from None
    return None if name == "task" else name


@dataclass(frozen=True, kw_only=True)
class TakeoverCommand(Command):
    """Settings of `Intervention`."""

    device_frame: str | None = None
    """Axes of the person's motions: world (the default) or tcp."""
    heading: float | None = None
    """Where the person looks, about the world's z [rad]: 0 (default) is behind the arm, 3.14 faces it."""
    takeover: str | None = None
    """hold (the default) or toggle: how the person takes control."""
    release_delay: float | None = None
    """How long hold keeps the arm still after a motion [s]: 0.5 by default."""

    @property
    def intervention(self) -> dict[str, Any] | None:
        """As `make_env` takes it; None where nothing was asked for."""
        given = {
            "frame": self.device_frame,
            "heading": self.heading,
            "mode": self.takeover,
            "release_delay": self.release_delay,
        }
        return {name: value for name, value in given.items() if value is not None} or None
