"""Files of weights, replaced so that at any instant the old or the new one is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.extra import torch
from hilserl_envs.recording.files import sync_folder


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What keeps a file from being written, in words."""
    try:
        yield
    except OSError as error:
        # A copy of many files fails with a list of (from, to, why).
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise LearningError(
            f"cannot write {path}: {reason}; what was there before stays. Make room there and go on"
        ) from error


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace a file so that at any instant the old or the new one is whole.

    One process writes a file; what it leaves behind when it is killed is written over the next
    time.

    Args:
        path: of the file.
        content: of it.
        durable: wait until it is on the disk.

    Raises:
        LearningError: no room, or not allowed; the old file is as it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any], durable: bool = True
) -> None:
    """Tensors and plain values as a safetensors file, replaced atomically.

    Raises:
        LearningError: see `write_atomically`.
    """
    from safetensors.torch import save

    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"json": json.dumps(dict(meta))},
    )
    write_atomically(path, content, durable)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Raises:
        ConfigError: there is no such file.
        LearningError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})["json"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there (yet)") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise LearningError(
            f"{path} is damaged: {error}; put a copy in its place (of another checkpoint, if need be), or "
            "delete it: the run then goes on with what it recorded"
        ) from error
