"""`Guard`: what stands between every route and the arms.

Nothing moves an arm but through here. A request is checked as a whole before any of it is
done, so a refused one moves nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from hilserl_envs.errors import RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmCommand
from hilserl_envs.wire import state_to_json
from robot_servers.deadman import Deadman
from robot_servers.limits import GuardSettings, Refusal, changed_compliance, check_load
from robot_servers.parts import Gripper
from robot_servers.station import Station

log = logging.getLogger("robot_servers")


class Guard:
    """Checks what a station is told, holds its arms when commands stop, and stops them.

    Any number of threads may call it. Closing it closes the station.

    Args:
        station: its arms' compliance is set to the defaults.
        settings: what is let through.

    Attributes:
        compliance: what the arms were last configured with, by name.
        emergency: why the emergency stop is on, None where it is off.
        instance: tells this guard from that of a server which was started again.
    """

    def __init__(self, station: Station, settings: GuardSettings | None = None):
        self.station, self.settings = station, settings or GuardSettings()
        self.compliance = {name: Compliance() for name in station.arms}
        station.configure(self.compliance)
        self.emergency: str | None = None
        self.instance = secrets.token_hex(4)
        self._stops = 0  # of any kind, so far
        self._stopped = False  # until somebody starts or recovers
        self._occupied: str | None = None  # what keeps commands out
        self._lock = threading.RLock()
        self._deadman = Deadman(station, self.settings.deadman, self._lock, self._blocked)

    def state(self) -> dict[str, Any]:
        """`wire.state_to_json` with the targets, and with what keeps the arms from moving."""
        return state_to_json(self.station.read()) | {
            "targets": self._deadman.targets(),
            "errors": self.station.errors(),
            "emergency_stop": self.emergency or False,
            "held_by_deadman": self._deadman.held,
            "instance": self.instance,
        }

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        """Check all commands, then send them.

        Raises:
            Refusal: one of them is not safe; none was sent.
            RobotError: an arm does not take it.
        """
        moving = {
            name: command
            for name, command in commands.items()
            if not (command.pose is None and command.wrench is None and command.gripper is None)
        }
        if not moving:
            return
        with self._lock:
            self._check_free()
            state = self.station.read()
            checked = {}
            for name, command in moving.items():
                if command.pose is not None or command.wrench is not None:
                    self._check_arm(name)
                if command.wrench is not None:
                    self.settings.check_wrench(name, command.wrench)
                if command.pose is not None:
                    pose = self.settings.checked_pose(name, command.pose, state.arms[name].tcp_pose)
                    command = dataclasses.replace(command, pose=pose)
                checked[name] = command
            self.station.command(checked)
            for name, command in checked.items():
                if command.pose is not None or command.wrench is not None:
                    self._deadman.commanded(name, command.pose)

    def check_instance(self, instance: str | None) -> None:
        """Refuse what was meant for a server before this one; None is for any.

        Raises:
            Refusal: arms, compliance and the twin's things are not as the client knows them.
        """
        if instance not in (None, self.instance):
            raise Refusal(
                "restarted",
                "the server was started again since the client saw its state; reset, then go on",
                409,
            )

    def gripper(self, arm: str) -> Gripper:
        """An arm's gripper.

        Raises:
            Refusal: it has none.
        """
        if arm not in self.station.grippers:
            raise Refusal("no_gripper", f"arm {arm!r} has no gripper configured", 404)
        return self.station.grippers[arm]

    def move_gripper(self, arm: str, opening: float, speed: float = 1.0) -> None:
        """Drive an arm's gripper to an opening, 0 to 1.

        Raises:
            Refusal: the arm has no gripper, or nothing may move.
        """
        gripper = self.gripper(arm)
        with self._lock:
            self._check_free()
            gripper.move(opening, speed)

    def activate_gripper(self, arm: str) -> None:
        """Make an arm's gripper ready; it may move meanwhile."""
        gripper = self.gripper(arm)
        with self.occupying("the gripper is being activated"):
            gripper.activate()

    def reset_gripper(self, arm: str) -> None:
        """Clear the fault of an arm's gripper and make it ready; it may move meanwhile."""
        gripper = self.gripper(arm)
        with self.occupying("the gripper is being reset"):
            gripper.reset()

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        """Move arms to joint positions (7,) [rad]; returns when there.

        Raises:
            Refusal: beyond the joint limits, the TCP would end outside the box, or an arm is
                in error or stopped.
            RobotError: one does not get there.
        """
        for name, goal in q.items():
            self.settings.check_joints(name, goal)
            self._check_arm(name)
        with self.occupying("the joints are being reset", q):
            self.station.reset_joints(q)

    def start(self) -> None:
        """Start the controllers where the arms are."""
        with self.occupying("the controllers are being started", self.station.arms):
            self._stopped = False
            self.station.start()

    def recover(self) -> None:
        """Clear errors and hold the measured poses; the controllers run afterwards."""
        with self.occupying("the robot is being recovered", self.station.arms):
            self._stopped = False
            self.station.recover()

    def clear_errors(self) -> None:
        """Recover if an arm is in error: public clients ask for this before every pose.

        Controllers that were stopped stay so, as with the public server.
        """
        if self.emergency is not None:
            self._check_free()
        in_error = any(name in self.station.parts for name in self.station.errors())
        if in_error and not self._stopped:
            self.recover()

    def stop(self) -> None:
        """Stop the controllers; waits for nobody.

        Raises:
            RobotError: one did not stop.
        """
        self._stops += 1
        self._stopped = True
        self._deadman.forget(self.station.arms)
        self.station.stop()

    def emergency_stop(self, why: str) -> None:
        """Stop, and let nothing move until `clear_emergency_stop`.

        Raises:
            RobotError: a controller did not stop; motion is refused all the same.
        """
        self.emergency = why
        log.warning("emergency stop: %s", why)
        self.stop()

    def clear_emergency_stop(self) -> None:
        """Hold the measured poses, controllers running, and let motion through again.

        Raises:
            RobotError: the arms do not recover, or it was pressed again meanwhile; it stays on.
        """
        with self._lock:
            if self.emergency is None:
                return
            if self._occupied is not None:
                raise Refusal("busy", f"{self._occupied}; try again when that is over", 409)
            stops = self._stops
            self.station.recover()
            if self._stops != stops:
                self.station.stop()
                raise RobotError("the emergency stop was pressed again while it was cleared; it stays on")
            self.emergency, self._stopped = None, False
            log.warning("emergency stop cleared")

    def configure(self, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """Change impedance parameters by arm and name; those not named stay as they are.

        Returns:
            by arm and name, what became of those out of range.

        Raises:
            ActionError: an unknown parameter, or no number; nothing was changed.
        """
        with self._lock:
            compliance, clamped = {}, {}
            for arm, parameters in changes.items():
                compliance[arm], clamped[arm] = changed_compliance(self.compliance[arm], parameters)
            self.station.configure(compliance)
            self.compliance |= compliance
        return {arm: names for arm, names in clamped.items() if names}

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Tell an arm what it carries; see `hilserl_envs.robot.Robot.load`.

        Raises:
            Refusal: more than an arm can carry, or nothing may move.
        """
        check_load(mass, center)
        with self._lock:
            self._check_free()
            self.station.load(arm, mass, center, inertia)

    @contextlib.contextmanager
    def occupying(self, what: str, arms: Iterable[str] = ()) -> Iterator[None]:
        """Keep commands out while something slow goes on; a stop is not kept out, and wins.

        Args:
            what: goes on, for who is kept out.
            arms: those that hold another pose afterwards than they were sent to.

        Raises:
            Refusal: nothing may move.
        """
        with self._lock:
            self._check_free()
            self._occupied, stops = what, self._stops
        try:
            yield
        finally:
            self._deadman.forget(arms)
            try:
                if self._stops != stops:
                    self._stopped = True
                    self.station.stop()
            finally:
                self._occupied = None

    def close(self) -> None:
        """Stop watching and close the station; safe to call twice."""
        self._deadman.close()
        self.station.close()

    def _check_free(self) -> None:
        if self.emergency is not None:
            raise Refusal(
                "emergency_stop", f"the emergency stop is on ({self.emergency}); clear it first", 423
            )
        if self._occupied is not None:
            raise Refusal("busy", f"{self._occupied}; try again when that is over", 409)

    def _check_arm(self, name: str) -> None:
        error = self.station.parts[name].error()
        if error is not None:
            raise Refusal("arm_error", f"arm {name!r} does not move: {error}; start or recover it", 409)

    def _blocked(self, name: str) -> bool:
        free = self.emergency is None and self._occupied is None
        return not free or self.station.parts[name].error() is not None
