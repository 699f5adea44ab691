"""PyTorch, or an error that says how to install it: all of `learning` takes it from here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from hilserl_envs.errors import ConfigError

INSTALL = 'pip install "hilserl_envs[agent]"'

try:
    import torch
except ImportError as error:
    raise ConfigError(f"learning needs PyTorch, got: {error}. Install it: {INSTALL}") from None


def _load_triton() -> None:
    """Load what PyTorch's CUDA builds load at their first optimiser, bound to its own symbols.

    Triton's library and Mesa's software renderer both hold an LLVM. Loaded after a picture was
    drawn, Triton's takes Mesa's for its own, and the process dies.
    """
    if "triton" in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        with contextlib.suppress(ImportError):  # other builds come without it
            import triton._C.libtriton  # noqa: F401
    finally:
        sys.setdlopenflags(flags)


_load_triton()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch works on one thread in here: for single images several wait for each other more than they work.

    Where other processes want the cores too, that made an action up to a hundred times as slow. And
    results don't depend on how many cores there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


__all__ = ["INSTALL", "one_thread", "torch"]
