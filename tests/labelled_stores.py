"""Stores of labelled frames that are quickly made: a white square that moves through grey noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hilserl_envs.recording import LABELS, EpisodeWriter, Leaf, Schema

TASK = "hilserl/RamInsertion-v0"
SIZE = 48  # pixels of a side
STEPS = 24  # of an episode: the square is home, which is success, in the last third
HOME = 16  # step


def frame(position: float, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """(size, size, 3) uint8: the square somewhere between the left (0) and the right (1)."""
    image = rng.integers(60, 90, (size, size, 3), np.uint8)
    left = round(position * (size - 16))
    image[size // 2 : size // 2 + 12, left : left + 12] = 250
    return image


def positions(rng: np.random.Generator) -> np.ndarray:
    """Of the square in an episode (STEPS + 1,)."""
    away = np.sort(rng.uniform(0, 0.7, HOME))
    return np.concatenate([away, np.full(STEPS + 1 - HOME, 1.0)])


def write_labels(
    folder: Path,
    episodes: int = 10,
    *,
    cameras: Mapping[str, int] | None = None,
    seed: int = 0,
    env_id: str = TASK,
    wrappers: list | None = None,
    label: bool = True,
    keep_failures: bool = False,
) -> Path:
    """A store whose frames are labelled by whether the square is home; returns its folder.

    Args:
        folder: of the store.
        episodes: how many.
        cameras: side of the images by name; {"front": SIZE} by default.
        seed: of the frames.
        env_id: environment that it tells to be of.
        wrappers: of the environment, as `describe_env` has them.
        label: without, they are demonstrations that end when the square is home.
        keep_failures: of those, every third episode ends before.
    """
    cameras = {"front": SIZE} if cameras is None else cameras
    rng = np.random.default_rng(seed)
    schema = Schema(
        {"state/height": Leaf((1,))},
        {f"images/{name}": (size, size, 3) for name, size in cameras.items()},
        Leaf((1,)),
        {"label": Leaf((), "int8")} if label else {},
    )
    description = {"env": {"id": env_id, "spec": None}, "wrappers": wrappers or []}

    def observe(position: float) -> dict:
        images = {f"images/{name}": frame(position, rng, size) for name, size in cameras.items()}
        return {"state/height": np.zeros(1, np.float32), **images}

    with EpisodeWriter(folder, schema, description, sync=False) as writer:
        for episode in range(episodes):
            way = positions(rng)
            fails = keep_failures and episode % 3 == 0
            if not label:
                way = way[:HOME] if fails else way[: HOME + 1]
            writer.begin(observe(way[0]), seed=episode)
            for step in range(1, len(way)):
                last = step == len(way) - 1
                # A label is of the frame before the step.
                said = {"label": LABELS["success" if way[step - 1] == 1 else "failure"]} if label else None
                writer.step(
                    observe(way[step]),
                    np.zeros(1, np.float32),
                    0.0,
                    last and not fails,
                    last and fails,
                    success=bool(way[step] == 1),
                    extras=said,
                )
            writer.end(True)
    return folder
