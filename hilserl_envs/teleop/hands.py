"""From hands on sticks, keys and buttons to a `TeleopCommand`: the part that devices share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.teleop.device import ROLES, ArmMotion, TeleopCommand

_WITH_GRIPPER = ("close", "open", "success", "failure", "discard", "takeover", "pause", "switch_arm")
_WITHOUT_GRIPPER = ("success", "failure", "discard", "takeover", "pause", "switch_arm")


@dataclass(frozen=True)
class Hand:
    """What one hand does now.

    Args:
        motion: (6,) as of `ArmMotion`; beyond [-1, 1] it is cut, not finite it is nothing.
        held, pressed: roles, as of `TeleopCommand`.
    """

    motion: np.ndarray = field(default_factory=lambda: np.zeros(6))
    held: frozenset[str] = frozenset()
    pressed: frozenset[str] = frozenset()


class Hands:
    """Gives each hand its arm: one hand drives one arm, two drive left and right.

    One hand on two arms drives the left one first, the other one after "switch_arm".
    Args:
        layout: the environment's action layout.
    """

    def __init__(self, layout: Sequence[ArmAction]):
        self.arms = tuple(arm.name for arm in layout)
        self._grippers = {arm.name for arm in layout if arm.gripper}
        self._selected = 0

    @property
    def selected(self) -> str:
        """The arm that a lone hand drives."""
        return self.arms[self._selected]

    def command(self, hands: Sequence[Hand]) -> TeleopCommand:
        """The command of one hand, or of as many hands as there are arms."""
        held = frozenset().union(*(hand.held for hand in hands))
        pressed = frozenset().union(*(hand.pressed for hand in hands))
        if len(hands) == 1:
            if "switch_arm" in pressed:
                self._selected = (self._selected + 1) % len(self.arms)
            driven = {self.selected: hands[0]}
        else:
            driven = dict(zip(self.arms, hands, strict=True))
        arms = {arm: self._motion(arm, hand) for arm, hand in driven.items()}
        acting = any(not motion.still for motion in arms.values())
        return TeleopCommand(arms, acting, held, pressed)

    def _motion(self, arm: str, hand: Hand) -> ArmMotion:
        gripper = "stay"
        if "gripper" in hand.pressed:
            gripper = "toggle"
        for command in ("open", "close"):  # with both held it closes: rather squeeze than drop
            if command in hand.held | hand.pressed:
                gripper = command
        if arm not in self._grippers:
            gripper = "stay"
        motion = np.asarray(hand.motion, dtype=np.float64)
        motion = np.clip(motion, -1.0, 1.0) if np.isfinite(motion).all() else np.zeros(6)
        return ArmMotion(motion, gripper)


def button_roles(layout: Sequence[ArmAction], chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """What numbered buttons mean, first to last; a device with fewer has the first ones.

    Args:
        layout: whether there is a gripper decides the defaults.
        chosen: roles by number instead of the defaults; "" leaves a button without.

    Raises:
        ConfigError: an unknown role.
    """
    if not chosen:
        return _WITH_GRIPPER if any(arm.gripper for arm in layout) else _WITHOUT_GRIPPER
    return tuple(role and check_name(role, ROLES, "button role") for role in chosen)


def check_roles(bindings: Mapping[str, str], known: Sequence[str], what: str) -> None:
    """Refuse a mapping of keys or buttons to meanings that are not known."""
    if not isinstance(bindings, Mapping):
        raise ConfigError(f"{what} are a mapping of names to meanings, got {bindings!r}")
    for meaning in bindings.values():
        check_name(meaning, known, f"meaning in {what}")


def without_dead_zone(value: float, dead_zone: float) -> float:
    """A stick's reading in [-1, 1] with its middle cut out, and still from 0 to 1 beyond it."""
    beyond = abs(value) - dead_zone
    return 0.0 if beyond <= 0 else float(np.copysign(beyond / (1 - dead_zone), value))
