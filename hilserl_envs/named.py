"""`load_named`: what a user names as "module:name"."""

from __future__ import annotations

import importlib
import operator
from typing import Any

from hilserl_envs.errors import ConfigError


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
    try:
        return operator.attrgetter(qualname)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"cannot load the {what} {name!r}: {error}. Is its module on Python's path (PYTHONPATH)?"
        ) from error
