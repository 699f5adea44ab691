"""One base class, and messages that say what was got, what was expected and what is near."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hilserl_envs.errors import (
    ActionError,
    ConfigError,
    HilserlError,
    RenderingError,
    RobotError,
    check_array,
    check_name,
    checked_names,
)


@pytest.mark.parametrize(
    ("error", "generic"),
    [
        (ConfigError, ValueError),
        (ActionError, ValueError),
        (RobotError, RuntimeError),
        (RenderingError, RuntimeError),
    ],
)
def test_generic_handlers_catch_our_errors(error, generic):
    assert issubclass(error, HilserlError) and issubclass(error, generic)


def test_a_known_name_is_returned():
    assert check_name("left", iter(("left", "right")), "arm") == "left"


def test_capitals_are_no_matter_to_what_is_near():
    with pytest.raises(ConfigError, match="unknown task 'pickcube': did you mean 'hilserl/PickCube-v0'"):
        check_name("pickcube", ["hilserl/RamInsertion-v0", "hilserl/PickCube-v0"], "task")


def test_an_unknown_name_lists_the_nearest_and_all():
    with pytest.raises(ConfigError, match="unknown arm 'lefft': did you mean 'left'.*known: left, right"):
        check_name("lefft", ("left", "right"), "arm")


@pytest.mark.parametrize("name", [None, 3, ("left",), "zzz"])
def test_a_name_like_no_other_still_lists_all(name):
    with pytest.raises(ConfigError, match="known: left, right$"):
        check_name(name, ("left", "right"), "arm")


@given(hnp.arrays(np.float64, 3, elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_a_checked_array_is_a_copy(value):
    checked = check_array(value, (3,), "a point")
    np.testing.assert_array_equal(checked, value)
    assert checked.dtype == np.float64 and not np.shares_memory(checked, value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], r"a point must have shape \(3,\), got shape \(2,\)"),
        (5.0, r"got shape \(\)"),
        (None, r"got shape \(\)"),
        ([[1, 2, 3]], r"got shape \(1, 3\)"),
        ("abc", "must be numbers.*got 'abc'"),
        ([1, "x", 3], "must be numbers"),
        ([1, [2], 3], "must be numbers"),
        ([1, np.nan, 3], "must be finite, got .*nan"),
        ([1, 2, -np.inf], "must be finite, got .*-inf"),
    ],
)
def test_a_wrong_array_is_refused_in_the_given_class(value, says):
    with pytest.raises(ActionError, match=says):
        check_array(value, (3,), "a point", ActionError)


def test_settings_refuse_unknown_keywords_and_keep_all_else():
    @checked_names
    @dataclass(frozen=True)
    class Speed:
        linear: float = 1.0
        angular: float = 2.0

    with pytest.raises(ConfigError, match="unknown Speed setting 'liner': did you mean 'linear'"):
        Speed(liner=3.0)
    assert Speed(3.0, angular=4.0) == replace(Speed(), linear=3.0, angular=4.0)
