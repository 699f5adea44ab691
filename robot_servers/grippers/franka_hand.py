"""`FrankaHand`: the Franka hand at an FR3's or Panda's control box, with no ROS."""

from __future__ import annotations

import threading
import time

from hilserl_envs.errors import ActionError, RobotError, check_array
from robot_servers.grippers.franka_hand_link import FrankaHandLink, HandState, Status

TOP_SPEED = 0.1  # of one finger against the other [m/s]
FORCE = 70.0  # what the hand can squeeze with for as long as one likes [N]
WIDTH = 0.08  # between the open fingers of a hand that has not been homed [m]
HOMED_ABOVE = 0.01  # widths that a hand reports as its widest before it was homed are smaller [m]
PERIOD = 0.01  # of looking after the hand [s]
STALE = 1.0  # a hand that says nothing for this long is gone [s]
HOMING_TIMEOUT = 30.0  # [s]


class FrankaHand:
    """The hand as a `robot_servers.parts.Gripper`. A thread of its own looks after it.

    The hand does one thing at a time, so a command that is not done is stopped when another
    comes. Opening 0 grasps: it squeezes whatever is between the fingers.

    Args:
        host: address of the arm's control box.
        force: with which it squeezes [N].

    Raises:
        RobotError: no hand answers there.
    """

    def __init__(self, host: str, force: float = FORCE):
        self._host, self._force = host, force
        self._lock = threading.Condition()
        self._wish: tuple[float, float] | None = None  # opening, speed
        self._homing = False  # wished, or under way
        self._trouble: str | None = None
        self._state: HandState | None = None
        self._closed = False
        self._connect()

    def opening(self) -> float:
        """See `Gripper.opening`.

        Raises:
            RobotError: the connection is lost, or the hand is silent.
        """
        with self._lock:
            if (trouble := self._lost or self._silence()) is not None:
                raise RobotError(trouble)
            widest = self._state.max_width if self._state.max_width > HOMED_ABOVE else WIDTH
            return min(max(self._state.width / widest, 0.0), 1.0)

    def move(self, opening: float, speed: float = 1.0) -> None:
        opening = float(check_array(opening, (), "an opening", ActionError))
        speed = float(check_array(speed, (), "a gripper's speed", ActionError))
        if not (0 <= opening <= 1 and 0 < speed <= 1):
            raise ActionError(f"an opening is 0 to 1, a speed above 0 to 1; got {opening} and {speed}")
        with self._lock:
            if self._lost is not None:
                raise RobotError(self._lost)
            # The same again, as a policy sends it ten times a second, is no news.
            if self._wish is None or self._wish[0] != opening or self._trouble is not None:
                self._wish, self._trouble = (opening, speed), None

    def activate(self) -> None:
        """Home it: the fingers open and close once, so it lets go of what it holds.

        Raises:
            RobotError: it cannot.
        """
        with self._lock:
            if self._lost is not None:
                raise RobotError(self._lost)
            self._homing, self._wish, self._trouble = True, None, None
            in_time = self._lock.wait_for(lambda: not self._homing or self._lost, HOMING_TIMEOUT)
            if not in_time:
                self._homing = False
                self._trouble = f"the Franka hand at {self._host} was not homed in {HOMING_TIMEOUT:.0f} s"
            if (trouble := self._lost or self._trouble) is not None:
                raise RobotError(trouble)

    def reset(self) -> None:
        """Connect again if need be, then home it, as `activate` does."""
        with self._lock:
            lost = self._lost is not None
        if lost:
            self._thread.join()
            self._connect()
        self.activate()

    def error(self) -> str | None:
        with self._lock:
            if (trouble := self._lost or self._silence() or self._trouble) is not None:
                return trouble
            if self._state.max_width <= HOMED_ABOVE:
                return f"the Franka hand at {self._host} does not know its width: activate it"
            return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._thread.join()

    def _silence(self) -> str | None:
        silence = time.monotonic() - self._heard
        if self._state is None or silence > STALE:
            return f"the Franka hand at {self._host} is silent: see its cable, and reset it"
        return None

    def _connect(self) -> None:
        self._link = FrankaHandLink(self._host)
        self._lost: str | None = None
        self._heard, deadline = time.monotonic(), time.monotonic() + STALE
        self._state = None
        while self._state is None and time.monotonic() < deadline:
            self._listen()
            time.sleep(PERIOD)
        self._thread = threading.Thread(target=self._work, name="franka_hand", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        if (state := self._link.newest()) is not None:
            self._state, self._heard = state, time.monotonic()

    def _work(self) -> None:
        """Until closed or lost: listen, and have the hand do what is wished."""
        doing: tuple | None = None  # the wish, or "homing", that the hand was told
        number = stopping = None  # of the command, and of the stop of it
        try:
            while True:
                with self._lock:
                    if self._closed:
                        return
                    self._listen()
                    ended = self._link.ended()
                    if number in ended:
                        self._note(doing, ended[number])
                        number = None
                    if stopping in ended:
                        stopping = number = doing = None
                    wish = ("homing",) if self._homing else self._wish
                    if wish is None and number is None:
                        doing = None  # so that the same again is something new
                    if wish is not None and wish != doing:
                        if number is None and stopping is None:
                            number, doing = self._tell(wish), wish
                        elif stopping is None:
                            stopping = self._link.stop()
                time.sleep(PERIOD)
        except OSError as error:
            with self._lock:
                self._lost = (
                    f"the connection to the Franka hand at {self._host} is lost ({error.strerror or error}): "
                    "see the robot, then reset it"
                )
                self._homing, self._wish = False, None
                self._lock.notify_all()
        finally:
            self._link.close()

    def _tell(self, wish: tuple) -> int:
        if wish == ("homing",):
            return self._link.home()
        opening, speed = wish
        if opening == 0:
            return self._link.grasp(0.0, speed * TOP_SPEED, self._force)
        widest = self._state.max_width if self._state is not None else WIDTH
        return self._link.move(opening * widest, speed * TOP_SPEED)

    def _note(self, done: tuple | None, status: Status) -> None:
        homing = done == ("homing",)
        # Fingers that something keeps from arriving are as far as things allow: no fault.
        if status is Status.FAIL or (homing and status is not Status.SUCCESS):
            what = "homed" if homing else "moved"
            self._trouble = f"the Franka hand at {self._host} could not be {what} ({status.name}): reset it"
            self._wish = None
        if homing:
            self._homing = False
            self._lock.notify_all()
