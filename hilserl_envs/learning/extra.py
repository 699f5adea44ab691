"""PyTorch, or an error that says how to install it: all of `learning` takes it from here."""

from __future__ import annotations

from hilserl_envs.errors import ConfigError

INSTALL = 'pip install "hilserl_envs[agent]"'

try:
    import torch
except ImportError as error:
    raise ConfigError(f"learning needs PyTorch, got: {error}. Install it: {INSTALL}") from None

__all__ = ["INSTALL", "torch"]
