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
from hilserl_envs.learning.actor import PublishedPolicy
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.learning.settings import PRESETS
from tests.benchmarks.demonstrations import record_demonstrations
from tests.benchmarks.measure import Result, seconds
from tests.labelled_stores import write_labels

ACT_MS, SAMPLE_MS, UPDATE_MS = 15.0, 15.0, 100.0
WEIGHTS_MS, CLASSIFIER_S = 15.0, 60.0
BATCH = 256
_PIXELS = "RamInsertion from pixels"


def run() -> list[Result]:
    """An action, a batch of 256, an update of two batches, new weights, and a reward classifier."""
    threads = torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder))
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path) -> list[Result]:
    demonstrations = record_demonstrations(folder / "demonstrations")
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
    return [
        *results,
        _result("an update", update, UPDATE_MS, detail),
        _weights(learner, run),
        _classifier(folder),
    ]


def _weights(learner: Learner, run: RunFolder) -> Result:
    """What an actor does between two steps when there are new ones."""
    policy = PublishedPolicy(run, learner.encoder)

    def take() -> None:
        assert policy.refresh()

    taken = []
    for _ in range(20):
        learner.publish()
        taken.append(seconds(take))
    return Result(f"{_PIXELS}: new weights", 1e3 * median(taken), "ms", WEIGHTS_MS, False, "of a 100 ms step")


def _classifier(folder: Path) -> Result:
    """A reward classifier of two cameras, its report included."""
    labels = write_labels(folder / "labels", 50, cameras={"wrist_1": 128, "wrist_2": 128})
    arguments = [
        "classifier",
        "RamInsertion",
        "--labels",
        str(labels),
        "--out",
        str(folder / "it.safetensors"),
    ]

    def train() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert main(arguments) == 0

    return Result(f"{_PIXELS}: a classifier", seconds(train), "s", CLASSIFIER_S, False, "of 1,200 frames")


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
    return Result(f"{_PIXELS}: {what}", taken, "ms", target, False, detail)
