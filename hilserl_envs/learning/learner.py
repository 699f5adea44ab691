"""`Learner`: turns demonstrations and experience into weights."""

from __future__ import annotations

import functools
import heapq
import operator
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from hilserl_envs.learning.agent import Agent
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.bc import BehaviourCloning
from hilserl_envs.learning.caches import open_cache
from hilserl_envs.learning.encoder import DTYPES, ImageEncoder, try_device
from hilserl_envs.learning.fresh_crops import FreshCrops
from hilserl_envs.learning.recropping import Recropping
from hilserl_envs.learning.replay import Replay, has_ended
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.run_settings import NO_ENCODER
from hilserl_envs.learning.sac import SAC
from hilserl_envs.learning.sampler import Sampler
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
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
        encoder: of the images, None where there is none.
        sampler: of the batches it learns from.

    Raises:
        ConfigError: the demonstrations lack something that the policy shall see.
        LearningError: a damaged checkpoint.
    """

    def __init__(self, run: RunFolder, device: str = "cpu"):
        self._run, self._settings, self._device = run, run.settings, device
        self._began = time.monotonic()
        settings = self._settings
        try_device(device)
        self.encoder = settings.make_encoder(device)
        self.agent = make_agent(run, self.encoder, device)
        self._demonstrations = None
        if settings.demonstrations:
            self._demonstrations = self._open(run.demonstrations)
            self._demonstrations.refresh()
        self._online: dict[Path, Replay] = {}  # by the folder of their store
        self.sampler = self._make_sampler()
        self._waiting, self._normalised = 0, False
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._best, self._judged = -1.0, 0  # success rate, and episodes that had ended by then
        if (path := run.checkpoint()).exists():
            tensors, meta = load_tensors(path)
            self.agent.load_state(tensors)
            self.sampler.state = meta["sampler"]
            self._began -= meta["seconds"]
            self._best, self._judged = meta["best"], meta.get("judged", 0)
            self._normalised = meta["normalised"]
        # Four numbers, the last above 0: no frame's first crops are drawn from the same.
        self._recropping = Recropping([settings.seed, 5, 0, 1 + self.agent.updates])
        self._logged = self.agent.updates, self.seconds
        self.refresh()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run so far, its earlier sessions included [s]."""
        return time.monotonic() - self._began

    @property
    def steps(self) -> int:
        """Transitions of the run's own experience that it knows of."""
        return sum(replay.total for replay in self._online.values())

    @property
    def due(self) -> int:
        """Updates that the experience so far calls for, those made included."""
        return max(0, int((self.steps - self._settings.training_starts) * self._updates_per_step))

    def refresh(self, limit: int | None = None) -> int:
        """See what the actors wrote since; returns how many frames are not encoded yet.

        Args:
            limit: frames that are encoded now at most.
        """
        stores = [f for f in self._run.experience if (f / META).exists()] if self._settings.acts else []
        if len(stores) > len(self._online):
            known = self._online
            self._online = {f: known[f] if f in known else self._open(f) for f in stores}
            state = self.sampler.state
            self.sampler = self._make_sampler()
            self.sampler.state = state
        if self._online:
            share = None if limit is None else max(1, limit // len(self._online))
            self._waiting = sum(replay.refresh(share) for replay in self._online.values())
        return self._waiting

    def update(self) -> None:
        """One update of everything.

        Raises:
            LearningError: a loss is not finite. The checkpoints are as they were.
        """
        if not self._normalised:
            known = self._demonstrations or max(self._online.values(), key=len)
            self.agent.normalise(*known.statistics())
            self._normalised = True
        self.agent.returns = functools.reduce(operator.or_, (replay.returns for replay in self._replays))
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

    def renew_crops(self) -> bool:
        """Other crops for one stored frame, if the run has use for any; returns whether it has."""
        if self.encoder is None or self._settings.crops_at_update or not self._settings.renew_crops:
            return False
        return self._recropping.step(self._replays, self.agent.updates)

    @property
    def _replays(self) -> list[Replay]:
        shown = [] if self._demonstrations is None else [self._demonstrations]
        return [*shown, *self._online.values()]

    def publish(self) -> None:
        """Hand the policy, as it is, to the actors."""
        meta = {"updates": self.agent.updates, "steps": self.steps, "time": time.time()}
        save_tensors(self._run.policy, self.agent.published_state(), meta, durable=False)

    def checkpoint(self) -> None:
        """Save all that is needed to go on from here, and as "best" if no earlier one was better.

        "Best" goes by the episodes that ended: without a new one it stays.

        Raises:
            LearningError: no room; the last checkpoint is as it was.
        """
        if self._sums:
            self._log()
        rate, ended = self._success_rate()
        meta = {
            "updates": self.agent.updates,
            "steps": self.steps,
            "episodes": self.episodes,
            "seconds": self.seconds,
            "sampler": self.sampler.state,
            "normalised": self._normalised,
            "success_rate": rate,
        }
        better = rate is not None and rate >= self._best and (ended > self._judged or not self._settings.acts)
        self._judged = meta["judged"] = ended
        meta["best"] = self._best = rate if better else self._best
        # The last one last: it is what says that there is a best as good as that.
        for name in ("best", "last") if better else ("last",):
            save_tensors(self._run.checkpoint(name), self.agent.state(), meta)

    @property
    def episodes(self) -> int:
        """Episodes begun in `replay`, of any fate: with several actors no run can be made again."""
        own = self._online.get(self._run.replay)
        begun = [] if own is None else own.store.episodes
        return 1 + begun[-1].number if begun else 0

    def _success_rate(self) -> tuple[float | None, int]:
        """Share of the last episodes that succeeded without help, None before there are enough.

        And how many episodes have ended by now.
        """
        if not self._settings.acts:
            return 0.0, 0  # the last one is the best
        stores = [
            [episode for episode in replay.store.episodes if episode.kept and has_ended(episode)]
            for replay in self._online.values()
        ]
        ended = list(heapq.merge(*stores, key=lambda episode: episode.began))
        alone = [e.success and not e.interventions for e in ended[-RECENT:]]
        return float(np.mean(alone)) if len(alone) == RECENT else None, len(ended)

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
        missing = int(self._waiting + (self.due - self.agent.updates) / self._updates_per_step)
        stores = [replay.store for replay in self._online.values() if len(replay)]
        if missing < 1 or not stores:
            return 0.0
        times = np.sort(np.concatenate([store.records["time"][-missing:] for store in stores]))
        return max(0.0, time.time() - float(times[max(0, len(times) - missing)]))

    @property
    def _updates_per_step(self) -> float:
        return self._settings.utd_ratio / self._settings.agent.cta_ratio

    def _make_sampler(self) -> Sampler:
        settings = self._settings
        return Sampler(
            self._demonstrations,
            list(self._online.values()),
            settings.agent.batch_size,
            settings.seed,
            self._device,
            imitate=settings.algorithm != "sac",
            interventions=settings.interventions,
        )

    def _open(self, folder: Path) -> Replay:
        run, settings, store = self._run, self._settings, EpisodeStore(folder)
        own = folder != run.demonstrations
        robots = len(run.experience)  # who share the places
        # Demonstrations are all used, however many.
        capacity, cached = (
            (settings.replay_capacity // robots, settings.cached_frames // robots)
            if own
            else 2 * (len(store.records),)
        )
        path = run.features / f"{folder.relative_to(run.path)}.bin"
        return Replay(
            store,
            run.inputs,
            run.layout,
            settings.agent.gripper_penalty,
            open_cache(path, settings, self.encoder, run.inputs.cameras, cached),
            capacity,
            demonstrations=not own,
        )


def make_agent(run: RunFolder, encoder: ImageEncoder | None, device: str = "cpu") -> Agent:
    """The run's agent as it began, for features of that encoder, or for images where there is none."""
    parts, settings = ActionParts(run.layout), run.settings
    agent = _AGENTS[settings.algorithm](
        run.inputs.state_size,
        {
            camera: (3, height, width) if encoder is None else encoder.feature_shape(height, width)
            for camera, (height, width, _) in run.inputs.cameras.items()
        },
        len(parts.motions),
        len(parts.grippers),
        settings.agent,
        settings.seed,
        device,
        cnn=DTYPES[settings.encoder_dtype] if settings.encoder == NO_ENCODER else None,
    )
    if settings.crops_at_update:
        agent.fresh_crops = FreshCrops(encoder)
    return agent
