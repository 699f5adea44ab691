"""A run's folder, and what actor and learner would write into it."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.learning.settings import AgentSettings
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.recording import EpisodeWriter, Leaf, RecordEpisodes, Schema

SMALL = AgentSettings(batch_size=8, hidden_dims=(16,), bc_hidden_dims=(16,), proprioception_dim=8)
SCHEMA = Schema({"state": Leaf((1,))}, {}, Leaf((1,)))
STEP_SECONDS = 0.1


def settings(**changes) -> RunSettings:
    """Of a small agent in the twin."""
    return RunSettings(**{"task": "PickCube", "obs": "state", "agent": SMALL} | changes)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()  # gone at the end of the process


@functools.cache
def demonstrations() -> Path:
    """A store with one episode of the expert's, and one that fails."""
    folder = Path(_folder().name) / "demonstrations"
    env = RecordEpisodes(settings().make_env(watched=False), folder, "all")
    policy = ExpertPolicy(env)
    observation, _ = env.reset(seed=0)
    policy.start(0)
    over = False
    while not over:
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        over = terminated or truncated
    env.reset(seed=1)
    env.step(np.zeros(env.action_space.shape, np.float32))
    env.close()
    return folder


@functools.cache
def _original() -> Path:
    return RunFolder.create(Path(_folder().name) / "run", settings(overseer={}), demonstrations()).path


def new_run(folder: Path) -> RunFolder:
    """A run with demonstrations, in which nothing has happened yet; quicker than to create one."""
    shutil.copytree(_original(), folder)
    return RunFolder(folder)


def open_writer(run: RunFolder, robot: str = "") -> EpisodeWriter:
    """Of the run's actor, or the one on that robot."""
    folder = run.replays / robot if robot else run.replay
    return EpisodeWriter(folder, SCHEMA, {"fps": 1 / STEP_SECONDS}, {"command": "train"}, sync=False)


def act(
    writer: EpisodeWriter,
    steps: int,
    success: bool = False,
    interventions: int = 0,
    end: bool = True,
    **ending,
) -> None:
    """An episode."""
    observation = {"state": np.zeros(1, np.float32)}
    writer.begin(observation)
    for step in range(1, steps + 1):
        last = end and step == steps
        writer.step(
            observation, np.zeros(1), float(last and success), last and success, last and not success,
            success=last and success, intervened=step <= interventions,
        )  # fmt: skip
    if end:
        writer.end(**{"kept": True} | ending)


def log(run: RunFolder, updates: int, **values: float) -> None:
    figures = {"steps": 4 * updates, "seconds": updates / 10, "updates_per_second": 10.0, "lag_seconds": 0.5}
    run.log({"updates": updates, **figures, "q": updates / 100, "critic_loss": 1 / updates, **values})
