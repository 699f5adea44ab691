"""Every error this package raises on purpose, and the checks that raise them.

Each message says what was got, what was expected and what to do. All classes derive
from `HilserlError`; those about a wrong value are `ValueError` too, those about a
robot, a device, a recording, learning or a machine `RuntimeError`, so that generic handlers keep working.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable
from typing import Any

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


class DivergedError(RobotError):
    """The simulation diverged; only a reset that teleports brings it back."""


class DeviceError(HilserlError, RuntimeError):
    """A teleoperation device that was there is gone."""


class CameraError(RobotError):
    """A camera has no picture to give, or none that is fresh."""


class RecordingError(HilserlError, RuntimeError):
    """A recording on disk is damaged or foreign, or cannot be written."""


class LearningError(HilserlError, RuntimeError):
    """Learning cannot go on, or a run on disk is damaged or another's."""


class RenderingError(HilserlError, RuntimeError):
    """No way to draw images or open a window on this machine."""


def check_name(name: str, allowed: Iterable[str], what: str) -> str:
    """Return `name` if it is one of `allowed`, else raise ConfigError naming the nearest."""
    allowed = list(allowed)
    if name in allowed:
        return name
    lower = {str(known).lower(): known for known in reversed(allowed)}
    near = [lower[close] for close in difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=0.5)]
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


def ranged(default: Any, low: float, high: float) -> Any:
    """A dataclass field whose number, or numbers, lie in [low, high]; see `check_fields`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def check_fields(value: Any) -> None:
    """Check the numeric fields of a dataclass against their defaults and ranges.

    Raises:
        ConfigError: a field whose default is a number, or a tuple of numbers, holds
            something of another kind or size, NaN, infinity, or a value out of its range.
    """
    for field in dataclasses.fields(value):
        default = field.default
        plain = np.asarray(default)
        # An empty tuple is of no kind.
        if isinstance(default, bool) or plain.size == 0 or not np.issubdtype(plain.dtype, np.number):
            continue
        name, given = f"{type(value).__name__}.{field.name}", getattr(value, field.name)
        is_number = isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
        if np.ndim(default) == 0 and not is_number:
            raise ConfigError(f"{name} must be a number, got {given!r}")
        numbers = np.asarray(given) if is_number else check_array(given, np.shape(default), name)
        low, high = field.metadata.get("low", -np.inf), field.metadata.get("high", np.inf)
        if not ((numbers >= low) & (numbers <= high)).all() or np.isinf(numbers).any():  # NaN is outside
            raise ConfigError(f"{name} = {given} is outside [{low:g}, {high:g}]")


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
