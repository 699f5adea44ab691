"""Tests of the checks of what strangers send."""

import numpy as np
import pytest

from hilserl_envs.errors import ActionError
from hilserl_envs.json_values import LARGEST, check_number, check_numbers, check_object, parse_json


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a": NaN}', b"[Infinity]", b"[-Infinity]", b"[" * 100_000]
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(ActionError, match="not JSON"):
        parse_json(body)


@pytest.mark.parametrize("value", ["0.5", True, None, [0.5], -0.1, 1.1, float("nan"), 10**400])
def test_what_is_no_number_of_the_range_is_refused(value):
    with pytest.raises(ActionError, match="share must be a number from 0 to 1"):
        check_number(value, 0, 1, "share")
    assert check_number(1, 0, 1, "share") == 1.0


@pytest.mark.parametrize(
    "value", [None, [1, 2], [1, 2, 3, 4], [1, 2, "3"], [1, True, 3], [1, 2, LARGEST], {}]
)
def test_what_are_no_three_numbers_is_refused(value):
    with pytest.raises(ActionError, match="list of 3 finite numbers"):
        check_numbers(value, (3,), "center")
    np.testing.assert_array_equal(check_numbers([[1, 2], [3, 4]], (2, 2), "x"), [[1, 2], [3, 4]])


def test_a_number_too_large_for_a_float_is_no_finite_one():
    data = parse_json(b"[1e999, 0, 0]")
    with pytest.raises(ActionError, match="3 finite numbers"):
        check_numbers(data, (3,), "center")


def test_only_known_keys_pass():
    assert check_object({"a": 1}, ["a", "b"], "a body") == {"a": 1}
    with pytest.raises(ActionError, match="a body has no 'c'; known: a, b"):
        check_object({"c": 1}, ["a", "b"], "a body")


def test_messages_are_short_whatever_came():
    with pytest.raises(ActionError) as caught:
        check_numbers(["x" * 10_000], (3,), "center")
    assert len(str(caught.value)) < 200
