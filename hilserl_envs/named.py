"""`import_module` and `load_named`: what a user names as "module" or "module:name"."""

from __future__ import annotations

import importlib
import operator
from types import ModuleType
from typing import Any

from hilserl_envs.errors import ConfigError


def import_module(name: str, what: str) -> ModuleType:
    """Import a module, which must be on Python's path.

    Args:
        name: as it stands after an `import`.
        what: it is, for the error.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:  # TypeError: a relative name
        raise ConfigError(
            f"cannot load the {what}: {error}. Is its module on Python's path (PYTHONPATH)?"
        ) from error


def load_named(name: str, what: str) -> Any:
    """Import what "module:name" names; the module must be on Python's path.

    Args:
        name: as it stands after an `import`, a colon before the last part.
        what: it is, for the error.

    Raises:
        ConfigError: it cannot be imported, or the module lacks it.
    """
    module, colon, qualname = name.partition(":")
    if not colon:
        raise ConfigError(f"a {what} is named as module:name, got {name!r}")
    found = import_module(module, f"{what} {name!r}")
    try:
        return operator.attrgetter(qualname)(found)
    except AttributeError as error:
        raise ConfigError(f"cannot load the {what} {name!r}: {error}") from error
