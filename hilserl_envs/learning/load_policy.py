"""`load_policy`: a run's checkpoint as a policy.

A run that goes on replaces its checkpoints: whoever makes the policy more than once reads the
weights once, with `read_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError, LearningError, check_name
from hilserl_envs.learning.agent import AVERAGE, under
from hilserl_envs.learning.batch import ActionParts, Inputs
from hilserl_envs.learning.encoder import try_device
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.learner import make_agent
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors

CHECKPOINTS = ("best", "last")


def open_run(folder: str | Path, task: str) -> RunFolder:
    """A run of that task.

    Raises:
        ConfigError: there is none, or it is of another.
    """
    run = RunFolder(folder)
    if not run.settings.is_of(task):
        raise ConfigError(f"{folder} is a run of {run.settings.task}, not of {task}")
    return run


def load_policy(
    run: RunFolder | str | Path, checkpoint: str | None = None, sample: bool = False, device: str = "cpu"
) -> LearnedPolicy:
    """The policy of a run, for its environment: `RunFolder(...).settings.make_env(watched=False)`.

    Args:
        run: or its folder.
        checkpoint: "best" or "last"; None takes the best where there is one, else the last.
        sample: draw from the policy's Gaussian, or else take its mean.
        device: of the network and its encoder.

    Raises:
        ConfigError: there is no run, no such checkpoint or no such device; or to draw from what
            imitates.
        LearningError: the checkpoint is damaged or another agent's.
    """
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    weights, _ = read_weights(run, choose_checkpoint(run, checkpoint))
    return build_policy(run, weights, sample, device)


def choose_checkpoint(run: RunFolder, name: str | None = None) -> str:
    """Which of its checkpoints: the one named, or the best where there is one, else the last.

    Raises:
        ConfigError: there is none.
    """
    there = [known for known in CHECKPOINTS if run.checkpoint(known).exists()]
    if not there:
        raise ConfigError(f"the run {run.path} has no checkpoint yet; train on until it saves its first")
    if name is not None and check_name(name, CHECKPOINTS, "checkpoint") not in there:
        raise ConfigError(f"the run {run.path} has no checkpoint {name!r} yet, only {', '.join(there)}")
    return name or there[0]


def read_weights(run: RunFolder, checkpoint: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights of what acts, by name, and what the learner said with them (`updates`, `steps`...).

    What acts is the average over the policy's weights, where there is one.

    Raises:
        ConfigError: there is no such checkpoint.
        LearningError: it is damaged.
    """
    tensors, meta = load_tensors(run.checkpoint(checkpoint))
    acting = under(f"{AVERAGE}.", tensors) or under("policy.", tensors)
    # Copies: a tensor that was read still is a part of the file.
    return {name: tensor.numpy().copy() for name, tensor in acting.items()}, meta


def build_policy(
    run: RunFolder, weights: Mapping[str, np.ndarray], sample: bool = False, device: str = "cpu"
) -> LearnedPolicy:
    """The run's policy with those weights; see `load_policy`."""
    try_device(device)
    check_sampling(run, sample)
    encoder = run.settings.make_encoder(device)
    network = make_agent(run, encoder, device).policy
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    except RuntimeError as error:
        raise LearningError(
            f"the checkpoint of {run.path} is of another agent than its config.json says: "
            f"{' '.join(str(error).split())}"
        ) from error
    return LearnedPolicy(network, run.inputs, ActionParts(run.layout), encoder, sample, device)


def check_sampling(run: RunFolder, sample: bool) -> None:
    """Refuse to draw from what imitates.

    Raises:
        ConfigError: so.
    """
    if sample and run.settings.algorithm != "sac":
        raise ConfigError(
            f"{run.path} is a run of {run.settings.algorithm!r}, whose actions have no spread that was "
            "learned; take their mean"
        )


def check_env(run: RunFolder, env: gymnasium.Env) -> None:
    """Refuse an environment that shows or does something else than the run was trained for.

    Raises:
        ConfigError: so; the package, the task or a wrapper has changed since.
    """
    inputs, layout = Inputs.of_env(env), tuple(env.get_wrapper_attr("action_layout"))
    if inputs != run.inputs:
        had, has = ({**i.state, **i.cameras} for i in (run.inputs, inputs))
        changed = sorted(key for key in had | has if had.get(key) != has.get(key))
        differences = [f"{key} was {had.get(key, 'absent')}, is {has.get(key, 'absent')}" for key in changed]
    elif layout != run.layout:
        differences = [f"actions were {run.layout}, are {layout}"]
    else:
        return
    raise ConfigError(
        f"{run.path} was trained in an environment that is another now: {'; '.join(differences)}. Take the "
        "version of the package that its config.json names"
    )
