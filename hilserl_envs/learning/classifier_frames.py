"""Which frames a reward classifier learns from, and which are held out to judge it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.learning.classifier import image_crops
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.labels import labelled_frames

FEWEST = 10  # frames of either kind: with fewer nothing can be told
BLOCK = 10  # steps: a second
DRAWS = 1000  # of which the most even split is taken


@dataclass(frozen=True)
class LabelledFrames:
    """N frames of some stores, and what was said of them.

    Args:
        task: the id of the environment that they are of.
        stores: where the frames are.
        sources: (N,) in which of the stores.
        records: (N,) which record of it.
        stages: names of the S things that may be reached.
        targets: (N, S) float32: 1 where a stage is reached, 0 where not, NaN where nobody said.
        cameras: (height, width, 3) by key ("images/wrist_1").
        crops: how `CropImages` made the images: its arguments, one a wrapper; None if it is not known.
    """

    task: str
    stores: Sequence[EpisodeStore]
    sources: np.ndarray
    records: np.ndarray
    stages: tuple[str, ...]
    targets: np.ndarray
    cameras: Mapping[str, tuple[int, int, int]]
    crops: list | None

    def __len__(self) -> int:
        return len(self.records)

    def images(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Images (n, height, width, 3) uint8 of some frames (n,), by camera."""
        images = {key: np.empty((len(rows), *shape), np.uint8) for key, shape in self.cameras.items()}
        for source in np.unique(self.sources[rows]):
            here = self.sources[rows] == source
            for key in self.cameras:
                images[key][here] = self.stores[source].take(key, self.records[rows][here])
        return images

    def moments(self) -> np.ndarray:
        """Where the frames come from (N, 3): store, episode and step."""
        moments = np.empty((len(self), 3), np.int64)
        moments[:, 0] = self.sources
        for source, store in enumerate(self.stores):
            here = self.sources == source
            for column, name in ((1, "episode"), (2, "step")):
                moments[here, column] = store.records[name][self.records[here]]
        return moments

    def hold_out(self, share: float, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """Which frames (N,) are held out, and of what they are made up: "episodes" or "blocks".

        Frames of one episode are alike: were they on both sides, the classifier would be judged
        by what it has seen. So whole episodes are held out, of all kinds of frames about the same
        share. Where too few episodes have frames of some kind, blocks of a second are.

        Raises:
            ConfigError: there are too few frames for either.
        """
        moments = self.moments()
        kinds = np.concatenate([self.targets == 1, self.targets == 0], axis=1).astype(np.int64)
        blocks = np.column_stack([moments[:, :2], moments[:, 2] // BLOCK])
        for groups, name in ((moments[:, :2], "episodes"), (blocks, "blocks")):
            group = np.unique(groups, axis=0, return_inverse=True)[1].reshape(-1)
            counts = np.zeros((group.max() + 1, kinds.shape[1]), np.int64)
            np.add.at(counts, group, kinds)
            chosen = max(1, round(share * len(counts)))
            draws = rng.random((DRAWS, len(counts))).argsort(axis=1) < chosen
            shares = draws @ counts / counts.sum(axis=0)
            best = int(np.abs(shares - share).max(axis=1).argmin())
            if (shares[best] >= share / 2).all() and (shares[best] <= min(2 * share, (1 + share) / 2)).all():
                return draws[best][group], name
        raise ConfigError(
            f"cannot hold out {share:.0%} of the frames of every kind: they come from too few seconds of "
            "recording. Label more, in several episodes"
        )


def read_frames(
    task: str,
    labels: Mapping[str, Sequence[str | Path]],
    demos: Sequence[str | Path] = (),
    *,
    last: int = 1,
    exclusive: bool = False,
    cameras: Sequence[str] = (),
) -> LabelledFrames:
    """The frames of some stores that say whether a stage is reached.

    Args:
        task: the id of the environment that all stores must be of.
        labels: by stage, stores with frames labelled "success" (reached) and "failure" (not
            reached). They say nothing of other stages.
        demos: stores of demonstrations of the only stage: the last frames of a success reach it, all
            others don't.
        last: how many frames that are.
        exclusive: stages exclude each other: where one is reached, the others are not.
        cameras: to look at, such as "wrist_1"; all if none is named.

    Raises:
        ConfigError: a store of another task or of other cameras, one that is named twice or
            holds no labels, too few frames.
        RecordingError: a damaged store.
    """
    stages = tuple(labels)
    if demos and len(stages) != 1:
        raise ConfigError(f"demonstrations tell of one stage, got {list(stages)}; label frames of each")
    if last < 1:
        raise ConfigError(f"at least the last frame of a demonstration shows success, got last={last}")
    named = [(Path(path), stage, False) for stage, paths in enumerate(labels.values()) for path in paths]
    named += [(Path(path), 0, True) for path in demos]
    if not named:
        raise ConfigError(
            "no frames to learn from; name stores that `hilserl label` wrote, or demonstrations"
        )
    stores, parts = [], []
    for path, stage, is_demo in named:
        if any(path.resolve() == store.folder.resolve() for store in stores):
            raise ConfigError(f"{path} is named twice; each store says something of one stage")
        store = EpisodeStore(path)
        _check_task(store, task)
        reached, missed = (
            _of_demos(store, last)
            if is_demo
            else [labelled_frames(store, label) for label in ("success", "failure")]
        )
        others = 0.0 if exclusive else np.nan
        parts.append((len(stores), reached, _targets(len(stages), stage, 1.0, others)))
        parts.append((len(stores), missed, _targets(len(stages), stage, 0.0, np.nan)))
        stores.append(store)
    frames = LabelledFrames(
        task=task,
        stores=stores,
        sources=np.concatenate([np.full(len(records), source) for source, records, _ in parts]),
        records=np.concatenate([records for _, records, _ in parts]),
        stages=stages,
        targets=np.concatenate([np.tile(target, (len(records), 1)) for _, records, target in parts]),
        cameras=_cameras(stores, cameras),
        crops=_crops(stores),
    )
    for index, stage in enumerate(stages):
        successes, failures = (int((frames.targets[:, index] == kind).sum()) for kind in (1, 0))
        if min(successes, failures) < FEWEST:
            raise ConfigError(
                f"{stage!r} has {successes} frames of success and {failures} of failure; at least {FEWEST} "
                "of each are needed, 200 and 1000 are good: label more with `hilserl label`"
            )
    return frames


def _targets(stages: int, stage: int, own: float, others: float) -> np.ndarray:
    targets = np.full(stages, others, np.float32)
    targets[stage] = own
    return targets


def _of_demos(store: EpisodeStore, last: int) -> tuple[np.ndarray, np.ndarray]:
    """The last frames of successes, and all others of kept episodes that ended."""
    records = store.frames(lambda info: info.kept and info.finished)
    reached = [
        np.arange(max(info.first + info.steps + 1 - last, info.first), info.first + info.steps + 1)
        for info in store.episodes
        if info.kept and info.finished and info.success
    ]
    reached = np.concatenate(reached) if reached else np.empty(0, np.int64)
    return reached, np.setdiff1d(records, reached)


def _check_task(store: EpisodeStore, task: str) -> None:
    there = (store.meta.get("env") or {}).get("id")
    if there not in (None, task):  # what was imported does not say
        raise ConfigError(f"{store.folder} is of {there}, not of {task}; name stores of one task")


def _cameras(stores: Sequence[EpisodeStore], wanted: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    first, *others = stores
    mine = first.schema.images
    if not mine:
        raise ConfigError(f"{first.folder} holds no images; record with obs=pixels or both")
    known = {key.removeprefix("images/"): key for key in mine}
    keys = [known[check_name(name.removeprefix("images/"), known, "camera")] for name in wanted]
    for store in others:
        theirs = store.schema.images
        for key in keys or dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                here, there = mine.get(key, "absent"), theirs.get(key, "absent")
                raise ConfigError(
                    f"{key!r} is {here} in {first.folder} and {there} in {store.folder}; record with the "
                    "same cameras, or name those to look at with --cameras"
                )
    return {key: mine[key] for key in keys or mine}


def _crops(stores: Sequence[EpisodeStore]) -> list | None:
    first, *others = stores
    crops = image_crops(first.meta)
    for store in others:
        if (theirs := image_crops(store.meta)) != crops:
            raise ConfigError(
                f"images are cropped by {crops} in {first.folder} and by {theirs} in {store.folder}; record "
                "with the same crops"
            )
    return crops
