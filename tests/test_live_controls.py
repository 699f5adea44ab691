"""Which page drives, what is held, and when it lapses. Time is a number here."""

import pytest

from hilserl_envs.errors import ActionError
from hilserl_envs.live.controls import IDLE_TIMEOUT, STILL_FOR, Controls, Held
from hilserl_envs.teleop.keys import BINDINGS
from tests.test_live_messages import message

TIMEOUT = 0.25
ONE, TWO = "a" * 16, "b" * 16
STICK = {"axes": [0.0, -1.0, 0.0, 0.0], "buttons": []}


class Pages:
    """Controls, and pages that talk to them: each echoes the newest tick it was told."""

    def __init__(self):
        self.controls = Controls(BINDINGS, ["success", "takeover"], TIMEOUT)
        self.seen: dict[str, float] = {}
        self.seq = 0

    def say(self, now: float, page: str = ONE, **changes) -> dict:
        self.seq += 1
        changes = {"seq": self.seq, "seen": self.seen.get(page)} | changes
        answer = self.controls.receive(message(page=page, **changes), now)
        self.seen[page] = now
        return answer

    def read(self, now: float) -> Held:
        return self.controls.read(now)


@pytest.fixture
def pages():
    return Pages()


def test_nothing_is_connected_before_a_page_is_open(pages):
    assert not pages.read(0.0).connected
    pages.say(0.0)
    assert pages.read(0.1) == Held(connected=True)


def test_what_is_held_is_there_until_it_is_not(pages):
    pages.say(0.0)
    assert pages.say(0.1, held=["key:w"])["driver"] == "you"
    assert pages.read(0.15).names == {"key:w"}
    pages.say(0.2)
    assert not pages.read(0.21).names


@pytest.mark.parametrize("held", [{"held": ["key:w"]}, {"pads": [STICK]}], ids=["key", "stick"])
def test_what_is_held_lapses_when_the_page_falls_silent(pages, held):
    pages.say(0.0)
    pages.say(0.1, **held)
    assert pages.read(0.1 + TIMEOUT).connected
    assert pages.read(0.101 + TIMEOUT) == Held(connected=False)


def test_an_idle_page_may_be_silent_for_longer(pages):
    pages.say(0.0)
    pages.say(0.1, held=["key:w"])
    pages.say(0.2, pads=[{"axes": [0.05, 0, 0, 0], "buttons": [0.05]}])  # nearly at rest is at rest
    assert pages.read(0.2 + IDLE_TIMEOUT).connected
    assert not pages.read(0.21 + IDLE_TIMEOUT).connected


def test_a_tap_between_two_reads_is_in_one_of_them(pages):
    pages.say(0.0)
    pages.say(0.1, presses={"key:w": 1}, held=["key:w"])
    pages.say(0.12, presses={"key:w": 1, "role:success": 2})
    assert pages.read(0.2).pressed == {"key:w", "role:success"}
    pages.say(0.22, presses={"key:w": 1, "role:success": 2})
    assert not pages.read(0.3).pressed


def test_presses_from_before_the_first_message_do_not_count(pages):
    pages.say(0.0, presses={"role:success": 3})
    pages.say(0.1, presses={"role:success": 3})
    assert not pages.read(0.2).pressed
    pages.say(0.2, presses={"role:success": 4})
    assert pages.read(0.3).pressed == {"role:success"}


def test_overtaken_messages_are_ignored(pages):
    pages.say(0.0)
    pages.say(0.1, seq=10)
    pages.say(0.11, seq=9, held=["key:w"])
    pages.say(0.12, seq=10, held=["key:w"])
    assert not pages.read(0.13).names


def test_a_message_that_was_long_on_its_way_moves_nothing(pages):
    pages.say(0.0)
    pages.say(0.1, held=["key:w"])
    answer = pages.say(0.7, seen=0.1, held=["key:w"], presses={"key:w": 1, "role:success": 1})
    assert answer["slow"]
    assert pages.read(0.71) == Held(connected=False)
    # Fresh again: it is held, and the presses come along, marked.
    assert not pages.say(0.75, held=["key:w"], presses={"key:w": 1, "role:success": 1})["slow"]
    held = pages.read(0.76)
    assert held.names == {"key:w"} and held.pressed == {"key:w", "role:success"} and held.resumed


