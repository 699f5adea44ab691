"""How this package compiles functions: with numba, cached on disk."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# No fastmath: sums in any order and fused multiply-adds follow what happens to be inlined, so that
# a process that compiles and one that reads the cache would differ in the last bits, and contact
# makes those large. It was not measurably faster either.
_OPTIONS = {"error_model": "numpy"}

# Files of the functions so far: whatever a function calls was compiled, that is imported, before it.
_SOURCES = {__file__}


def compiled(function: Callable | None = None, **options: Any) -> Callable:
    """Decorator: compile at the first call, keep the machine code for later runs.

    Args:
        options: more of `numba.njit`'s, such as nogil=True for what runs long. Functions of
            a microsecond keep the GIL: between threads, handing it over costs more.
    """
    if function is None:
        return lambda decorated: compiled(decorated, **options)
    try:
        dispatcher = numba.njit(cache=True, **_OPTIONS, **options)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return numba.njit(**_OPTIONS, **options)(function)
    _SOURCES.add(function.__code__.co_filename)
    forget_stale_cache(dispatcher)
    return dispatcher


def forget_stale_cache(dispatcher: Any) -> None:
    """Drop a cache from before an upgrade: numba compares no more than the function's own file.

    It would go on with the code of functions called that have changed since, or of other options,
    and fail on an index that names classes which are gone. The index's path and reader have
    no public name.
    """
    index = dispatcher._cache._cache_file
    path = Path(index._index_path)
    try:
        if path.stat().st_mtime < max(Path(source).stat().st_mtime for source in _SOURCES):
            path.unlink()
        index._load_index()
    except FileNotFoundError:
        pass
    except (AttributeError, ImportError, EOFError, pickle.UnpicklingError):
        path.unlink(missing_ok=True)
