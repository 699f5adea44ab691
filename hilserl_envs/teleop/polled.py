"""`PolledDevice`: a device that a thread of its own reads, and that survives being unplugged."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import abstractmethod
from collections.abc import Sequence

from hilserl_envs.errors import HilserlError
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.teleop.device import Device, TeleopCommand
from hilserl_envs.teleop.hands import Hand, Hands

PERIOD = 0.005  # between two looks at the device [s]: a press of a button lasts far longer
RETRY = 1.0  # between two tries to find a lost device [s]
STALE = 0.5  # what the thread saw longer ago is not what the person does now [s]

# What a person must see goes out as a warning: Python shows those without any set-up.
log = logging.getLogger("hilserl_envs.teleop")


class PolledDevice(Device):
    """Looks at a device from a thread, so that `read` has the newest at once.

    When the device is lost, commands are empty and not `connected` from the next read on;
    it is looked for every second. A warning says that it is gone, and that it is back.

    To derive: implement `_look` and `_shut`, and call `_start` last in the constructor.

    Args:
        layout: of the environment's actions.
    """

    def __init__(self, layout: Sequence[ArmAction]):
        self._hands = Hands(layout)
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._latest: list[Hand] = []  # empty while the device is gone
        self._looked = 0.0

    @abstractmethod
    def _look(self) -> list[Hand]:
        """What each hand does, and what it pressed since the last look; opens what is not open.

        Called from one thread only. Must not block for long.

        Raises:
            HilserlError: the device is not there; says which, or what to do. Another look
                follows a little later.
        """

    @abstractmethod
    def _shut(self) -> None:
        """Release the device, open or not."""

    def _start(self) -> None:
        """Start the thread; returns after the first look.

        Raises:
            HilserlError: what the first look raised.
        """
        first: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        name = type(self).__name__
        self._thread = threading.Thread(target=self._run, args=(first,), name=name, daemon=True)
        self._thread.start()
        error = first.get()
        if error is not None:
            raise error

    def read(self) -> TeleopCommand:
        with self._lock:
            hands, age = self._latest, time.monotonic() - self._looked
            self._latest = [Hand(hand.motion, hand.held) for hand in hands]
        if not hands or age > STALE:
            return TeleopCommand(connected=False)
        return self._hands.command(hands)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self, first: queue.SimpleQueue[Exception | None]) -> None:
        try:
            self._keep(self._look())
        except Exception as error:
            self._shut()
            first.put(error)
            return
        first.put(None)
        while not self._closing.wait(PERIOD if self._latest else RETRY):
            try:
                hands = self._look()
            except HilserlError as error:
                self._lose(error)
            except Exception as error:  # a thread that died would leave the last command standing
                self._lose(error)
                self._shut()
            else:
                if not self._latest:
                    log.warning("%s: back, the arms follow again", type(self).__name__)
                self._keep(hands)
        self._keep([])
        self._shut()

    def _keep(self, hands: list[Hand]) -> None:
        """Hold what the hands do until it is read, presses that nobody has read yet included."""
        with self._lock:
            unread = [hand.pressed for hand in self._latest] or [frozenset()] * len(hands)
            self._latest = [
                Hand(hand.motion, hand.held, hand.pressed | pressed)
                for hand, pressed in zip(hands, unread, strict=False)
            ]
            self._looked = time.monotonic()

    def _lose(self, error: Exception) -> None:
        was_there = bool(self._latest)
        self._keep([])
        if was_there:
            log.warning(
                "%s: %s. The arms get no commands until it is back",
                type(self).__name__,
                error,
                exc_info=None if isinstance(error, HilserlError) else error,
            )
