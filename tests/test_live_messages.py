"""Messages of a page: what is none is refused, with a plain word about why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.errors import ActionError
from hilserl_envs.live.messages import Message, Sticks, parse_message

NAMES = frozenset({"key:w", "key:a", "role:success"})
PAGE = "0123456789abcdef"


def message(**changes) -> dict:
    """A message as a page sends it."""
    plain = {"page": PAGE, "seq": 1, "seen": None, "held": [], "presses": {}, "pads": [], "mice": []}
    return plain | {"take": False, "leave": False} | changes


def test_a_message_is_read():
    sticks = {"axes": [0, 0.5, -1, 1], "buttons": [0, 1]}
    mouse = {"axes": [-350, 0, 350, 1, 2, 3], "buttons": []}
    parsed = parse_message(
        message(held=["key:w"], presses={"key:w": 2, "pad:0": 1}, pads=[sticks], mice=[mouse], seen=1.5),
        NAMES,
    )
    assert parsed == Message(
        PAGE, 1, 1.5, frozenset({"key:w"}), {"key:w": 2, "pad:0": 1},
        (Sticks((0.0, 0.5, -1.0, 1.0), (0.0, 1.0)),),
        (Sticks((-350.0, 0.0, 350.0, 1.0, 2.0, 3.0), ()),),
    )  # fmt: skip


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"page": "me"}, "page must be"),
        ({"page": 7}, "page must be"),
        ({"page": "0" * 65}, "page must be"),
        ({"seq": -1}, "seq must be a whole number"),
        ({"seq": 1.5}, "seq must be a whole number"),
        ({"seq": True}, "seq must be a whole number"),
        ({"seq": 10**400}, "seq must be a whole number"),
        ({"seen": "now"}, "seen must be numbers"),
        ({"seen": float("nan")}, "seen must be numbers"),
        ({"held": "key:w"}, "held must be a list"),
        ({"held": ["key:z"]}, "held must be a list"),
        ({"held": [["key:w"]]}, "held must be a list"),
        ({"held": [None]}, "held must be a list"),
        ({"presses": []}, "presses must be counts"),
        ({"presses": {"key:z": 1}}, "presses must be counts"),
        ({"presses": {"pad:99": 1}}, "presses must be counts"),
        ({"presses": {"key:w": -1}}, "presses must be a whole number"),
        ({"pads": {}}, "pads must be a list"),
        ({"pads": [None]}, "pads must hold objects"),
        ({"pads": [{"axes": [0, 0, 0, 0], "buttons": []}] * 5}, "pads must be a list of at most 4"),
        ({"pads": [{"axes": [0, 0], "buttons": []}]}, "pads must have 4 to 16 axes"),
        ({"pads": [{"axes": [0, 0, 0, 1.5], "buttons": []}]}, "axes of pads must be numbers from -1 to 1"),
        ({"pads": [{"axes": [0, 0, 0, "1"], "buttons": []}]}, "axes of pads must be numbers"),
        ({"pads": [{"axes": [0, 0, 0, True], "buttons": []}]}, "axes of pads must be numbers"),
        ({"pads": [{"axes": [0, 0, 0, 10**400], "buttons": []}]}, "axes of pads must be numbers"),
        ({"pads": [{"axes": [0, 0, 0, float("inf")], "buttons": []}]}, "axes of pads must be numbers"),
        ({"pads": [{"axes": [0, 0, 0, 0], "buttons": [0] * 33}]}, "at most 32 buttons"),
        ({"pads": [{"axes": [0, 0, 0, 0], "buttons": [-1]}]}, "buttons of pads must be numbers from 0"),
        ({"mice": [{"axes": [0] * 5, "buttons": []}]}, "mice must have 6 to 6 axes"),
        ({"mice": [{"axes": [0] * 5 + [40000], "buttons": []}]}, "axes of mice must be numbers"),
        ({"take": 1}, "take must be true or false"),
        ({"leave": None}, "leave must be true or false"),
        ({"more": 1}, "a message is an object with"),
    ],
)
def test_what_is_no_message_is_refused(change, reason):
    with pytest.raises(ActionError, match=reason):
        parse_message(message(**change), NAMES)


def test_every_field_must_be_there():
    for name in message():
        with pytest.raises(ActionError, match="a message is an object with"):
            parse_message({key: value for key, value in message().items() if key != name}, NAMES)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(sorted(NAMES)),
    lambda inner: (
        st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["axes", "buttons", "a"]), inner)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(sorted(message())), json_values))
def test_anything_else_never_gets_through_unchecked(changes):
    try:
        parsed = parse_message(message(**changes), NAMES)
    except ActionError:
        return
    numbers = [n for stick in parsed.pads for n in stick.axes + stick.buttons]
    numbers += [n / 32768 for stick in parsed.mice for n in stick.axes]
    assert all(-1 <= n <= 1 for n in numbers)
    assert parsed.held <= NAMES
    assert parsed.seq >= 0 and all(count >= 0 for count in parsed.presses.values())
