"""Twenty demonstrations from the command line, and what recording a step costs."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from hilserl_envs.cli import main
from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from tests.benchmarks.measure import Result, seconds

DEMONSTRATIONS, TARGET_S = 20, 180.0
STEP_TARGET_MS = 5.0  # a twentieth of a control step
NOISE = 4.0  # of a real camera, in grey levels


def run() -> list[Result]:
    """Seconds for twenty demonstrations of each task; milliseconds for a step on disk."""
    with tempfile.TemporaryDirectory() as folder:
        results = [_demonstrations(task, Path(folder) / task) for task in ("PickCube", "RamInsertion")]
        return [*results, _step(Path(folder) / "RamInsertion", Path(folder) / "steps")]


def _demonstrations(task: str, store: Path) -> Result:
    number = str(DEMONSTRATIONS)
    args = ["record", task, "--device", "expert", "--episodes", number, "--out", str(store)]
    took = seconds(lambda: _report(args))
    replay = _report(["replay", str(store)])
    detail = f"{replay['same_outcome']} of {replay['episodes']} end the same in the twin"
    return Result(f"{task}: {number} demonstrations", took, "s", TARGET_S, False, detail)


def _report(args: list[str]) -> dict:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*args, "--json"]) == 0
    return json.loads(out.getvalue().splitlines()[-1])


def _step(demonstrations: Path, folder: Path) -> Result:
    """Appending one, its two images as noisy as a camera's, PNG."""
    store, rng = EpisodeStore(demonstrations), np.random.default_rng(0)
    observation = {key: store.take(key, [10])[0] for key in store.schema.observations}
    for key in store.schema.images:
        image = store.take(key, [10])[0]
        observation[key] = np.clip(image + rng.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)
    action = np.zeros(store.schema.action.shape, np.float32)
    with EpisodeWriter(folder, store.schema) as writer:
        writer.begin(observation)
        times = [seconds(lambda: writer.step(observation, action, 0.0, False, False)) for _ in range(300)]
    size = EpisodeStore(folder).nbytes / 301
    detail = f"two noisy 128x128 cameras, {size / 1e3:.0f} kB a step"
    return Result("RamInsertion: recording a step", 1e3 * median(times), "ms", STEP_TARGET_MS, False, detail)
