"""`Controls`: what the operator's pages hold, which page drives, and when it lapses."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hilserl_envs.live.messages import Message, Sticks, parse_message

IDLE_TIMEOUT = 1.5  # without a word from an idle page; it speaks five times a second [s]
STILL_FOR = 1.0  # how long a page must have moved nothing before another one may take over [s]
_PAGES = 16  # remembered at once


@dataclass(frozen=True)
class Held:
    """What the operator holds now.

    Args:
        connected: False when no page that could drive is heard; then nothing else is set.
        names: keys and on-screen buttons that are down: "key:w", "role:success".
        pressed: names of what went down since the last read, also "pad:0", "mouse:0".
        resumed: some of that was pressed while nothing came through.
        pads, mice: raw, as of `Message`.
    """

    connected: bool = False
    names: frozenset[str] = frozenset()
    pressed: frozenset[str] = frozenset()
    resumed: bool = False
    pads: tuple[Sticks, ...] = ()
    mice: tuple[Sticks, ...] = ()


@dataclass
class _Page:
    """What is known of one page: its last message, when it came, when it last moved anything."""

    message: Message
    heard: float
    acted: float = -math.inf
    slow: bool = False
    counts: dict[str, int] = field(default_factory=dict)


class Controls:
    """Collects the messages of all pages; one of them drives, by what it sent last.

    The first page on which somebody holds or presses something drives. Another one may
    take over once that page has been still, or silent, for a second.

    What is held lapses `timeout` after the last message, and so does what a slow
    connection delivers: a message counts only if the answer that its page had last seen
    is younger than twice the timeout, so that no motion comes late.

    Args:
        keys: meaning by key name, as in `teleop.keys.BINDINGS`.
        roles: of the on-screen buttons.
        timeout: see above [s].
        dead_zone: sticks closer to their middle than this share of their way are at rest.
        mouse_range: a SpaceMouse axis at full deflection, as reported.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        roles: Sequence[str],
        timeout: float = 0.25,
        dead_zone: float = 0.1,
        mouse_range: float = 350.0,
    ):
        self.keys, self.roles = dict(keys), tuple(roles)
        self.timeout, self.dead_zone, self.mouse_range = timeout, dead_zone, mouse_range
        self._names = frozenset({f"key:{key}" for key in keys} | {f"role:{role}" for role in roles})
        self._lock = threading.Lock()
        self._pages: dict[str, _Page] = {}
        self._driver: str | None = None
        self._pressed: set[str] = set()
        self._resumed = False

    def receive(self, data: Any, now: float) -> dict[str, Any]:
        """Take in a page's message at a time [s]; returns what it shall know of the controls.

        Returns:
            `driver`: "you", "other" or "nobody"; `slow`: whether the message came too late
            to count; `refused`: why the page may not take over, else None.

        Raises:
            ActionError: `data` is no message.
        """
        message = parse_message(data, self._names)
        with self._lock:
            page, refused = self._pages.get(message.page), None
            if page is None:
                page = self._add(message, now)
            elif message.seq > page.message.seq:
                self._update(page, message, now)
                if message.take:
                    refused = self._take(page, now)
                if message.leave:
                    self._leave(message.page)
            driver = {message.page: "you", None: "nobody"}.get(self._driver, "other")
            return {"driver": driver, "slow": page.slow, "refused": refused}

    def release(self) -> None:
        """Nothing is held until the next message."""
        with self._lock:
            if self._driver is not None:
                page = self._pages[self._driver]
                page.message = Message(page.message.page, page.message.seq)

    def read(self, now: float) -> Held:
        """What is held at a time [s]; presses are in one answer only."""
        with self._lock:
            pressed, resumed = frozenset(self._pressed), self._resumed
            self._pressed, self._resumed = set(), False
            if self._driver is None:
                pages = self._pages.values()
                return Held(any(not page.slow and now - page.heard <= IDLE_TIMEOUT for page in pages))
            page = self._pages[self._driver]
            limit = self.timeout if self._holds(page.message) else IDLE_TIMEOUT
            if page.slow or now - page.heard > limit:
                self._pressed |= pressed  # they are the person's word still
                self._resumed = True  # but no motion
                return Held()
            message = page.message
            return Held(True, message.held, pressed, resumed, message.pads, message.mice)

    def _add(self, message: Message, now: float) -> _Page:
        """A page's first message tells what had been pressed before: nothing of it counts."""
        if len(self._pages) >= _PAGES:
            others = [name for name in self._pages if name != self._driver]
            del self._pages[min(others, key=lambda name: self._pages[name].heard)]
        page = _Page(Message(message.page, message.seq), now, counts=dict(message.presses))
        self._pages[message.page] = page
        return page

    def _update(self, page: _Page, message: Message, now: float) -> None:
        gap = 2 * self.timeout
        page.slow = message.seen is None or not now - gap <= message.seen <= now
        if page.slow:  # its presses count once the connection is good again
            page.message = Message(message.page, message.seq)
            return
        resumed = now - page.heard > gap
        pressed = {name for name, count in message.presses.items() if count > page.counts.get(name, 0)}
        page.message, page.heard, page.counts = message, now, dict(message.presses)
        acts = bool(pressed) or self._holds(message)
        if acts:
            page.acted = now
            self._driver = self._driver or message.page
        if pressed and self._driver == message.page:
            self._pressed |= pressed
            self._resumed |= resumed

    def _take(self, page: _Page, now: float) -> str | None:
        """Give control to a page, or say why not."""
        if page.slow:
            return "The connection is too slow to take control: what you do here would come too late."
        driver = self._pages.get(self._driver)
        if driver is not None and driver is not page and now - driver.acted < STILL_FOR:
            return "The page in control is moving the arm. Try again when it has been still for a second."
        self._driver = page.message.page
        return None

    def _leave(self, name: str) -> None:
        # It stays known, so that what it sent before and comes after this is seen to be old.
        self._pages[name].heard = -math.inf
        if self._driver == name:
            self._driver = None

    def _holds(self, message: Message) -> bool:
        """Whether anything is held: a stick out of its middle counts, a trigger too."""

        def out(sticks: Sequence[Sticks], full: float) -> bool:
            return any(
                max(map(abs, one.axes)) > self.dead_zone * full
                or max(one.buttons, default=0) > self.dead_zone
                for one in sticks
            )

        return bool(message.held) or out(message.pads, 1.0) or out(message.mice, self.mouse_range)
