"""Frames that a person labelled, out of a store with the extra `label` (see `FrameLabels`)."""

from __future__ import annotations

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.episode import is_kept
from hilserl_envs.recording.schema import LABELS
from hilserl_envs.recording.store import EpisodeStore


def labelled_frames(store: EpisodeStore, label: str) -> np.ndarray:
    """Records (N,) of the observations with a label: arguments of `store.take`.

    Args:
        store: its kept episodes count, the one in progress or unfinished too.
        label: "success" or "failure".

    Raises:
        ConfigError: the store has no labels.
    """
    if "label" not in store.schema.extras:
        raise ConfigError(
            f"{store.folder} has no labels; record some with `hilserl label`, or with FrameLabels and "
            'extras={"label": "int8"}'
        )
    seen = store.transitions(lambda info: is_kept(info) or not info.finished)
    # A step carries the label of the frame that the person saw when it began.
    return seen[store.records["extras"]["label"][seen + 1] == LABELS[label]]


def count_labels(store: EpisodeStore) -> dict[str, int]:
    """How many frames have which label."""
    return {label: len(labelled_frames(store, label)) for label in LABELS}
