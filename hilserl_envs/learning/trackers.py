"""Experiment trackers: a run's progress as curves in TensorBoard or Weights & Biases."""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping

from hilserl_envs.errors import ConfigError, LearningError, check_name
from hilserl_envs.learning.extra import INSTALL
from hilserl_envs.learning.monitor import Progress
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import write_atomically

TRACKERS = ("tensorboard", "wandb", "none")


class Tracker(ABC):
    """Takes a run's progress in, over the environment's steps. Close it at the end."""

    def __init__(self) -> None:
        self._newest: Progress | None = None

    def write(self, progress: Progress) -> None:
        """Take in what is new since the last call; give it every look."""
        if scalars := progress.scalars(since=self._newest):
            self.log(scalars, progress.steps)
        self._newest = progress

    @abstractmethod
    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each tag."""

    @abstractmethod
    def close(self) -> None:
        """Let go; safe to call twice."""


def make_tracker(name: str, run: RunFolder) -> Tracker:
    """A tracker by its name, "tensorboard", "wandb" or "none", for a new run or one that is resumed.

    Raises:
        ConfigError: an unknown name, or a package is missing.
        LearningError: wandb does not start.
    """
    check_name(name, TRACKERS, "tracker")
    if name == "none":
        return NoTracker()
    return TensorBoardTracker(run) if name == "tensorboard" else WandbTracker(run)


class NoTracker(Tracker):
    """Keeps nothing."""

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class TensorBoardTracker(Tracker):
    """Event files in `tensorboard/` of the run's folder.

    Where a run goes on from an earlier step, TensorBoard hides what came after that step.

    Args:
        run: its folder.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, run: RunFolder):
        super().__init__()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"the tracker 'tensorboard' needs TensorBoard, got: {error}. Install it: {INSTALL}; or take "
                "the tracker 'none'"
            ) from None
        self._open, self._folder = SummaryWriter, run.path / "tensorboard"
        self._writer: SummaryWriter | None = None
        self._step = -1

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        if step < self._step:
            self.close()
        if self._writer is None:
            self._writer = self._open(str(self._folder), purge_step=step)
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()  # so that a kill loses nothing
        self._step = step

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbTracker(Tracker):
    """A Weights & Biases run, the same one again when the run is resumed.

    Offline, in `wandb/` of the run's folder, unless this machine is logged in or the environment
    variable WANDB_MODE says otherwise. Where a run goes on from an earlier step, wandb takes no
    points until it is past the newest: those that were there stay.

    Args:
        run: its folder.

    Raises:
        ConfigError: wandb is not installed.
        LearningError: it does not start.
    """

    def __init__(self, run: RunFolder):
        super().__init__()
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                f"the tracker 'wandb' needs Weights & Biases, got: {error}. Install it: "
                "pip install \"hilserl_envs[wandb]\"; or take the tracker 'tensorboard'"
            ) from None
        name = run.path / "wandb" / "run_id"
        if not name.exists():
            write_atomically(name, uuid.uuid4().hex[:12].encode())
        mode = os.environ.get("WANDB_MODE")
        if mode is None:
            mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
        try:
            self._run = wandb.init(
                project="hilserl",
                name=run.path.resolve().name,
                id=name.read_text(),
                resume="allow" if mode == "online" else None,
                mode=mode,
                dir=str(run.path),
                config=run.settings.to_json(),
                settings=wandb.Settings(console="off"),  # the terminal holds a progress bar
            )
        except wandb.errors.Error as error:
            raise LearningError(
                f"wandb does not start: {error}; set WANDB_MODE=offline, or take the tracker 'tensorboard'"
            ) from error

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        self._run.finish()
