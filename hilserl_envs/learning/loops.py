"""The loops of a run: both sides in one process, in turns, or each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hilserl_envs.learning.actor import Actor, PublishedPolicy, redo_from
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder, load_tensors

IDLE = 0.005  # between two looks at what the other side does [s]
ENCODED_AT_ONCE = 4  # frames between two updates


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
    """
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
    try:
        if not path.exists():
            learner.checkpoint()
        number = learner.episodes
        while not budget.spent(learner.steps):
            actor.run_episode(lambda: learner.catch_up() or budget.stop())
            learner.catch_up()  # the step that ended it
            if budget.stop():
                break  # without a checkpoint: the episode is made again, as a whole
            number += 1
            if number % settings.checkpoint_episodes == 0 or budget.spent(learner.steps):
                learner.checkpoint()
                learner.publish()
    finally:
        actor.close()


def run_learner(run: RunFolder, budget: Budget, device: str = "cpu") -> None:
    """The learner's side, until all updates are made that the steps call for."""
    settings, release = run.settings, run.hold("learner")
    try:
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
            elif not waiting:
                time.sleep(IDLE)
            if time.monotonic() - saved > settings.checkpoint_seconds:
                learner.checkpoint()
                saved = time.monotonic()
        learner.checkpoint()
        learner.publish()
    finally:
        release()


def _imitate(learner: Learner, budget: Budget, checkpoint_seconds: float) -> None:
    saved = time.monotonic()
    while not budget.spent(learner.agent.updates):
        learner.update()
        if time.monotonic() - saved > checkpoint_seconds:
            learner.checkpoint()
            saved = time.monotonic()
    learner.checkpoint()
    learner.publish()


def run_actor(run: RunFolder, budget: Budget, view: str = "none") -> None:
    """The actor's side: waits for a first policy, then acts until the steps are made."""
    settings, release = run.settings, run.hold("actor")
    try:
        policy = PublishedPolicy(run, settings.make_encoder())
        while not policy.refresh():
            if budget.stop():
                return
            time.sleep(0.1)
        # A robot in the world does not wait, nor does a person; the twin can.
        patient = settings.env.get("robot", "twin") == "twin"
        actor = Actor(run, policy, view)

        def after_step() -> bool:
            policy.refresh()
            while patient and not budget.stop() and actor.steps > _allowed(policy, run):
                time.sleep(IDLE)
                policy.refresh()
            return budget.stop()

        try:
            while not budget.spent(actor.steps):
                actor.run_episode(after_step)
        finally:
            actor.close()
    finally:
        release()


def _allowed(policy: PublishedPolicy, run: RunFolder) -> float:
    """Steps that an actor may have made, by what the learner has published."""
    settings = run.settings
    learned = policy.meta["updates"] * settings.agent.cta_ratio / settings.utd_ratio
    return settings.training_starts + learned + settings.max_lead
