"""Demonstrations that benchmarks of learning begin with."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from hilserl_envs.cli import main


def record_demonstrations(folder: Path) -> Path:
    """Ten of the expert of RamInsertion, from pixels."""
    with contextlib.redirect_stdout(io.StringIO()):
        record = ["record", "RamInsertion", "--device", "expert", "--episodes", "10"]
        assert main([*record, "--out", str(folder)]) == 0
    return folder
