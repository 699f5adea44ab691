"""Every error this package raises on purpose, and the checks that raise them.

Each message says what was got, what was expected and what to do. All classes derive
from `HilserlError`; those about a wrong value are `ValueError` too, those about a
robot or a machine `RuntimeError`, so that generic handlers keep working.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


class HilserlError(Exception):
    """Base class of all errors of this package."""


class ConfigError(HilserlError, ValueError):
    """A setting, name or constructor argument is wrong."""


class ActionError(HilserlError, ValueError):
    """An action cannot be executed; the arm holds its last command."""


class RobotError(HilserlError, RuntimeError):
    """The robot (or its twin) cannot do what was asked."""


class RenderingError(HilserlError, RuntimeError):
    """No way to draw images or open a window on this machine."""


def check_name(name: str, allowed: Iterable[str], what: str) -> str:
    """Return `name` if it is one of `allowed`, else raise ConfigError naming the nearest."""
    allowed = list(allowed)
    if name in allowed:
        return name
    near = difflib.get_close_matches(str(name), allowed, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ConfigError(f"unknown {what} {name!r}: {hint}known: {', '.join(map(str, allowed))}")


def check_array(
    value: npt.ArrayLike, shape: tuple[int, ...], what: str, error: type[HilserlError] = ConfigError
) -> np.ndarray:
    """Return `value` as a fresh float64 array of `shape`, else raise `error`.

    Raises:
        error: not numeric, of another shape, or holding NaN or infinity.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise error(f"{what} must be numbers of shape {shape}, got {value!r}") from None
    if array.shape != shape:
        raise error(f"{what} must have shape {shape}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise error(f"{what} must be finite, got {array.tolist()}")
    return array


def checked_names(cls: type) -> type:
    """Class decorator for dataclasses: an unknown keyword names the nearest fields."""
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    init = cls.__init__

    @functools.wraps(init)
    def __init__(self, *args, **values):
        for name in values:
            check_name(name, fields, f"{cls.__name__} setting")
        init(self, *args, **values)

    cls.__init__ = __init__
    return cls
