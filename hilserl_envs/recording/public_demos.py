"""Imports the pickles that HIL-SERL's public code writes: demonstrations, labels, replay buffers.

Source: rail-berkeley/hil-serl, examples/record_demos.py and record_success_fail.py. A file
is a list of transitions: `observations` and `next_observations` ({camera: (1, H, W, 3)
uint8, "state": (1, N)}), `actions`, `rewards`, `masks`, `dones`, and in demonstrations
`infos`. The first axis is its frame stack, of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RecordingError, check_name
from hilserl_envs.recording.safe_pickle import load_plain_pickle
from hilserl_envs.recording.schema import LABELS, Leaf, Schema
from hilserl_envs.recording.writer import EpisodeWriter

_PENALTY = "grasp_penalty"


@dataclass(frozen=True)
class _Step:
    """A transition as a store takes it."""

    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    action: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    success: bool
    intervened: bool
    penalty: float

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of everything in it, by name."""
        before = {key: array.shape for key, array in self.before.items()}
        after = {f"next {key}": array.shape for key, array in self.after.items()}
        return before | after | {"action": self.action.shape}


def import_public_demos(
    paths: str | Path | Iterable[str | Path],
    folder: str | Path,
    label: str | None = None,
    image_format: str = "png",
) -> int:
    """Add the episodes of pickle files to a store; returns how many.

    Images become "images/<camera>", the state stays one vector "state": its numbers are
    the public code's, whose frames and Euler angles are not this package's. An episode
    ends with `dones`, and where a transition does not begin where the one before it
    ended, as between the frames of a label file. `dones` with a mask of 1 is truncated.
    Success is `infos["succeed"]`, or a positive reward where there are no infos; the extra
    "grasp_penalty" is 0 where there is none.

    Args:
        paths: pickle files; all of the same keys and shapes.
        folder: of the store; made where there is none, else appended to.
        label: "success" or "failure": every transition's first observation is such a
            frame (the extra "label", see `LABELS`), as in the public code's classifier data.
        image_format: "png", "raw" or "jpeg"; a store that is there has one already.

    Raises:
        RecordingError: a file is no such pickle, or holds more than plain data: nothing
            in it was run. Files before it are imported.
        ConfigError: an unknown label or format, or a store of other keys and shapes.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise ConfigError("no pickle files to import; name at least one")
    if label is not None:
        check_name(label, LABELS, "label")
    imported = 0
    for path in map(Path, paths):
        steps = _read(path)
        schema = _schema(steps[0], label, image_format)
        description = {"source": {"format": "hil-serl pickles"}}
        with EpisodeWriter(folder, schema, description, session={"file": path.name}) as writer:
            for episode in _episodes(steps):
                _write(writer, episode, label)
                imported += 1
    return imported


def _read(path: Path) -> list[_Step]:
    transitions = load_plain_pickle(path)
    if not isinstance(transitions, list) or not transitions:
        what = "an empty list" if transitions == [] else f"a {type(transitions).__name__}"
        raise RecordingError(f"{path} holds {what}, not a list of transitions")
    steps: list[_Step] = []
    for number, transition in enumerate(transitions):
        try:
            steps.append(_step(transition))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RecordingError(f"{path}: transition {number} is not one of HIL-SERL's: {error!r}") from None
        if (got := steps[-1].shapes) != (expected := steps[0].shapes):
            raise RecordingError(
                f"{path}: transition {number} has other keys or shapes than the first: {got}, {expected}"
            )
    return steps


def _step(transition: Mapping[str, Any]) -> _Step:
    infos = transition.get("infos") or {}
    done = bool(transition["dones"])
    ends = done and float(transition.get("masks", 0.0)) == 0.0
    reward = float(transition["rewards"])
    return _Step(
        _observation(transition["observations"]),
        _observation(transition["next_observations"]),
        np.asarray(transition["actions"], dtype=np.float32),
        reward,
        ends,
        done and not ends,
        bool(infos["succeed"]) if "succeed" in infos else reward > 0,
        "intervene_action" in infos,
        float(transition.get(_PENALTY, infos.get(_PENALTY, 0.0))),
    )


def _observation(observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays by our keys, without the axis of the frame stack."""
    result = {}
    for key, value in observation.items():
        array = np.asarray(value)
        is_image = array.dtype == np.uint8 and array.ndim >= 3
        if array.ndim > (3 if is_image else 1):
            if array.shape[0] != 1:
                raise ValueError(
                    f"{key!r} of shape {array.shape} is a stack of frames; only stacks of one are read"
                )
            array = array[0]
        if is_image and array.shape[2] != 3:
            raise ValueError(f"{key!r} of shape {array.shape} is no image of 3 channels")
        result[f"images/{key}" if is_image else key] = array if is_image else array.astype(np.float32)
    if not result:
        raise ValueError("an observation without anything in it")
    return result


def _schema(first: _Step, label: str | None, image_format: str) -> Schema:
    images = {key: array.shape for key, array in first.before.items() if key.startswith("images/")}
    states = {key: Leaf(array.shape) for key, array in first.before.items() if key not in images}
    extras = {_PENALTY: Leaf()} | ({} if label is None else {"label": Leaf((), "int8")})
    return Schema(states, images, Leaf(first.action.shape), extras, image_format=image_format)


def _episodes(steps: Sequence[_Step]) -> Iterable[list[_Step]]:
    episode: list[_Step] = []
    for step in steps:
        if episode and (
            episode[-1].terminated or episode[-1].truncated or not _same(episode[-1].after, step.before)
        ):
            yield episode
            episode = []
        episode.append(step)
    if episode:
        yield episode


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[key], other[key], equal_nan=one[key].dtype.kind == "f") for key in one
    )


def _write(writer: EpisodeWriter, episode: Sequence[_Step], label: str | None) -> None:
    writer.begin(episode[0].before)
    for step in episode:
        extras = {_PENALTY: step.penalty} | ({} if label is None else {"label": LABELS[label]})
        writer.step(
            step.after,
            step.action,
            step.reward,
            step.terminated,
            step.truncated,
            success=step.success,
            intervened=step.intervened,
            extras=extras,
        )
    writer.end(kept=True)
