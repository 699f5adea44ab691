"""`RightOfWay`: who may move something now; and `GrippersGuard`, the grippers behind it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from robot_servers.limits import Refusal
from robot_servers.parts import Gripper


class RightOfWay:
    """Nobody may move anything during an emergency stop, nor while something slow goes on.

    Args:
        stop: stops the arms.

    Attributes:
        lock: held by who checks and then moves.
        emergency: why the emergency stop is on, None where it is off.
        stops: of any kind, so far.
        stopped: until somebody starts or recovers.
    """

    def __init__(self, stop: Callable[[], None]):
        self.lock = threading.RLock()
        self.emergency: str | None = None
        self.stops, self.stopped = 0, False
        self._stop = stop
        self._occupied: str | None = None  # what keeps commands out

    @property
    def free(self) -> bool:
        return self.emergency is None and self._occupied is None

    def check_free(self) -> None:
        """Raise Refusal if nothing may move; the lock is held."""
        if self.emergency is not None:
            raise Refusal(
                "emergency_stop", f"the emergency stop is on ({self.emergency}); clear it first", 423
            )
        self.check_unoccupied()

    def check_unoccupied(self) -> None:
        """Raise Refusal while something slow goes on; the lock is held."""
        if self._occupied is not None:
            raise Refusal("busy", f"{self._occupied}; try again when that is over", 409)

    @contextlib.contextmanager
    def occupying(self, what: str) -> Iterator[None]:
        """Keep commands out while something slow goes on; a stop is not kept out, and wins.

        Raises:
            Refusal: nothing may move.
        """
        with self.lock:
            self.check_free()
            self._occupied, stops = what, self.stops
        try:
            yield
        finally:
            try:
                if self.stops != stops:
                    self.stopped = True
                    self._stop()
            finally:
                self._occupied = None


class GrippersGuard:
    """Grippers that move when nothing keeps them from it.

    Args:
        grippers: by arm.
        way: theirs and the arms'.
    """

    def __init__(self, grippers: Mapping[str, Gripper], way: RightOfWay):
        self._grippers, self._way = grippers, way

    def of(self, arm: str) -> Gripper:
        """An arm's gripper.

        Raises:
            Refusal: it has none.
        """
        if arm not in self._grippers:
            raise Refusal("no_gripper", f"arm {arm!r} has no gripper configured", 404)
        return self._grippers[arm]

    def move(self, arm: str, opening: float, speed: float = 1.0) -> None:
        """Drive an arm's gripper to an opening, 0 to 1.

        Raises:
            Refusal: the arm has no gripper, or nothing may move.
        """
        gripper = self.of(arm)
        with self._way.lock:
            self._way.check_free()
            gripper.move(opening, speed)

    def activate(self, arm: str) -> None:
        """Make an arm's gripper ready; it may move meanwhile."""
        gripper = self.of(arm)
        with self._way.occupying("the gripper is being activated"):
            gripper.activate()

    def reset(self, arm: str) -> None:
        """Clear the fault of an arm's gripper and make it ready; it may move meanwhile."""
        gripper = self.of(arm)
        with self._way.occupying("the gripper is being reset"):
            gripper.reset()
