"""A run and its inbox in one process, and what actors with images would write into their mirrors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hilserl_envs.learning.inbox import Inbox
from hilserl_envs.learning.mirror import Mirror, actor_files
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.recording import EpisodeWriter, Leaf, Schema

SCHEMA = Schema({"state": Leaf((2,))}, {"images/eye": (8, 8, 3), "images/wrist": (4, 8, 3)}, Leaf((1,)))


def open_inbox(run: RunFolder, *names: str, steps=None) -> Inbox:
    """Of robots of those names."""
    stores = {name: str(run.replays / name if name else run.replay) for name in names or ("",)}
    return Inbox(stores, str(run.policy), steps or {})


def open_mirror(folder: Path, run: RunFolder, inbox, name: str = "") -> Mirror:
    return Mirror(folder, inbox, name, actor_files(run, name, None))


def kill(mirror: Mirror) -> None:
    """Its process: of all that it holds, the system lets go of the locks alone."""
    mirror._release()
    mirror._release = lambda: None


def open_writer(mirror: Mirror) -> EpisodeWriter:
    """As the actor has it."""
    return EpisodeWriter(mirror.run.replay, SCHEMA, {"fps": 10}, {"command": "train"}, sync=False)


def observation(rng: np.random.Generator) -> dict:
    images = {key: rng.integers(256, size=shape, dtype=np.uint8) for key, shape in SCHEMA.images.items()}
    return {
        "state": rng.standard_normal(2, np.float32),
        "images": {key.partition("/")[2]: v for key, v in images.items()},
    }


def act(writer: EpisodeWriter, steps: int, after_step=lambda: None, end: bool = True, seed: int = 0) -> None:
    """An episode; what comes after a step comes after its end too."""
    rng = np.random.default_rng(seed)
    writer.begin(observation(rng))
    for step in range(steps):
        writer.step(observation(rng), rng.random(1, np.float32), 0.0, False, end and step == steps - 1)
        if step < steps - 1:
            after_step()
    if end:
        writer.end(kept=True)
    after_step()


def content(folder: Path) -> dict[str, bytes]:
    """Of a store's files."""
    names = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in names if path.name != "lock" and path.suffix != ".lost")
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}
