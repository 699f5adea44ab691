"""How a reward classifier learns: augmented frames encoded once, then a few steps on the heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, LearningError, check_fields, checked_names, ranged
from hilserl_envs.learning.agent import Agent
from hilserl_envs.learning.batch import Packed
from hilserl_envs.learning.classifier import (
    ClassifierInfo,
    ClassifierNetwork,
    RewardClassifier,
    encode,
    feature_shapes,
    probabilities,
)
from hilserl_envs.learning.classifier_frames import LabelledFrames
from hilserl_envs.learning.classifier_metrics import suggest_threshold
from hilserl_envs.learning.encoder import ImageEncoder, make_encoder
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.features import random_crops

functional = torch.nn.functional

CHUNK = 16  # frames in memory at a time


@checked_names
@dataclass(frozen=True)
class TrainingSettings:
    """How a classifier learns. Steps, batches and rate of learning are about the paper's.

    Args:
        steps: of Adam.
        batch_size: frames of a step, half of them successes.
        learning_rate: of Adam.
        crops: augmented copies of each frame, besides the frame itself; all are encoded once.
        noise: largest deviation of the noise that is added to a copy [grey levels].
        brightness: largest change of a copy's brightness, as a share of it.
        held_out: share of the frames that it is judged by, and does not learn from.
        false_positive_rate: wished for, of all frames that are no success.

    Raises:
        ConfigError: a value out of range.
    """

    steps: int = ranged(150, 1, 100_000)
    batch_size: int = ranged(256, 2, 65_536)
    learning_rate: float = ranged(3e-4, 1e-7, 1.0)
    crops: int = ranged(3, 1, 1000)
    noise: float = ranged(2.0, 0.0, 255.0)
    brightness: float = ranged(0.1, 0.0, 1.0)
    held_out: float = ranged(0.2, 0.01, 0.5)
    false_positive_rate: float = ranged(0.01, 0.0, 0.5)

    def __post_init__(self) -> None:
        check_fields(self)
        for field in dataclasses.fields(self):
            if isinstance(field.default, int) and not isinstance(value := getattr(self, field.name), int):
                raise ConfigError(f"TrainingSettings.{field.name} is a whole number, got {value!r}")


@dataclass(frozen=True)
class HeldOut:
    """What a classifier says of frames that it did not learn from.

    Args:
        rows: (M,) which of the labelled frames.
        probabilities: (M, S) float32.
        split_by: "episodes", or "blocks" of a second where there are too few episodes.
    """

    rows: np.ndarray
    probabilities: np.ndarray
    split_by: str


def train_classifier(
    frames: LabelledFrames,
    settings: TrainingSettings | None = None,
    *,
    encoder: str = "efficientnet-lite0",
    encoder_weights: str | Path | None = None,
    seed: int = 0,
    tell: Callable[[int], None] = lambda frames: None,
) -> tuple[RewardClassifier, HeldOut]:
    """A classifier of some frames, and what it says of those held out.

    Its thresholds are those that `suggest_threshold` finds on the latter.

    Args:
        frames: see `read_frames`.
        settings: None takes the defaults.
        encoder, encoder_weights: see `make_encoder`.
        seed: of everything random.
        tell: called with how many more frames have been encoded.

    Raises:
        ConfigError: too few frames to hold some out, or no such encoder.
        LearningError: the loss is not finite.
    """
    settings = TrainingSettings() if settings is None else settings
    rng = np.random.default_rng(seed)
    is_held_out, split_by = frames.hold_out(settings.held_out, rng)
    learned, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    sight = make_encoder(encoder, weights=encoder_weights)
    copies = _encoded(frames, learned, sight, tell, lambda images: augment(images, settings, rng))
    network = fit(copies, feature_shapes(sight, frames.cameras), frames.targets[learned], settings, seed)
    plain = _encoded(frames, held_out, sight, tell, lambda images: images)
    said = probabilities(network, plain)
    thresholds = []
    for target, of_stage in zip(frames.targets[held_out].T, said.T, strict=True):
        known = np.isfinite(target)
        rate = settings.false_positive_rate
        thresholds.append(suggest_threshold(of_stage[known], target[known] == 1, rate))
    info = ClassifierInfo(
        task=frames.task,
        stages=frames.stages,
        thresholds=tuple(thresholds),
        cameras=frames.cameras,
        crops=frames.crops,
        encoder=encoder,
        encoder_weights=None if encoder_weights is None else str(Path(encoder_weights).resolve()),
    )
    return RewardClassifier(info, sight, network), HeldOut(held_out, said, split_by)


def augment(images: np.ndarray, settings: TrainingSettings, rng: np.random.Generator) -> np.ndarray:
    """Each image (N, H, W, 3) uint8, followed by its copies: (N * (1 + crops), H, W, 3).

    A copy is shifted, darker or brighter, and has noise of any strength up to the largest. The
    frozen encoder sees noise: one grey level of it moves the features of a rendered image by half
    of their deviation, and a classifier that never saw any misses a third of the successes then.
    """
    copies = random_crops(torch.as_tensor(images), settings.crops, rng).numpy().astype(np.float32)
    each = (*copies.shape[:2], 1, 1, 1)
    copies *= rng.uniform(1 - settings.brightness, 1 + settings.brightness, each).astype(np.float32)
    deviation = rng.uniform(0, settings.noise, each).astype(np.float32)
    copies += deviation * rng.standard_normal(copies.shape, np.float32)
    copies = np.rint(copies).clip(0, 255).astype(np.uint8)
    return np.concatenate([images[:, None], copies], axis=1).reshape(-1, *images.shape[1:])


def _encoded(
    frames: LabelledFrames,
    rows: np.ndarray,
    encoder: ImageEncoder,
    tell: Callable[[int], None],
    prepare: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Packed]:
    """Features by camera of some frames, as often each as `prepare` makes copies of them."""
    parts: dict[str, list[Packed]] = {key: [] for key in frames.cameras}
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        images = {key: prepare(image) for key, image in frames.images(chunk).items()}
        for key, packed in encode(encoder, images).items():
            parts[key].append(packed)
        tell(len(chunk))
    return {key: Packed(*map(torch.cat, zip(*part, strict=True))) for key, part in parts.items()}


def fit(
    features: Mapping[str, Packed],
    shapes: Mapping[str, tuple[int, int, int]],
    targets: np.ndarray,
    settings: TrainingSettings,
    seed: int,
) -> ClassifierNetwork:
    """A network that learned from features, several in a row for each of the targets (N, S).

    Half of a batch are successes, half failures, the same number of each stage; a frame counts
    for the stage that it was drawn for.
    """
    rng = np.random.default_rng([seed, 1])
    stages = targets.shape[1]
    with Agent.seeded(seed):
        network = ClassifierNetwork(shapes, stages)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    copies = len(next(iter(features.values())).values) // len(targets)
    kinds = [(stage, reached) for stage in range(stages) for reached in (1, 0)]
    rows = [np.flatnonzero(targets[:, stage] == reached) for stage, reached in kinds]
    each = max(1, settings.batch_size // len(kinds))
    stage, reached = torch.tensor(kinds).repeat_interleave(each, dim=0).T
    for step in range(settings.steps):
        frames = np.concatenate([rng.choice(known, each) for known in rows])
        chosen = torch.as_tensor(frames * copies + rng.integers(copies, size=len(frames)))
        batch = {key: Packed(*(part[chosen] for part in packed)) for key, packed in features.items()}
        logits = network(batch, generator).gather(1, stage[:, None]).squeeze(1)
        loss = functional.binary_cross_entropy_with_logits(logits, reached.float())
        if not torch.isfinite(loss):
            raise LearningError(
                f"step {step + 1} of the classifier: the loss is {loss.item()}; try a smaller learning_rate"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.requires_grad_(False)
