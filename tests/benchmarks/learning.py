"""What the agent costs on a processor: acting, sampling, updates, from two 128x128 cameras."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from hilserl_envs.cli import main
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.learning.settings import PRESETS
from tests.benchmarks.measure import Result, seconds

ACT_MS, SAMPLE_MS, UPDATE_MS = 15.0, 15.0, 100.0
BATCH = 256


def run() -> list[Result]:
    """Milliseconds for an action, a batch of 256, and an update of two batches."""
    threads = torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder))
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path) -> list[Result]:
    demonstrations = folder / "demonstrations"
    with contextlib.redirect_stdout(io.StringIO()):
        record = ["record", "RamInsertion", "--device", "expert", "--episodes", "10"]
        assert main([*record, "--out", str(demonstrations)]) == 0
    agent = dataclasses.replace(PRESETS["fast"], batch_size=BATCH)
    settings = RunSettings(task="RamInsertion", algorithm="sac", agent=agent, overseer={})
    run = RunFolder.create(folder / "run", settings, demonstrations)
    of_frames = dataclasses.replace(settings, encoder="none")
    unencoded = Learner(RunFolder.create(folder / "frames", of_frames, demonstrations))
    torch.set_num_threads(1)
    learner = Learner(run)
    sample = learner.sampler.sample
    results = [
        _act(learner, run),
        _result("a batch of 256", sample, SAMPLE_MS, "cached features, a random crop each"),
        _result(
            "a batch of 256 of images", lambda: _seen(unencoded), SAMPLE_MS, "`encoder=none`, cropped anew"
        ),
    ]
    batches = [sample() for _ in range(agent.cta_ratio)]

    def update() -> None:
        learner.agent.update(batches)

    # On one core, as `hilserl train` does it beside an actor that wants the other, and on both.
    alone = _result("an update", update, UPDATE_MS, "").value
    torch.set_num_threads(2)
    detail = f"two batches of 256 for the critics, then the actor; two cores; on one {alone:.0f} ms"
    return [*results, _result("an update", update, UPDATE_MS, detail)]


def _seen(learner: Learner) -> None:
    batch = learner.sampler.sample()
    for observations in (batch.observations, batch.next_observations):
        learner.agent.see(observations)


def _act(learner: Learner, run: RunFolder) -> Result:
    policy = LearnedPolicy(
        learner.agent.policy, run.inputs, ActionParts(run.layout), learner.encoder, critic=learner.agent.value
    )
    env = run.settings.make_env(watched=False)
    observation, _ = env.reset(seed=0)
    env.close()
    return _result("an action", lambda: policy(observation), ACT_MS, "encoder included, one core")


def _result(what: str, work: Callable[[], object], target: float, detail: str) -> Result:
    work()
    taken = 1e3 * median(seconds(work) for _ in range(20))
    return Result(f"RamInsertion from pixels: {what}", taken, "ms", target, False, detail)
