"""`ServedArms`: the arms and cameras of one robot server, as `HttpRobot` puts them together."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from hilserl_envs import wire
from hilserl_envs.errors import CameraError, ConfigError, RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.json_values import check_number
from hilserl_envs.robot import ArmCommand, RobotState
from hilserl_envs.server_connection import ServerConnection

log = logging.getLogger("hilserl_envs.http_robot")

# What a server may take until it answers [s of robot time]; controllers may have to be launched anew.
SETTING_TIME, RECOVERY_TIME, JOINT_RESET_TIME = 10.0, 60.0, 120.0
LONE_ARM = "arm"  # what a server calls it


class ServedArms:
    """One server: what it has, what is to be sent to it, and what it answered.

    Args:
        url: of it.
        arm: what its only arm is called here; None keeps its arms' names.
        encoding: of images.

    Attributes:
        arms: its own name of each arm, by what it is called here.
        cameras: (height, width) of the images, by name.
        wanted: cameras whose images are captured.
        twin_of: task of the twin behind it; None for a real robot.
        max_stride: that it lets through [m, rad].
        pending: commands that were not sent yet.
    """

    def __init__(self, url: str, arm: str | None, encoding: str):
        self.connection = ServerConnection(url)
        self.url, self._encoding = self.connection.url, encoding
        about = self.connection.get("/robot")
        try:
            arms = tuple(map(str, about["arms"]))
            self.cameras = {name: (int(size[0]), int(size[1])) for name, size in about["cameras"].items()}
            self.twin_of = str(about["task"]) if about.get("backend") == "twin" else None
            self._speed = check_number(about["speed"], 1e-3, 1e3, "speed")
            jump, turn = about["limits"]["max_jump"], about["limits"]["max_turn"]
            self.max_stride = check_number(jump, 0, 10, "max_jump"), check_number(turn, 0, 10, "max_turn")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RobotError(f"{url}/robot answered with no description of a robot: {error!r}") from None
        if arm is not None and arms != (LONE_ARM,):
            raise ConfigError(
                f"robot={{{arm!r}: {url!r}}} names a server with one arm, but that has {list(arms)}; "
                "give the URL of a server with two arms alone"
            )
        self.arms = {arm: LONE_ARM} if arm is not None else {name: name for name in arms}
        self.wanted: tuple[str, ...] = ()
        self.pending: dict[str, ArmCommand] = {}
        # Of the last answer, until they are handed out.
        self._state: RobotState | None = None
        self._images: dict[str, np.ndarray] | None = None
        self._looked = False  # whether images were captured since the last wait
        self._answered: tuple[float, float] | None = None  # robot time of it, and time.monotonic
        self._instance: str | None = None  # of the server whose state was read last

    def post(self, path: str, body: Mapping[str, Any], seconds: float, moves: bool = True) -> dict:
        """Anything but a step; what the last step said is past then."""
        self.flush()
        self._state = self._images = None
        return self.connection.post(path, body, seconds / min(self._speed, 1.0), moves)

    def flush(self) -> None:
        """Send what is pending."""
        if self.pending:
            self._step(0.0, None, ())

    def wait(self, seconds: float) -> None:
        while True:  # a longer wait than the server allows is several
            part = min(seconds, wire.MAX_WAIT)
            looked, self._looked = self._looked, False
            self._step(part, self._tick(part), self.wanted if looked else ())
            seconds -= part
            if seconds <= 0:
                return

    def read(self) -> RobotState:
        self.flush()
        state, self._state = self._state, None
        if state is not None:
            return state
        answer = self.connection.get("/state")
        self._instance = answer.get("instance")
        return self._named(answer)

    def capture(self) -> dict[str, np.ndarray]:
        self._looked = True
        if not self.wanted:
            return {}
        self.flush()
        if self._images is None:
            state = self._state
            self._step(0.0, None, self.wanted)
            self._state = state
        images, self._images = self._images, None
        return images

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        values = {
            self.arms[name]: dataclasses.asdict(value)
            for name, value in compliance.items()
            if name in self.arms
        }
        if not values:
            return
        answer = self.post("/configure", {"compliance": values}, SETTING_TIME, moves=False)
        if clamped := answer.get("clamped"):
            log.warning("%s clamped %s", self.url, clamped)

    def drive_by(self, motions: Mapping[str, str]) -> None:
        theirs = {self.arms[name]: motion for name, motion in motions.items() if name in self.arms}
        if theirs:
            self.post("/drive_by", {"motions": theirs}, RECOVERY_TIME)

    def reset_joints(self, goals: Mapping[str, np.ndarray]) -> None:
        q = {self.arms[name]: goal.tolist() for name, goal in goals.items() if name in self.arms}
        if q:
            self.post("/reset_joints", {"q": q}, JOINT_RESET_TIME)

    def _tick(self, wait: float) -> float | None:
        """Robot time that the wait counts from, None for when the request arrives."""
        if self._answered is None:
            return None
        then, arrived = self._answered
        return then if (time.monotonic() - arrived) * self._speed <= wait / 2 else None

    def _step(self, wait: float, since: float | None, images: Collection[str]) -> None:
        commands = {self.arms[name]: command for name, command in self.pending.items()}
        # Whatever becomes of them, they are not sent again.
        self.pending, self._state, self._images = {}, None, None
        instance = self._instance if commands else None
        request = wire.StepRequest(commands, wait, since, tuple(images), self._encoding, instance)
        body = self.connection.post_for_bytes(
            "/step", request.to_json(), wait / self._speed, moves=bool(commands)
        )
        try:
            answer, frames = wire.unpack(body)
        except RobotError as error:
            raise RobotError(f"{self.url}: {error}") from None
        self._state = self._named(answer)
        self._answered = self._state.time, time.monotonic()
        if missing := [name for name in images if name not in frames]:
            raise CameraError(f"{self.url} gave no image of {missing}; it says {answer.get('errors')}")
        if images:
            self._images = {name: frames[name].image for name in images}

    def _named(self, answer: Mapping[str, Any]) -> RobotState:
        """The state in an answer, its arms by what they are called here."""
        try:
            state = wire.state_from_json(answer)
            arms = {name: state.arms[theirs] for name, theirs in self.arms.items()}
        except RobotError as error:
            raise RobotError(f"{self.url}: {error}") from None
        except KeyError as error:
            raise RobotError(
                f"{self.url} no longer has the arm {error}; was another robot started there?"
            ) from None
        return RobotState(state.time, arms, state.succeeded)
