"""`Guard`: what stands between every route and the arms.

Nothing moves an arm but through here. A request is checked as a whole before any of it is
done, so a refused one moves nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from hilserl_envs.errors import RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import MOTIONS, ArmCommand
from hilserl_envs.wire import state_to_json
from robot_servers.deadman import Deadman
from robot_servers.limits import GuardSettings, Refusal
from robot_servers.right_of_way import GrippersGuard, RightOfWay
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
        grippers: theirs, guarded.
        instance: tells this guard from that of a server which was started again.
    """

    def __init__(self, station: Station, settings: GuardSettings | None = None):
        self.station, self.settings = station, settings or GuardSettings()
        self.compliance = {name: Compliance() for name in station.arms}
        station.configure(self.compliance)
        self.instance = secrets.token_hex(4)
        self._way = RightOfWay(station.stop)
        self.grippers = GrippersGuard(station.grippers, self._way)
        self._commands = 0  # taken so far
        self._deadman = Deadman(station, self.settings.deadman, self._way.lock, self._blocked)

    @property
    def emergency(self) -> str | None:
        """Why the emergency stop is on, None where it is off."""
        return self._way.emergency

    def state(self) -> dict[str, Any]:
        """`wire.state_to_json` with the targets, and with what keeps the arms from moving."""
        return state_to_json(self.station.read()) | {
            "targets": self._deadman.targets(),
            "errors": self.station.errors(),
            "emergency_stop": self.emergency or False,
            "held_by_deadman": self._deadman.held,
            "instance": self.instance,
        }

    def command(self, commands: Mapping[str, ArmCommand]) -> int:
        """Check all commands, then send them; returns a number for `renew_wrenches`.

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
            return self._commands
        with self._way.lock:
            self._way.check_free()
            state = self.station.read()
            checked = {}
            for name, command in moving.items():
                if motions := [motion for motion in MOTIONS if getattr(command, motion) is not None]:
                    self._check_arm(name, motions)
                if command.wrench is not None:
                    self.settings.check_wrench(name, command.wrench, state.arms[name].tcp_pose)
                if command.pose is not None:
                    pose = self.settings.checked_pose(name, command.pose, state.arms[name].tcp_pose)
                    command = dataclasses.replace(command, pose=pose)
                checked[name] = command
            self.station.command(checked)
            for name, command in checked.items():
                if command.pose is not None or command.wrench is not None:
                    self._deadman.commanded(name, command.pose)
            self._commands += 1
            return self._commands

    def renew_wrenches(self, number: int, commands: Mapping[str, ArmCommand]) -> None:
        """Send the wrenches among commands again, if nothing else was asked for since they were sent.

        Where they are no longer safe, or the arm no longer takes them, they are left to lapse.
        """
        wrenches = {
            name: ArmCommand(wrench=command.wrench)
            for name, command in commands.items()
            if command.wrench is not None
        }
        with self._way.lock, contextlib.suppress(Refusal, RobotError):
            if self._commands == number:
                self.command(wrenches)

    def check_instance(self, instance: str | None) -> None:
        """Refuse what was meant for a server before this one; None is for any.

        Raises:
            Refusal: nothing is as the client knows it.
        """
        if instance not in (None, self.instance):
            raise Refusal(
                "restarted",
                "the server was started again since the client saw its state; reset, then go on",
                409,
            )

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        """Move arms to joint positions (7,) [rad]; returns when there.

        Raises:
            Refusal: beyond the joint limits, the TCP would end outside the box or dip below it on
                the way, or an arm is in error or stopped.
            RobotError: one does not get there.
        """
        for name, goal in q.items():
            self.settings.check_joints(name, goal)
            self._check_arm(name)
        with self.occupying("the joints are being reset", q):
            state = self.station.read()
            for name, goal in q.items():
                self.settings.check_joint_motion(name, state.arms[name].q, goal)
            self.station.reset_joints(q)

    def start(self, motions: Mapping[str, str] | None = None) -> None:
        """Start the controllers where the arms are.

        Args:
            motions: by arm, what its controller must take, one of `hilserl_envs.robot.MOTIONS`.
        """
        with self.occupying("the controllers are being started", self.station.arms):
            self._way.stopped = False
            self.station.start(motions)

    def drive_by(self, motions: Mapping[str, str]) -> None:
        """See `hilserl_envs.robot.Robot.drive_by`. Starts nothing that was stopped.

        Raises:
            Refusal: an arm is in error or stopped, or nothing may move.
            RobotError: no controller takes that, or it does not come up.
        """
        other = {name: motion for name, motion in motions.items() if not self._takes(name, motion)}
        for name in motions:
            self._check_arm(name)
        if other:
            with self.occupying("the controllers are being exchanged", other):
                self.station.drive_by(other)

    def recover(self) -> None:
        """Clear errors and hold the measured poses; the controllers run afterwards."""
        with self.occupying("the robot is being recovered", self.station.arms):
            self._way.stopped = False
            self.station.recover()

    def clear_errors(self) -> None:
        """Recover if an arm is in error: public clients ask for this before every pose.

        Controllers that were stopped stay so, as with the public server.
        """
        if self.emergency is not None:
            self._way.check_free()
        in_error = any(name in self.station.parts for name in self.station.errors())
        if in_error and not self._way.stopped:
            self.recover()

    def stop(self) -> None:
        """Stop the controllers; waits for nobody.

        Raises:
            RobotError: one did not stop.
        """
        self._way.stops += 1
        self._way.stopped = True
        self._commands += 1
        self._deadman.forget(self.station.arms)
        self.station.stop()

    def emergency_stop(self, why: str) -> None:
        """Stop, and let nothing move until `clear_emergency_stop`.

        Raises:
            RobotError: a controller did not stop; motion is refused all the same.
        """
        self._way.emergency = why
        log.warning("emergency stop: %r", why)
        self.stop()

    def clear_emergency_stop(self) -> None:
        """Hold the measured poses, controllers running, and let motion through again.

        Raises:
            RobotError: the arms do not recover, or it was pressed again meanwhile; it stays on.
        """
        with (way := self._way).lock:
            if way.emergency is None:
                return
            way.check_unoccupied()
            stops = way.stops
            self.station.recover()
            if way.stops != stops:
                self.station.stop()
                raise RobotError("the emergency stop was pressed again while it was cleared; it stays on")
            way.emergency, way.stopped = None, False
            log.warning("emergency stop cleared")

    def configure(self, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """Change impedance parameters by arm and name; those not named stay as they are.

        Returns:
            by arm and name, what became of those out of range.

        Raises:
            ActionError: an unknown parameter, or no number; nothing was changed.
        """
        with self._way.lock:
            compliance, clamped = {}, {}
            for arm, parameters in changes.items():
                compliance[arm], clamped[arm] = self.settings.changed_compliance(
                    self.compliance[arm], parameters
                )
            self.station.configure(compliance)
            self.compliance |= compliance
        return {arm: names for arm, names in clamped.items() if names}

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Tell an arm what it carries; see `hilserl_envs.robot.Robot.load`.

        Raises:
            Refusal: more than an arm can carry, or nothing may move.
        """
        self.settings.check_load(mass, center)
        with self._way.lock:
            self._way.check_free()
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
        with self._way.occupying(what):
            try:
                yield
            finally:
                self._commands += 1
                self._deadman.forget(arms)

    def close(self) -> None:
        """Stop watching and close the station; safe to call twice."""
        self._deadman.close()
        self.station.close()

    def _check_arm(self, name: str, motions: Iterable[str] = ()) -> None:
        """Refuse if an arm does not move, or its controller takes none of these motions."""
        error = self.station.parts[name].error()
        if error is not None:
            raise Refusal("arm_error", f"arm {name!r} does not move: {error}; start or recover it", 409)
        for motion in motions:
            if not self._takes(name, motion):
                raise Refusal(
                    "other_controller",
                    f"the controller of arm {name!r} takes no {motion} now; POST /drive_by, or "
                    f"{'startimp' if motion == 'pose' else 'startwrench'}, brings up the one that does",
                    409,
                )

    def _takes(self, name: str, motion: str) -> bool:
        return motion in self.station.parts[name].takes

    def _blocked(self, name: str) -> bool:
        return not self._way.free or self.station.parts[name].error() is not None
