"""What an operator wants to know at a glance, and `Tracker`, which follows a run to say it."""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.robot import ARM_NAMES
from hilserl_envs.teleop.device import TeleopCommand

RATE_EPISODES = 20  # that success and intervention rate are means over, as in the paper


class Mode(NamedTuple):
    """Who is in control, as words and as the colour of the frame."""

    text: str
    color: str


# Colours that people with any colour vision tell apart; the words are there too.
MODES = {
    "person": Mode("PERSON IN CONTROL", "#f5a11a"),
    "policy": Mode("POLICY IN CONTROL", "#2f7fe0"),
    "paused": Mode("PAUSED", "#9aa3ad"),
    "disconnected": Mode("DISCONNECTED", "#e5383b"),
}


@dataclass(frozen=True)
class Status:
    """A run at one moment.

    Args:
        task: its name.
        episode: number of the episode, from 1; 0 before the first.
        step: steps taken in it.
        seconds: robot time of those steps [s].
        person: whether the person is in control.
        paused: whether the session is halted.
        connected: False while the person's device is gone.
        arm: the arm that a lone hand drives, where there are two.
        last_outcome: of the last finished episode: "success", "failure" or "time limit".
        recent: whether each of the last 20 episodes succeeded, oldest first.
        success_rate: mean over those, None before the first one ends.
        intervention_rate: share of steps that the person acted in, mean over those.
        value: what the policy's critics expect of the action last taken, as a discounted
            return; None where nobody says.
        kept, wanted: how many of what is being collected are there, and shall be.
        message: one line for the person.
    """

    task: str = ""
    episode: int = 0
    step: int = 0
    seconds: float = 0.0
    person: bool = False
    paused: bool = False
    connected: bool = True
    arm: str | None = None
    last_outcome: str | None = None
    recent: tuple[bool, ...] = ()
    success_rate: float | None = None
    intervention_rate: float | None = None
    value: float | None = None
    kept: int = 0
    wanted: int | None = None
    message: str = ""

    @property
    def mode(self) -> str:
        """Which of `MODES` holds."""
        if not self.connected:
            return "disconnected"
        if self.paused:
            return "paused"
        return "person" if self.person else "policy"


class Tracker:
    """Told of every reset and step, it knows the `Status`.

    An episode that a reset cuts short counts in no rate.

    Args:
        task: its name.
        step_seconds: robot time of a step [s].

    Attributes:
        status: the newest.
    """

    def __init__(self, task: str = "", step_seconds: float = 0.1):
        if not step_seconds > 0:
            raise ConfigError(f"a step takes more than 0 s, got {step_seconds}")
        self.status = Status(task)
        self._step_seconds = step_seconds
        self._successes: deque[bool] = deque(maxlen=RATE_EPISODES)
        self._interventions: deque[float] = deque(maxlen=RATE_EPISODES)
        self._intervened = 0
        self._note = ""

    def note(self, **changes: Any) -> Status:
        """Set what steps don't tell: `paused`, `kept`, `wanted`, `message`, `task`.

        Raises:
            ConfigError: another field.
        """
        for name in changes:
            check_name(name, ("paused", "kept", "wanted", "message", "task"), "field to note")
        self._note = changes.get("message", self._note)
        return self._set(**changes)

    def reset(self) -> Status:
        """An episode starts."""
        self._intervened = 0
        return self._set(
            episode=self.status.episode + 1,
            step=0,
            seconds=0.0,
            person=False,
            value=None,
            message=self._note,
        )

    def step(self, reward: float, terminated: bool, truncated: bool, info: dict) -> Status:
        """A step was taken; the arguments are what `env.step` returned.

        Of `info` it reads `is_success`, `intervened`, `teleop`, `value` and
        `waiting_for_label`; any may be missing. Without `is_success` an episode that terminates with a reward
        above 0 is a success.
        """
        person = bool(info.get("intervened", False))
        self._intervened += person
        step = self.status.step + 1
        command = info.get("teleop", TeleopCommand())
        asked = bool(info.get("waiting_for_label", False))
        changes = {
            "step": step,
            "seconds": step * self._step_seconds,
            "person": person,
            "connected": command.connected,
            "arm": _lone_arm(command) or self.status.arm,
            "value": _finite(info.get("value")),
            "message": "Time is up: success or failure?" if asked else self._note,
        }
        if terminated or truncated:
            success = bool(info.get("is_success", terminated and reward > 0))
            self._successes.append(success)
            self._interventions.append(self._intervened / step)
            changes |= {
                "last_outcome": "success" if success else "failure" if terminated else "time limit",
                "recent": tuple(self._successes),
                "success_rate": float(np.mean(self._successes)),
                "intervention_rate": float(np.mean(self._interventions)),
            }
        return self._set(**changes)

    def _set(self, **changes: Any) -> Status:
        self.status = dataclasses.replace(self.status, **changes)
        return self.status


def _finite(value: float | None) -> float | None:
    """As a plain number; None for NaN and infinity, which JSON does not have."""
    return float(value) if value is not None and np.isfinite(value) else None


def _lone_arm(command: TeleopCommand) -> str | None:
    """The one arm that a command is for, unless there is no other."""
    arms = list(command.arms)
    return arms[0] if len(arms) == 1 and arms != list(ARM_NAMES[1]) else None
