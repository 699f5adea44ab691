"""Runs with checkpoints of policies that have learned nothing, which are quick to make."""

from __future__ import annotations

from pathlib import Path

from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
from tests.learning_run import settings


def save_run(folder: Path, best: bool = False, **changes) -> RunFolder:
    """A run with a last checkpoint, and maybe a best one that moves another way."""
    run = RunFolder.create(folder, settings(demonstrations=False, **changes), None)
    Learner(run).checkpoint()
    if best:
        tensors, meta = load_tensors(run.checkpoint("last"))
        tensors["policy.gaussian.mean.bias"] += 1.0
        save_tensors(run.checkpoint("best"), tensors, meta)
    return run
