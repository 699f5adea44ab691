"""`Learner`: turns demonstrations and experience into weights."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from hilserl_envs.learning.agent import Agent
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.bc import BehaviourCloning
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.replay import Replay, Sampler
from hilserl_envs.learning.run_folder import RunFolder, load_tensors, save_tensors
from hilserl_envs.learning.sac import SAC
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.files import META

RECENT = 20  # episodes that rates are means over, as in the paper
_AGENTS = {"sac": SAC, "bc": BehaviourCloning, "hg-dagger": BehaviourCloning}
_LOG_EVERY = 25  # updates


class Learner:
    """The learner's side of a run. One that was killed goes on from its last checkpoint.

    Args:
        run: its folder.
        device: of the agent and the encoder.

    Attributes:
        agent: what learns.
        encoder: of the images, None where there are none.
        sampler: of the batches it learns from.

    Raises:
        ConfigError: the demonstrations lack something that the policy shall see.
        LearningError: a damaged checkpoint.
    """

    def __init__(self, run: RunFolder, device: str = "cpu"):
        self._run, self._settings, self._device = run, run.settings, device
        self._began = time.monotonic()
        settings = self._settings
        self.encoder = settings.make_encoder(device)
        self.agent = make_agent(run, self.encoder, device)
        self._demonstrations = None
        if settings.demonstrations:
            self._demonstrations = self._open(run.demonstrations)
            self._demonstrations.refresh()
        self._online: Replay | None = None
        self.sampler = self._make_sampler()
        self._waiting, self._normalised = 0, False
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._best = -1.0
        if (path := run.checkpoint()).exists():
            tensors, meta = load_tensors(path)
            self.agent.load_state(tensors)
            self.sampler.state = meta["sampler"]
            self._began -= meta["seconds"]
            self._best, self._normalised = meta["best"], meta["normalised"]
        self._logged = self.agent.updates, self.seconds
        self.refresh()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run so far, its earlier sessions included [s]."""
        return time.monotonic() - self._began

    @property
    def steps(self) -> int:
        """Transitions of the run's own experience that it knows of."""
        return 0 if self._online is None else self._online.total

    @property
    def due(self) -> int:
        """Updates that the experience so far calls for, those made included."""
        return max(0, int((self.steps - self._settings.training_starts) * self._updates_per_step))

    def refresh(self, limit: int | None = None) -> int:
        """See what the actor wrote since; returns how many frames are not encoded yet.

        Args:
            limit: frames that are encoded now at most.
        """
        if self._online is None and self._settings.acts and (self._run.replay / META).exists():
            self._online = self._open(self._run.replay)
            state = self.sampler.state
            self.sampler = self._make_sampler()
            self.sampler.state = state
        if self._online is not None:
            self._waiting = self._online.refresh(limit)
        return self._waiting

    def update(self) -> None:
        """One update of everything.

        Raises:
            LearningError: a loss is not finite. The checkpoints are as they were.
        """
        if not self._normalised:
            known = self._demonstrations or self._online
            self.agent.normalise(*known.statistics())
            self._normalised = True
        batches = [self.sampler.sample() for _ in range(self._settings.agent.cta_ratio)]
        for name, value in self.agent.update(batches).items():
            self._sums[name].append(value)
        if self.agent.updates % _LOG_EVERY == 0:
            self._log()

    def catch_up(self) -> None:
        """All updates that are due, each after the experience that came before it."""
        self.refresh()
        while self.agent.updates < self.due:
            self.update()

    def publish(self) -> None:
        """Hand the policy, as it is, to the actor."""
        meta = {"updates": self.agent.updates, "steps": self.steps, "time": time.time()}
        save_tensors(self._run.policy, self.agent.published_state(), meta, durable=False)

    def checkpoint(self) -> None:
        """Save all that is needed to go on from here, and as "best" if no earlier one was better.

        Raises:
            LearningError: no room; the last checkpoint is as it was.
        """
        if self._sums:
            self._log()
        meta = {
            "updates": self.agent.updates,
            "steps": self.steps,
            "episodes": self.episodes,
            "seconds": self.seconds,
            "sampler": self.sampler.state,
            "normalised": self._normalised,
            "success_rate": (rate := self._success_rate()),
        }
        better = rate is not None and rate >= self._best
        meta["best"] = self._best = max(self._best, rate) if better else self._best
        for name in ("last", "best") if better else ("last",):
            save_tensors(self._run.checkpoint(name), self.agent.state(), meta)

    @property
    def episodes(self) -> int:
        """Episodes begun in the run's own store, of any fate."""
        begun = [] if self._online is None else self._online.store.episodes
        return 1 + begun[-1].number if begun else 0

    def _success_rate(self) -> float | None:
        """Share of the last episodes that succeeded without help; None before there are enough."""
        if not self._settings.acts:
            return 0.0  # the last one is the best
        ended = [] if self._online is None else [e for e in self._online.store.episodes if e.kept]
        alone = [e.success and not e.interventions for e in ended[-RECENT:]]
        return float(np.mean(alone)) if len(alone) == RECENT else None

    def _log(self) -> None:
        updates, seconds = self._logged
        self._logged = self.agent.updates, self.seconds
        self._run.log(
            {
                "updates": self.agent.updates,
                "steps": self.steps,
                "seconds": self.seconds,
                "updates_per_second": (self.agent.updates - updates) / (self.seconds - seconds),
                "lag_seconds": self._lag(),
                **{name: float(np.mean(values)) for name, values in self._sums.items()},
            }
        )
        self._sums.clear()

    def _lag(self) -> float:
        """Age of the oldest step that it has not learned from as often as it should [s]."""
        if self._online is None or not len(self._online):
            return 0.0
        missing = self._waiting + (self.due - self.agent.updates) / self._updates_per_step
        if missing < 1:
            return 0.0
        times = self._online.store.records["time"]
        return max(0.0, time.time() - float(times[max(0, len(times) - int(missing))]))

    @property
    def _updates_per_step(self) -> float:
        return self._settings.utd_ratio / self._settings.agent.cta_ratio

    def _make_sampler(self) -> Sampler:
        settings = self._settings
        return Sampler(
            self._demonstrations,
            self._online,
            settings.agent.batch_size,
            settings.seed,
            self._device,
            imitate=settings.algorithm != "sac",
            interventions=settings.interventions,
        )

    def _open(self, folder: Path) -> Replay:
        run, settings, store, features = self._run, self._settings, EpisodeStore(folder), None
        own = folder == run.replay
        # Demonstrations are all used, however many.
        capacity, cached = (
            (settings.replay_capacity, settings.cached_frames) if own else 2 * (len(store.records),)
        )
        if self.encoder is not None:
            path = run.features / f"{folder.name}.bin"
            features = FeatureCache(
                path, self.encoder, run.inputs.cameras, settings.crops, cached, settings.seed
            )
        return Replay(
            store,
            run.inputs,
            run.layout,
            settings.agent.gripper_penalty,
            features,
            capacity,
            demonstrations=not own,
        )


def make_agent(run: RunFolder, encoder: ImageEncoder | None, device: str = "cpu") -> Agent:
    """The run's agent as it began, for features of that encoder."""
    parts, settings = ActionParts(run.layout), run.settings
    maps = (
        {} if encoder is None else {k: encoder.feature_shape(*s[:2]) for k, s in run.inputs.cameras.items()}
    )
    return _AGENTS[settings.algorithm](
        run.inputs.state_size,
        maps,
        len(parts.motions),
        len(parts.grippers),
        settings.agent,
        settings.seed,
        device,
    )
