"""Whether an actor keeps its pace: a served twin, actor and learner on one machine, in real time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from hilserl_envs.recording import EpisodeStore
from tests.benchmarks.demonstrations import record_demonstrations
from tests.benchmarks.measure import Result
from tests.server_process import ServerProcess

MINUTES = 2
STEP_MS = 100.0  # the actor's 10 Hz
TAIL_TARGET_MS = 1.1 * STEP_MS  # our own bound: late by a tenth


def run() -> list[Result]:
    """Milliseconds between the steps of a training run on a robot server."""
    with tempfile.TemporaryDirectory() as folder, ServerProcess("RamInsertion") as server:
        demonstrations, out = record_demonstrations(Path(folder) / "demonstrations"), Path(folder) / "run"
        train = [sys.executable, "-m", "hilserl_envs", "train", "RamInsertion", "--demos", demonstrations]
        train += ["--out", out, "--overseer", "--robot", server.url, "--minutes", str(MINUTES)]
        subprocess.run(
            [*map(str, train), "--tracker", "none"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        store = EpisodeStore(out / "replay")
        # The first step of an episode is timed from its reset.
        taken = [np.diff(store.records["time"][e.first + 1 : e.first + e.steps + 1]) for e in store.episodes]
    times = (1e3 * np.concatenate(taken)).tolist()
    tail = quantiles(times, n=100)[-1]
    detail = f"{len(times)} steps, median {median(times):.1f} ms, longest {max(times):.1f} ms"
    return [Result("an actor's step over HTTP, 99 of 100 under", tail, "ms", TAIL_TARGET_MS, False, detail)]
