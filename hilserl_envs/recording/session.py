"""Episode after episode: a person acts, or a policy that a person watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop import Device, TeleopCommand

if TYPE_CHECKING:
    from hilserl_envs.policies import Policy

POLL = 0.05  # how often a halted session looks at the device [s]


class Outcome(Enum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIME_LIMIT = "time limit"
    DISCARDED = "discarded"
    PREVIOUS_DISCARDED = "previous discarded"
    STOPPED = "stopped"


class Session:
    """Runs episodes in which a policy acts, or a person and nobody else.

    Without a policy an episode starts with the person's first motion, if they have a device
    in their hand; with one at once, unless it `waits`. "pause" halts between two steps, and
    before the first, and goes on at the next press; so does a device that is gone, until it is
    back. "discard" ends the episode; before its first step it is about the episode before.

    Args:
        env: with `Intervention` in it, and for a person `RealTime`; its zero action leaves
            the arm where it is. With a policy it may have nobody who takes over.
        policy: acts while no person does; None leaves the arm where it is.
        tell: called with a line for the person and whether the session is halted, again and
            again while it is; None shows it on the `LiveView`, if there is one, and prints it.
        waits: for the person's first motion with a policy too, before the episode's reset: until
            then they put things back.

    Attributes:
        steps: taken in the episode so far.

    Raises:
        ConfigError: nobody is there to act.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        tell: Callable[[str, bool], None] | None = None,
        policy: Policy | None = None,
        waits: bool = False,
    ):
        watched = env.has_wrapper_attr("intervenes")
        if not watched and policy is None:
            raise ConfigError("a session needs a person: make the environment with a device")
        self._env, self._tell, self._policy = env, tell or _Teller(env), policy
        self._device: Device | None = env.get_wrapper_attr("device") if watched else None
        self._waits = waits or policy is None
        self._idle = np.zeros(env.action_space.shape, np.float32)
        self.steps = 0

    def run_episode(self, seed: int, enough: Callable[[], bool] = lambda: False) -> Outcome:
        """One episode, from its reset on.

        Args:
            seed: of the reset, and of the policy.
            enough: asked after every step, and while the session is halted; if it holds, the
                episode stops there.
        """
        self.steps = 0
        watched = self._device is not None and self._device.real_time
        if watched and self._waits and self._policy is not None:
            # The arm goes out of the way first; what the episode begins with is seen afterwards.
            self._env.unwrapped.reset(seed=seed)
            if (outcome := self._begin(True, enough)) is not None:
                return outcome
        observation, _ = self._env.reset(seed=seed)
        if self._policy is not None:
            self._policy.start(seed)
        if watched and (outcome := self._begin(self._policy is None, enough)) is not None:
            return outcome
        while True:
            action = self._idle if self._policy is None else self._policy(observation)
            observation, _, terminated, truncated, info = self._env.step(action)
            self.steps += 1
            command: TeleopCommand | None = info.get("teleop")
            if command is not None and "discard" in command.pressed:
                return Outcome.DISCARDED
            if terminated or truncated:
                if info.get("is_success"):
                    return Outcome.SUCCESS
                return Outcome.FAILURE if terminated else Outcome.TIME_LIMIT
            if enough():
                return Outcome.STOPPED
            if command is None:
                continue
            command = self._halted(command, enough)
            if command is None:
                return Outcome.STOPPED
            if "discard" in command.pressed:
                return Outcome.DISCARDED

    def _begin(self, waits: bool, enough: Callable[[], bool]) -> Outcome | None:
        """Wait for the person, or halt where they ask for it; the outcome, if there is one already.

        What they did by then counts in the first step, unless it ended a pause.
        """
        if waits:
            first = given = self._wait(_starts, "Move to begin", enough)
        else:
            given = self._env.get_wrapper_attr("look")()
            first = self._halted(given, enough)
        if first is None:
            return Outcome.STOPPED
        if "discard" in first.pressed:
            return Outcome.PREVIOUS_DISCARDED
        if first is given:
            self._env.get_wrapper_attr("give")(first)
        return None

    def _halted(self, command: TeleopCommand, enough: Callable[[], bool]) -> TeleopCommand | None:
        """Halt where that command asks for it; returns the one that ended that, None where it is enough."""
        if "pause" in command.pressed:
            return self._wait(_resumes, "Paused: press again to go on", enough)
        if not command.connected:
            return self._wait(_is_back, "The device is gone: the arm waits until it is back", enough)
        return command

    def _wait(
        self, over: Callable[[TeleopCommand], bool], line: str, enough: Callable[[], bool]
    ) -> TeleopCommand | None:
        """Look at the device until it is over: the command that ended it, or None where it is enough."""
        try:
            while not enough():
                self._tell(line, True)
                command = self._env.get_wrapper_attr("look")()
                if "discard" in command.pressed or over(command):
                    return command
                time.sleep(POLL)
            return None
        finally:
            self._tell("", False)


class _Teller:
    """Tells a person who may look at the live view or at the terminal."""

    def __init__(self, env: gymnasium.Env):
        self._note = env.get_wrapper_attr("note") if env.has_wrapper_attr("note") else None
        self._last = ""

    def __call__(self, line: str, halted: bool) -> None:
        if self._note is not None:
            self._note(message=line, paused=halted)
        if line and line != self._last:
            print(line, file=sys.stderr)
        self._last = line


def _starts(command: TeleopCommand) -> bool:
    return command.acting or "takeover" in command.pressed


def _resumes(command: TeleopCommand) -> bool:
    return "pause" in command.pressed


def _is_back(command: TeleopCommand) -> bool:
    return command.connected
