"""`hilserl classifier`: a reward classifier from labelled frames."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command


@dataclass(frozen=True, kw_only=True)
class Classifier(Command):
    """Train a classifier that sees success, and report how far it can be trusted.

    The report goes beside the file, under its name. ClassifierReward and make_env(reward=...)
    take the file by name.
    """

    task: tyro.conf.Positional[str]
    """A task, such as RamInsertion (see `hilserl tasks`), or of your own, MODULE:NAME."""
    out: Path
    """The file to write, ....safetensors."""
    labels: tyro.conf.UseAppendAction[tuple[tuple[Path, ...], ...]] = ()
    """Stores of labelled frames (see `hilserl label`)."""
    from_demos: tyro.conf.UseAppendAction[tuple[tuple[Path, ...], ...]] = ()
    """Stores of demonstrations: the last frame of a success shows it, the frames before it don't."""
    last: int = 1
    """How many of a demonstration's last frames show success."""
    stage: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """NAME=STORE, instead of --labels: of several stages the stores with the labels of each."""
    exclusive: bool = False
    """Stages exclude each other: a success of one is a failure of the others."""
    cameras: tuple[str, ...] = ()
    """Cameras to look at, such as wrist_1; all by default."""
    false_positive_rate: float = 0.01
    """Wished for: the threshold is chosen by it."""
    held_out: float = 0.2
    """Share of the episodes that it is judged by, and does not learn from."""
    steps: int = 150
    """Of training."""
    crops: int = 3
    """Augmented copies of each frame."""
    noise: float = 2.0
    """Largest deviation of the noise on a copy [grey levels]."""
    brightness: float = 0.1
    """Largest relative change of a copy's brightness."""
    encoder: str = "efficientnet-lite0"
    """efficientnet-lite0 or resnet10."""
    encoder_weights: Path | None = None
    """The weights of resnet10."""
    seed: int = 0
    """Of everything random."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.learning.classifier import check_file_name
        from hilserl_envs.learning.classifier_frames import read_frames
        from hilserl_envs.learning.classifier_report import make_report
        from hilserl_envs.learning.classifier_report_files import write_report
        from hilserl_envs.learning.classifier_training import TrainingSettings, train_classifier
        from hilserl_envs.learning.extra import torch
        from hilserl_envs.tasks import env_id

        # Small batches: several threads wait for each other more than they work.
        torch.set_num_threads(1)
        check_file_name(self.out)
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}")
        settings = TrainingSettings(
            steps=self.steps,
            crops=self.crops,
            noise=self.noise,
            brightness=self.brightness,
            held_out=self.held_out,
            false_positive_rate=self.false_positive_rate,
        )
        frames = read_frames(
            env_id(self.task),
            self._labels(),
            [path for paths in self.from_demos for path in paths],
            last=self.last,
            exclusive=self.exclusive,
            cameras=self.cameras,
        )
        with tqdm(total=len(frames), unit="frame", file=sys.stderr, disable=None) as bar:
            classifier, held_out = train_classifier(
                frames,
                settings,
                encoder=self.encoder,
                encoder_weights=self.encoder_weights,
                seed=self.seed,
                tell=bar.update,
            )
        classifier.save(self.out)
        report = make_report(classifier.info, frames, held_out, self.false_positive_rate)
        files = write_report(report, frames, held_out, self.out)
        print(report.describe())
        print(f"wrote {self.out}, and the report to {files[0]}")
        return {"classifier": str(self.out), "report": [str(file) for file in files], **report.to_json()}

    def _labels(self) -> dict[str, list[Path]]:
        """Stores with labels by stage."""
        from hilserl_envs.errors import ConfigError

        labels: dict[str, list[Path]] = {}
        for given in (given for group in self.stage for given in group):
            stage, equals, store = given.partition("=")
            if not (stage and equals and store):
                raise ConfigError(f"--stage is NAME=STORE, such as grasped=labels/grasped; got {given!r}")
            labels.setdefault(stage, []).append(Path(store))
        if labels and (self.labels or self.from_demos):
            raise ConfigError("--stage names the stores of each stage; leave out --labels and --from-demos")
        return labels or {"success": [path for paths in self.labels for path in paths]}
