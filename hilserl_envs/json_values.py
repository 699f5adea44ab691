"""Strict JSON: what strangers send, parsed and checked value by value.

Numbers are checked one by one: a string, a bool or NaN is no number here, whatever numpy would
make of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from hilserl_envs.errors import ActionError

LARGEST = 1e9  # that any number of an array may be: squares of such can still be added up


def parse_json(body: bytes) -> Any:
    """What a body of strict JSON says.

    Raises:
        ActionError: it is no JSON, or holds NaN or infinity.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError too
        raise ActionError(f"the body is not JSON: {error}") from None


def check_number(value: Any, low: float, high: float, what: str) -> float:
    """A number in [low, high] out of parsed JSON.

    Raises:
        ActionError: it is anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise ActionError(f"{what} must be a number from {low:g} to {high:g}, got {short(value)}")


def check_numbers(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Nested lists of finite numbers below `LARGEST` out of parsed JSON, as an array of `shape`.

    Raises:
        ActionError: it is anything else.
    """
    if isinstance(value, list) and len(value) == shape[0]:
        if len(shape) > 1:
            return np.array([check_numbers(row, shape[1:], what) for row in value])
        if all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < LARGEST for x in value):
            return np.array(value, dtype=np.float64)
    size = " x ".join(map(str, shape))
    raise ActionError(f"{what} must be a list of {size} finite numbers below {LARGEST:g}, got {short(value)}")


def check_object(value: Any, allowed: Collection[str], what: str) -> dict[str, Any]:
    """A JSON object with no other keys than those `allowed`.

    Raises:
        ActionError: it is none, or has.
    """
    if not isinstance(value, dict):
        raise ActionError(f"{what} must be an object with {sorted(allowed)}, got {short(value)}")
    for key in value:
        if key not in allowed:
            raise ActionError(f"{what} has no {short(key)}; known: {', '.join(sorted(allowed))}")
    return value


def short(value: Any) -> str:
    """A value for a message: nobody wants a megabyte of it back."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a number too large for JSON"
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."
