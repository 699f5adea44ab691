"""What a test needs besides this package: skipped where it is missing, but never in CI."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
from pathlib import Path

import pytest


def program(name: str, package: str) -> None:
    """Go on only where a program is installed; `package` is Debian's."""
    if shutil.which(name) is None:
        _without(f"{name}: apt-get install {package}")


def shared_library(name: str, package: str) -> None:
    """Go on only where a shared library, such as "usb-1.0", is installed."""
    if ctypes.util.find_library(name) is None:
        _without(f"the library {name}: apt-get install {package}")


def path(place: Path, package: str) -> None:
    """Go on only where a file or folder of Debian's package is."""
    if not place.exists():
        _without(f"{place}: apt-get install {package}")


def module(name: str, extra: str = "teleop") -> None:
    """Go on only where a module of an extra of this package is installed."""
    if importlib.util.find_spec(name) is None:
        _without(f'the module {name}: pip install "hilserl_envs[{extra}]"')


def _without(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")