def test_an_echo_from_the_future_counts_as_none(pages):
    pages.say(0.0)
    assert pages.say(0.1, seen=5.0, held=["key:w"])["slow"]
    assert not pages.read(0.11).names


def test_the_first_page_that_acts_drives(pages):
    assert pages.say(0.0, ONE)["driver"] == "nobody"
    assert pages.say(0.0, TWO)["driver"] == "nobody"
    assert pages.say(0.1, TWO, held=["key:a"])["driver"] == "you"
    assert pages.say(0.1, ONE, held=["key:w"], presses={"role:success": 1})["driver"] == "other"
    held = pages.read(0.15)
    assert held.names == {"key:a"} and not held.pressed


def test_another_page_takes_over_only_once_the_driver_is_still(pages):
    for page in (ONE, TWO):
        pages.say(0.0, page)
    pages.say(0.1, ONE, held=["key:w"])
    refused = pages.say(0.2, TWO, take=True)
    assert refused["driver"] == "other" and "still for a second" in refused["refused"]
    pages.say(0.3, ONE)
    assert pages.say(0.1 + STILL_FOR - 0.01, TWO, seen=0.9, take=True)["driver"] == "other"
    assert pages.say(0.1 + STILL_FOR, TWO, take=True) == {"driver": "you", "slow": False, "refused": None}
    pages.say(1.2, ONE, seen=1.1, held=["key:w"])
    assert not pages.read(1.21).names
    pages.say(1.2, TWO, held=["key:a"])
    assert pages.read(1.21).names == {"key:a"}


def test_a_request_for_control_that_comes_late_or_twice_is_none(pages):
    for page in (ONE, TWO):
        pages.say(0.0, page)
    pages.say(0.1, ONE, held=["key:w"])
    pages.say(2.0, ONE)
    late = pages.say(2.0, TWO, seen=0.0, take=True)
    assert late["driver"] == "other" and "too slow" in late["refused"]
    taken = pages.say(2.1, TWO, seq=50, take=True)
    assert taken["driver"] == "you"
    pages.say(3.2, ONE, seen=3.1, take=True, seq=60)
    assert pages.say(4.3, TWO, seq=50, take=True)["driver"] == "other"


def test_a_page_that_died_in_the_middle_of_a_motion_can_be_followed(pages):
    for page in (ONE, TWO):
        pages.say(0.0, page)
    pages.say(0.1, ONE, held=["key:w"])
    for now in (0.3, 0.6, 0.9):
        assert pages.say(now, TWO, take=True)["driver"] == "other"
        assert pages.say(now, TWO, held=["key:a"])["driver"] == "other"
    assert pages.read(1.0) == Held(connected=False)  # nobody else moves the arm by accident
    assert pages.say(1.1, TWO, take=True)["driver"] == "you"


def test_a_closed_page_is_gone_at_once_and_the_next_one_drives(pages):
    for page in (ONE, TWO):
        pages.say(0.0, page)
    pages.say(0.1, ONE, held=["key:w"])
    pages.say(0.15, ONE, leave=True)
    pages.say(0.155, ONE, seq=4, held=["key:w"])  # sent before that, come after it
    assert pages.read(0.16) == Held(connected=True)  # the other page is there
    assert pages.say(0.2, TWO, held=["key:a"])["driver"] == "you"
    pages.say(0.25, TWO, leave=True)
    assert pages.read(0.26) == Held(connected=False)


def test_what_is_no_message_is_refused(pages):
    pages.say(0.0)
    pages.say(0.1, held=["key:w"])
    with pytest.raises(ActionError, match="held must be a list"):
        pages.say(0.15, held=["key:f12"])
    pages.controls.release()
    assert pages.read(0.16) == Held(connected=True)


def test_the_driver_is_not_forgotten_among_many_pages(pages):
    pages.say(0.0)
    pages.say(0.1, held=["key:w"])
    for i in range(100):
        pages.say(0.1, f"{i:016x}")
    assert pages.read(0.2).names == {"key:w"}
