"""`Deadman`: holds an arm whose commands stopped coming while it moved."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import RobotError
from hilserl_envs.robot import ArmCommand
from robot_servers.limits import distance
from robot_servers.station import Station

log = logging.getLogger("robot_servers")

# An arm this near its target [m, rad] has arrived: there is nothing to hold.
ARRIVED, TURNED = 0.002, 0.02
_SLICE = 0.1  # of robot time [s], so that closing has not to wait for long


@dataclass
class _Motion:
    """What one arm was last told.

    Args:
        target: pose (7,); None where the arm holds one that nobody commanded.
        commanded: robot time of the last motion command; None once there is nothing to watch.
    """

    target: np.ndarray | None = None
    commanded: float | None = None


class Deadman:
    """Watches the robot's time since the last motion command of every arm.

    Args:
        station: whose arms to hold.
        patience: how long no command may come [s of robot time].
        lock: held while an arm is told something, by whoever does.
        blocked: whether an arm does not move anyway; called with the lock.

    Attributes:
        held: whether an arm was held and got no motion command since.
    """

    def __init__(
        self, station: Station, patience: float, lock: threading.RLock, blocked: Callable[[str], bool]
    ):
        self._station, self._patience, self._blocked = station, patience, blocked
        self._motions = {name: _Motion() for name in station.arms}
        self._changed = threading.Condition(lock)
        self._closed = False
        self.held = False
        self._thread = threading.Thread(target=self._watch, name="deadman", daemon=True)
        self._thread.start()

    def targets(self) -> dict[str, list[float] | None]:
        """The pose (7,) that each arm was last sent to, None where it just holds."""
        targets = {name: motion.target for name, motion in self._motions.items()}
        return {name: None if pose is None else pose.tolist() for name, pose in targets.items()}

    def commanded(self, arm: str, pose: np.ndarray | None) -> None:
        """An arm got a motion command, with a pose (7,) or without; the lock is held."""
        motion = self._motions[arm]
        motion.target = motion.target if pose is None else pose
        motion.commanded = self._station.clock.now()
        self.held = False
        self._changed.notify_all()

    def forget(self, arms: Iterable[str]) -> None:
        """These arms hold where they are, whatever they were told."""
        for name in arms:
            self._motions[name] = _Motion()

    def close(self) -> None:
        """Stop watching; safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        clock = self._station.clock
        while (since := self._next()) is not None:
            now, due = clock.now(), since + self._patience
            try:
                if now < due:
                    clock.wait_until(min(due, now + _SLICE))
                else:
                    self._hold(now)
            except RobotError as error:
                log.warning("the deadman could not hold the arms: %s", error)
                self.forget(self._motions)

    def _next(self) -> float | None:
        """When the arm that waits longest for a command got its last; None when closed."""
        with self._changed:
            while not self._closed:
                waiting = [m.commanded for m in self._motions.values() if m.commanded is not None]
                if waiting:
                    return min(waiting)
                self._changed.wait()
            return None

    def _hold(self, now: float) -> None:
        """Hold the arms that got no command for too long and are not where they were sent."""
        with self._changed:
            state = self._station.read()
            for name, motion in self._motions.items():
                if motion.commanded is None or now - motion.commanded < self._patience:
                    continue
                motion.commanded = None
                if motion.target is None or self._blocked(name):
                    continue
                pose = state.arms[name].tcp_pose
                away, turn = distance(pose, motion.target)
                if away > ARRIVED or turn > TURNED:
                    self._station.command({name: ArmCommand(pose=pose)})
                    motion.target, self.held = pose, True
                    log.warning("no command for %g s: arm %r holds", self._patience, name)
