"""`Robotiq`: a Robotiq 2F-85 over Modbus."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from hilserl_envs.errors import ConfigError, RobotError, check_array, check_fields, checked_names, ranged
from robot_servers.grippers import robotiq_registers as registers
from robot_servers.grippers.robotiq_bus import RobotiqBus, parse_address
from robot_servers.grippers.robotiq_registers import FULL, RobotiqStatus

PERIOD = 0.02  # between two looks at the gripper [s]; without any for 1 s it reports a fault
RETRY = 0.5  # between two tries to connect [s]
STALE = 2.0  # without an answer before it is said, whatever the reason [s]
LAPSE = 1.0  # a command that the gripper could not be given for so long [s] is given up
ACTIVATION = 10.0  # takes 2 to 4 s

# What a person must see goes out as a warning: Python shows those without any set-up.
log = logging.getLogger("robot_servers.grippers")


@checked_names
@dataclass(frozen=True)
class RobotiqSettings:
    """Which gripper, and how it grips.

    Args:
        address: see `robotiq_bus.parse_address`.
        force: share of its highest; 0 is about 20 N and 1 about 235 N. The default is the
            public code's 30 of 255.
        open_position: where opening 1 is, 0 (all the way) to 255; the stroke from there is 0 to 1.
        closed_position: where the empty fingers meet: opening 0. Closing squeezes beyond it.
        unit: Modbus unit; None takes the one that Robotiq delivers.
        activate: whether to activate it at once if it is not. Its fingers open and close.

    Raises:
        ConfigError: a value of a wrong kind or range.
    """

    address: str
    force: float = ranged(30 / 255, 0.0, 1.0)
    open_position: int = ranged(0, 0, 255)
    closed_position: int = ranged(registers.CLOSED_END, 0, 255)
    unit: int | None = None
    activate: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        parse_address(self.address)
        if not self.closed_position - self.open_position >= 20:
            raise ConfigError(
                f"a Robotiq's positions grow as it closes, so closed_position ({self.closed_position}) is at "
                f"least 20 above open_position ({self.open_position})"
            )
        if self.unit is not None and (type(self.unit) is not int or not 0 <= self.unit <= 247):
            raise ConfigError(f"unit is 0 to 247, got {self.unit!r}")
        if not isinstance(self.activate, bool):
            raise ConfigError(f"activate is true or false, got {self.activate!r}")


class Robotiq:
    """A `Gripper`. A thread of its own talks to it: `move`, `opening` and `error` never wait.

    A lost connection is reported by `error` and made again in the background. A command that
    cannot be given to the gripper for `LAPSE` is given up, so that fingers never move long
    after somebody wanted it. Activation moves the fingers, so after the start it happens only
    when asked for.

    Args:
        settings: see `RobotiqSettings`.

    Raises:
        ConfigError: a package is missing.
        RobotError: it does not answer, or cannot be activated.
    """

    counts_to_closed = True  # its positions are 0 where it is open

    def __init__(self, settings: RobotiqSettings):
        self._settings = settings
        self._bus = RobotiqBus(settings.address, settings.unit)
        self._changing = threading.Lock()  # held while it is activated or reset
        self._lock = threading.Lock()  # of what follows
        self._wanted: tuple[list[int], float] | None = None  # registers, and when
        self._problem: str | None = None
        self._heard = time.monotonic()
        self._closing, self._wake = threading.Event(), threading.Event()
        self._status = self._bus.talk()
        self._thread = threading.Thread(target=self._run, name=str(self), daemon=True)
        self._thread.start()
        if settings.activate and not self._status.active and self._status.fault < registers.NEEDS_RESET:
            try:
                self.activate()
            except RobotError:
                self.close()
                raise

    def __str__(self) -> str:
        return str(self._bus)

    @property
    def status(self) -> RobotiqStatus:
        """What the gripper said last."""
        return self._status

    def opening(self) -> float:
        open_end = max(self._settings.open_position, registers.OPEN_END)
        closed_end = self._settings.closed_position
        return min(1.0, max(0.0, (closed_end - self._status.position) / (closed_end - open_end)))

    def move(self, opening: float, speed: float = 1.0) -> None:
        opening, speed = (float(check_array(value, (), "a gripper command")) for value in (opening, speed))
        if not (0 <= opening <= 1 and 0 < speed <= 1):
            raise ConfigError(f"an opening is 0 to 1 and a speed above 0 to 1, got {opening} and {speed}")
        first, last = self._settings.open_position, self._settings.closed_position
        position = FULL if opening == 0 else round(last + (first - last) * opening)
        command = registers.encode_go_to(
            position, registers.speed_to_register(speed), round(self._settings.force * FULL)
        )
        with self._lock:
            self._wanted = command, time.monotonic()
        self._wake.set()

    def activate(self) -> None:
        with self._changing:
            self._activate()

    def reset(self) -> None:
        with self._changing:
            self._change(registers.encode_reset(), lambda status: status.reset and not status.fault, "reset")
            self._activate()

    def error(self) -> str | None:
        with self._lock:
            status, problem, silence = self._status, self._problem, time.monotonic() - self._heard
        if self._closing.is_set():
            return f"{self} is closed"
        if problem is not None:
            return problem
        if silence > STALE:
            return f"{self} has not answered for {silence:.0f} s"
        if status.activating:
            return f"{self} is being activated"
        if status.fault and status.fault not in registers.NOT_ACTIVE:
            remedy = "; reset it" if status.fault >= registers.NEEDS_RESET else ""
            return f"{self}: {registers.FAULTS.get(status.fault, f'fault {status.fault}')}{remedy}"
        if not status.active:
            return f"{self} is not activated, which opens and closes its fingers: activate it"
        return None

    def close(self) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
            except Exception as error:  # a thread that died would leave an opening standing
                self._lose(error)
            self._wake.wait(PERIOD if self._problem is None else RETRY)
            self._wake.clear()
        self._bus.close()

    def _look(self) -> None:
        """Give the gripper what is wanted of it, if it can take it, and ask how it is."""
        with self._lock:
            if self._wanted is not None and time.monotonic() - self._wanted[1] > LAPSE:
                log.warning("%s: a command is given up, it could not be carried out in time", self)
                self._wanted = None
            wanted = self._wanted
        ready = self._status.active and self._problem is None
        if wanted is None or not ready or not self._changing.acquire(blocking=False):
            self._keep(self._bus.talk())
            return
        try:
            self._keep(self._bus.talk(wanted[0]))
        finally:
            self._changing.release()
        with self._lock:
            if self._wanted is wanted:
                self._wanted = None

    def _activate(self) -> None:
        if not self._bus.talk().active:
            log.warning("%s is being activated: its fingers open and close", self)
            self._change(registers.encode_activate(), lambda status: status.active, "activated")

    def _change(self, command: list[int], done: Callable[[RobotiqStatus], bool], what: str) -> None:
        """Send a command and wait until it has its effect. What was wanted before is forgotten."""
        status, end = self._bus.talk(command), time.monotonic() + ACTIVATION
        while not done(status):
            fault = registers.FAULTS.get(status.fault, "")
            if time.monotonic() > end:
                raise RobotError(f"{self} was not {what} within {ACTIVATION:g} s{fault and f': {fault}'}")
            if status.fault >= registers.NEEDS_RESET and what == "activated":
                raise RobotError(f"{self} was not {what}: {fault}; reset it")
            time.sleep(PERIOD)
            status = self._bus.talk()
        with self._lock:
            self._wanted = None
        self._keep(status)

    def _keep(self, status: RobotiqStatus) -> None:
        with self._lock:
            self._status, self._heard = status, time.monotonic()
            lost, self._problem = self._problem, None
        if lost is not None:
            log.warning("%s is back", self)

    def _lose(self, error: Exception) -> None:
        foreseen = isinstance(error, RobotError)
        problem = str(error) if foreseen else f"{self} fails: {type(error).__name__}: {error}"
        with self._lock:
            known, self._problem = self._problem, problem
        if known is None and not self._closing.is_set():
            log.warning("%s (tried again every %g s)", problem, RETRY, exc_info=None if foreseen else error)
