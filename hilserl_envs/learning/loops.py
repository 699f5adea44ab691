"""The loops of a run: both sides in one process, in turns, or each in a process of its own."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.actor import Actor, PublishedPolicy, redo_from
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors

IDLE = 0.005  # between two looks at what the other side does [s]
ENCODED_AT_ONCE = 4  # frames between two updates
FIRST_LOOK = 0.1  # between two looks for a first policy [s]
SAY_AFTER = 10.0  # without one, that there is none yet [s]


@dataclass(frozen=True)
class Budget:
    """When a run is over, or is told to stop.

    Args:
        steps: of the environment (updates, where nobody acts); None for no limit.
        stop: asked again and again whether to stop now.
    """

    steps: int | None = None
    stop: Callable[[], bool] = lambda: False

    def spent(self, steps: int) -> bool:
        """Whether it is over after so many."""
        return self.stop() or (self.steps is not None and steps >= self.steps)


def run_in_turns(run: RunFolder, budget: Budget, device: str = "cpu", view: str = "none") -> None:
    """Both sides in one process: the same run to the bit from the same seed, whatever interrupts it.

    After a kill it goes on from its last checkpoint: the episodes after that are made again.

    Args:
        run: its folder.
        budget: the episode at its end is finished.
        device: of the agent.
        view: see `Actor`.

    Raises:
        ConfigError: another process is a side of this run.
    """
    # On a GPU some gradients of convolutions are added up in any order else.
    torch.backends.cudnn.deterministic = True
    with _holding(run, "learner", "actor"):
        path, settings = run.checkpoint(), run.settings
        redo_from(run, load_tensors(path)[1]["episodes"] if path.exists() else 0)
        learner = Learner(run, device)
        if not settings.acts:
            _imitate(learner, budget, settings.checkpoint_seconds)
            return
        policy = LearnedPolicy(
            learner.agent.policy, run.inputs, ActionParts(run.layout), learner.encoder,
            sample=settings.algorithm == "sac", device=device, critic=learner.agent.value,
        )  # fmt: skip
        actor = Actor(run, policy, view)

        def after_step() -> bool:
            learner.catch_up()
            budget.stop()  # looks at how it goes; the episode is finished all the same
            return False

        try:
            if not path.exists():
                learner.checkpoint()
            over = budget.spent(learner.steps)
            while not over:
                actor.run_episode(after_step)
                learner.catch_up()  # the step that ended it
                over = budget.spent(learner.steps)
                if over or actor.episodes % settings.checkpoint_episodes == 0:
                    learner.checkpoint()
                    learner.publish()
        finally:
            actor.close()


def run_learner(run: RunFolder, budget: Budget, device: str = "cpu") -> None:
    """The learner's side, until all updates are made that the steps call for.

    Raises:
        ConfigError: another process is the run's learner.
    """
    settings = run.settings
    with _holding(run, "learner"):
        learner = Learner(run, device)
        if not settings.acts:
            _imitate(learner, budget, settings.checkpoint_seconds)
            return
        learner.publish()
        saved = time.monotonic()
        while not budget.stop():
            waiting = learner.refresh(ENCODED_AT_ONCE)
            if learner.agent.updates < learner.due:
                learner.update()
                if learner.agent.updates % settings.steps_per_publish == 0:
                    learner.publish()
            elif budget.spent(learner.steps) and not waiting:
                break
            elif not waiting and not learner.renew_crops():
                time.sleep(IDLE)
            if time.monotonic() - saved > settings.checkpoint_seconds:
                learner.checkpoint()
                saved = time.monotonic()
        learner.checkpoint()
        learner.publish()


def _imitate(learner: Learner, budget: Budget, checkpoint_seconds: float) -> None:
    saved = time.monotonic()
    while not budget.spent(learner.agent.updates):
        learner.update()
        if time.monotonic() - saved > checkpoint_seconds:
            learner.checkpoint()
            saved = time.monotonic()
    learner.checkpoint()
    learner.publish()


def run_actor(
    run: RunFolder, budget: Budget, view: str = "none", of_all: Callable[[int], int] = lambda steps: steps
) -> None:
    """The actor's side: waits for a first policy, then acts until the steps are made.

    Args:
        run: its folder.
        budget: the episode at its end is finished.
        view: see `Actor`.
        of_all: told how many steps this actor has made, answers how many all actors of the run have.

    Raises:
        ConfigError: another process is the run's actor, or it is a run in which nobody acts.
    """
    settings = run.settings
    if not settings.acts:
        raise ConfigError(f"{run.path} is a run of {settings.algorithm!r}, which has no actor")
    with _holding(run, "actor"):
        policy = PublishedPolicy(run, settings.make_encoder())
        if not _wait_for(policy, budget):
            return
        actor = Actor(run, policy, view)

        def made() -> int:
            return of_all(actor.steps)

        def after_step() -> bool:
            policy.refresh()
            # Steps that nobody will learn from any more wait for nothing.
            while settings.patient and not budget.spent(made()) and made() > _allowed(policy, run):
                time.sleep(IDLE)
                policy.refresh()
            return budget.stop()

        try:
            while not budget.spent(made()):
                actor.run_episode(after_step)
        finally:
            actor.close()


@contextlib.contextmanager
def _holding(run: RunFolder, *sides: str) -> Iterator[None]:
    """Being those sides of the run, and nobody else is."""
    with contextlib.ExitStack() as held:
        for side in sides:
            held.callback(run.hold(side))
        yield


def _wait_for(policy: PublishedPolicy, budget: Budget) -> bool:
    """Wait for a first policy; returns whether there is one, or else it is time to stop."""
    told, began = False, time.monotonic()
    while not budget.stop():
        try:
            if policy.refresh():
                return True
            if not told and time.monotonic() - began > SAY_AFTER:
                print("the actor waits for the learner's first policy", file=sys.stderr, flush=True)
                told = True
        except LearningError as error:
            # After a power failure: the learner writes another when it starts.
            if not told:
                print(f"{error}; waiting for the learner's next", file=sys.stderr)
            told = True
        time.sleep(FIRST_LOOK)
    return False


def _allowed(policy: PublishedPolicy, run: RunFolder) -> float:
    """Steps that an actor may have made, by what the learner has published."""
    settings = run.settings
    steps_per_update = settings.agent.cta_ratio / settings.utd_ratio
    learned = policy.meta["updates"] * steps_per_update
    # Without enough steps for its next publication the learner would wait for the actor, too.
    lead = max(settings.max_lead, settings.steps_per_publish * steps_per_update + 1)
    return settings.training_starts + learned + lead
