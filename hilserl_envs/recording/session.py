"""A person's session: episode after episode, at their pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import Device, TeleopCommand

POLL = 0.05  # how often a halted session looks at the device [s]


class Outcome(Enum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIME_LIMIT = "time limit"
    DISCARDED = "discarded"
    STOPPED = "stopped"


class Session:
    """Runs episodes in which a person acts, and nobody else.

    With a device in somebody's hand an episode starts with their first motion. "pause"
    halts between two steps and goes on at the next press; so does a device that is gone,
    until it is back. "discard" ends the episode.

    Args:
        env: with `Intervention` in it, and for a person `RealTime`; its zero action leaves
            the arm where it is.
        tell: called with a line for the person whenever there is something new to say,
            and with whether the session is halted.

    Raises:
        ConfigError: nobody is there to act.
    """

    def __init__(self, env: gymnasium.Env, tell: Callable[[str, bool], None] = lambda line, halted: None):
        if not env.has_wrapper_attr("device"):
            raise ConfigError("a session needs a person: make the environment with a device")
        self._env, self._tell = env, tell
        self._device: Device = env.get_wrapper_attr("device")
        self._idle = np.zeros(env.action_space.shape, np.float32)

    def run_episode(self, seed: int, enough: Callable[[], bool] = lambda: False) -> Outcome:
        """One episode, from its reset on.

        Args:
            seed: of the reset.
            enough: asked after every step; if it holds, the episode stops there.
        """
        self._env.reset(seed=seed)
        if self._device.real_time and not self._wait(_starts, "Move to begin"):
            return Outcome.DISCARDED
        while True:
            *_, terminated, truncated, info = self._env.step(self._idle)
            command = info["teleop"]
            if "discard" in command.pressed:
                return Outcome.DISCARDED
            if terminated or truncated:
                if info.get("is_success"):
                    return Outcome.SUCCESS
                return Outcome.FAILURE if terminated else Outcome.TIME_LIMIT
            if enough():
                return Outcome.STOPPED
            if "pause" in command.pressed:
                if not self._wait(_resumes, "Paused: press again to go on"):
                    return Outcome.DISCARDED
            elif not command.connected:
                if not self._wait(_is_back, "The device is gone: the arm waits until it is back"):
                    return Outcome.DISCARDED

    def _wait(self, over: Callable[[TeleopCommand], bool], line: str) -> bool:
        """Look at the device until it is over; False if the episode was discarded meanwhile."""
        self._tell(line, True)
        try:
            while True:
                command = self._device.read()
                if "discard" in command.pressed:
                    return False
                if over(command):
                    return True
                time.sleep(POLL)
        finally:
            self._tell("", False)


def _starts(command: TeleopCommand) -> bool:
    return command.acting or "takeover" in command.pressed


def _resumes(command: TeleopCommand) -> bool:
    return "pause" in command.pressed


def _is_back(command: TeleopCommand) -> bool:
    return command.connected
