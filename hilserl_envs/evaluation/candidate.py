"""`Candidate`: a policy to evaluate and what it acts in, told so that any process can make both."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.policies import POLICIES, Policy, make_policy
from hilserl_envs.stack import PERSON, make_env
from hilserl_envs.tasks import env_id
from hilserl_envs.teleop import device_class
from hilserl_envs.wrappers import LiveView


class Candidate(ABC):
    """A policy and the environment that it is evaluated in.

    Args:
        task: see `env_id`.
        policy: what it is called.
        overseer: settings of the script that takes over when the policy gets stuck, {} for its
            defaults; unlike in training it watches every episode. None for nobody.
        device: by which a person takes over; or what the overseer takes over with.
        view: live view, see `LiveView`; "auto" shows nothing where no person acts.
        arguments: of `make_env`: robot, reset_mode, timestep, render_mode...

    Attributes:
        task: its full id.
        name: in a table.
        about: what it is, plain values by name.
        worth_a_worker: episodes that are worth the start of a process, which takes some seconds.
    """

    worth_a_worker = 50

    def __init__(
        self,
        task: str,
        policy: str,
        *,
        overseer: Mapping[str, Any] | None = None,
        device: str | None = None,
        view: str = "auto",
        **arguments: Any,
    ):
        self.task, self.name, self._made_as = env_id(task), policy, task
        self._in_person = device is not None and device_class(device.partition(":")[0]).real_time
        self._view = "none" if view == "auto" and not self._in_person else view
        self._arguments = dict(arguments)
        if not self._in_person:
            self._arguments.pop("intervention", None)  # how a person takes over
            if self._arguments.get("reward") == PERSON:
                del self._arguments["reward"]
        if overseer is not None:
            # It would remember how earlier episodes went; here each is for itself.
            self._arguments["overseer"] = {**overseer, "least_attention": 1.0}
        if device is not None:
            self._arguments["device"] = device
        self.about: dict[str, Any] = {"policy": policy, "env": self._arguments}

    @abstractmethod
    def _make_env(self, arguments: Mapping[str, Any]) -> gymnasium.Env:
        """The environment with those arguments of `make_env`."""

    @abstractmethod
    def _make_policy(self, env: gymnasium.Env) -> Policy:
        """The policy for it."""

    @property
    def only_here(self) -> str | None:
        """Why an episode cannot be run in another process, or again, to the same end; None if it can."""
        if self._arguments.get("robot", "twin") != "twin":
            return "there is one robot"
        if self._arguments.get("reset_mode", "teleport") != "teleport":
            return "after a motion to the reset pose an episode depends on the one before it"
        if self._in_person:
            return "a person acts in it"
        if self._arguments.get("render_mode") == "human" or self._view != "none":
            return "it is shown while it runs"
        return None

    @contextlib.contextmanager
    def open(self, **arguments: Any) -> Iterator[tuple[gymnasium.Env, Policy]]:
        """Make the environment and the policy, and close the environment at the end.

        Args:
            arguments: of `make_env`; they go before the candidate's own.

        Raises:
            ConfigError: a wrong setting, or an environment that is no longer what the run was
                trained in.
        """
        env = self._make_env(self._arguments | arguments)
        try:
            policy = self._make_policy(env)
            if self._view != "none":
                env = LiveView(env, self._view)
            yield env, policy
        finally:
            env.close()


class NamedCandidate(Candidate):
    """A policy of `policies.POLICIES` in the standard stack, with the twin's object poses.

    Args:
        task, policy, settings: see `Candidate`.
    """

    def __init__(self, task: str, policy: str, **settings: Any):
        super().__init__(task, check_name(policy, POLICIES, "policy"), **settings)
        self._policy = policy

    def _make_env(self, arguments: Mapping[str, Any]) -> gymnasium.Env:
        obs = "state" if arguments.get("robot", "twin") == "twin" else "pixels"
        return make_env(self._made_as, **{"obs": obs, **arguments})

    def _make_policy(self, env: gymnasium.Env) -> Policy:
        return make_policy(self._policy, env)


class RunCandidate(Candidate):
    """A run's policy in the run's environment, without whoever took over in training.

    The weights are read at once: the run may go on learning meanwhile.

    Args:
        task: must be the run's.
        folder: of the run.
        checkpoint: "best" or "last"; None takes the best where there is one.
        sample: whether the policy draws its actions; else it takes the mean.
        torch_device: of its networks.
        overseer: changes of the run's settings for it, see `Candidate`.
        settings: see `Candidate`.

    Raises:
        ConfigError: there is no run, it is of another task, or has no such checkpoint.
        LearningError: it is damaged.
    """

    def __init__(
        self,
        task: str,
        folder: str | Path,
        *,
        checkpoint: str | None = None,
        sample: bool = False,
        torch_device: str = "cpu",
        overseer: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        from hilserl_envs.learning.encoder import try_device
        from hilserl_envs.learning.load_policy import (
            check_sampling,
            choose_checkpoint,
            open_run,
            read_weights,
        )

        run = open_run(folder, task)
        if overseer is not None:
            overseer = {**(run.settings.overseer or {}), **overseer}
        if "intervention" in settings:
            settings["intervention"] = {
                **run.settings.env.get("intervention", {}),
                **settings["intervention"],
            }
        super().__init__(task, str(folder), overseer=overseer, **{**run.settings.env, **settings})
        try_device(torch_device)
        check_sampling(run, sample)
        self._run, self._sample, self._torch_device = run, sample, torch_device
        checkpoint = choose_checkpoint(run, checkpoint)
        self._weights, trained = read_weights(run, checkpoint)
        if run.settings.obs == "pixels":
            self.worth_a_worker = 5
        self.name = f"{folder} ({checkpoint}{', sampled' if sample else ''})"
        self.about |= {"checkpoint": checkpoint, "sample": sample, "algorithm": run.settings.algorithm}
        self.about["trained"] = {name: trained[name] for name in ("updates", "steps", "seconds")}

    def _make_env(self, arguments: Mapping[str, Any]) -> gymnasium.Env:
        env_id(self._made_as)  # maybe with a module to import, in this process too
        return self._run.settings.make_env(watched=False, **arguments)

    def _make_policy(self, env: gymnasium.Env) -> Policy:
        from hilserl_envs.learning.load_policy import build_policy, check_env

        check_env(self._run, env)
        return build_policy(self._run, self._weights, self._sample, self._torch_device)


def make_candidate(task: str, policy: str, **settings: Any) -> Candidate:
    """A candidate by name: "expert", "random", or the folder of a run.

    Raises:
        ConfigError: there is no such policy or task; see `RunCandidate`.
    """
    if policy in POLICIES:
        return NamedCandidate(task, policy, **settings)
    if not Path(policy).is_dir():
        try:
            check_name(policy, POLICIES, "policy")
        except ConfigError as error:
            raise ConfigError(f"{error}, or the folder of a run, but there is no folder {policy!r}") from None
    return RunCandidate(task, policy, **settings)
