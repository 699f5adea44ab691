"""`Monitor`: reads out of a run's folder how it goes, while others write into it."""

from __future__ import annotations

import heapq
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from hilserl_envs.learning.learner import RECENT
from hilserl_envs.learning.replay import has_ended, is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.episode import EpisodeInfo
from hilserl_envs.recording.files import META

_OF_THE_LINE = ("updates", "steps", "seconds", "updates_per_second", "lag_seconds")
_LOSSES = ("critic_loss", "bc_loss")


@dataclass(frozen=True)
class Progress:
    """How a run goes. What is not known (yet) is None.

    Rates, times and rewards are means over the last 20 episodes that ended, or those there are.

    Args:
        episodes: that ended by themselves.
        steps: of the environment so far; updates, where nobody acts.
        seconds: wall-clock time, all sessions of the run together [s].
        success_rate: share of episodes.
        unaided_success_rate: share of episodes that succeeded without any intervention.
        intervention_rate: share of an episode's steps.
        cycle_time: robot time of the successes [s].
        total_reward: undiscounted sum of an episode's.
        updates: made by the learner.
        updates_per_second: lately.
        lag_seconds: by which the learner is behind the actor.
        metrics: of the agent by name, such as "q", "critic_loss" or "entropy".
    """

    episodes: int = 0
    steps: int = 0
    seconds: float = 0.0
    success_rate: float | None = None
    unaided_success_rate: float | None = None
    intervention_rate: float | None = None
    cycle_time: float | None = None
    total_reward: float | None = None
    updates: int = 0
    updates_per_second: float | None = None
    lag_seconds: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def q(self) -> float | None:
        """The critics' mean value."""
        return self.metrics.get("q")

    @property
    def loss(self) -> float | None:
        """The critics' loss, or that of imitation."""
        return next((self.metrics[name] for name in _LOSSES if name in self.metrics), None)

    def line(self) -> str:
        """All of it that fits into one line of a terminal; what is not known is left out."""
        figures = (
            ("success {:.0%}", self.success_rate),
            ("alone {:.0%}", self.unaided_success_rate),
            ("interventions {:.0%}", self.intervention_rate),
            ("cycle {:.1f} s", self.cycle_time),
            ("Q {:.2f}", self.q),
            ("loss {:.1e}", self.loss),
            ("{:.0f} updates/s", self.updates_per_second),
            ("lag {:.1f} s", self.lag_seconds),
        )
        known = [text.format(value) for text, value in figures if value is not None]
        return ", ".join(known) or "nothing to tell yet"

    def scalars(self, since: Progress | None = None) -> dict[str, float]:
        """What a tracker follows, by tag: "episode/success_rate", "learner/q", ...

        Args:
            since: leave out episodes and learner where nothing is new since then.
        """
        tags: dict[str, float | None] = {}
        if since is None or since.episodes != self.episodes:
            tags |= {
                "episode/success_rate": self.success_rate,
                "episode/unaided_success_rate": self.unaided_success_rate,
                "episode/intervention_rate": self.intervention_rate,
                "episode/cycle_time_s": self.cycle_time,
                "episode/total_reward": self.total_reward,
            }
        if since is None or since.updates != self.updates:
            tags |= {
                "learner/updates_per_second": self.updates_per_second,
                "learner/lag_s": self.lag_seconds,
                **{f"learner/{name}": value for name, value in self.metrics.items()},
            }
        return {tag: value for tag, value in tags.items() if value is not None}


@dataclass(frozen=True)
class EpisodeHistory:
    """The N episodes of a run that ended by themselves, in order.

    Args:
        steps: (N,) of the environment, at the end of each.
        seconds: (N,) wall-clock time of the run, at the end of each [s].
        success: (N,) 0 or 1.
        unaided: (N,) 1 for a success without any intervention, else 0.
        intervention_rate: (N,) share of its steps.
        cycle_time: (N,) robot time of a success [s]; NaN for all else.
    """

    steps: np.ndarray
    seconds: np.ndarray
    success: np.ndarray
    unaided: np.ndarray
    intervention_rate: np.ndarray
    cycle_time: np.ndarray


class Monitor:
    """Follows a run from outside; a look costs little, so take one a second.

    Nothing of the run needs to be there yet. Of a run that went back to a checkpoint it sees
    what holds now.

    Args:
        run: its folder.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self._stores: dict[Path, EpisodeStore] = {}
        self._log = _LearnerLog(run.learner_log)

    def look(self) -> Progress:
        """How the run goes now.

        Raises:
            RecordingError: the run's episodes are damaged.
        """
        self._log.refresh()
        for folder in self.run.experience:
            if folder in self._stores:
                self._stores[folder].refresh()
            elif (folder / META).exists():
                self._stores[folder] = EpisodeStore(folder)
        line = self._log.last()
        usable, seconds = self._usable()
        episodes = [episode for episode in usable if has_ended(episode)]
        recent = episodes[-RECENT:]
        acts = self.run.settings.acts
        return Progress(
            episodes=len(episodes),
            steps=sum(episode.steps for episode in usable) if acts else int(line.get("updates", 0)),
            seconds=float(seconds[-1]) if len(seconds) else line.get("seconds", 0.0),
            success_rate=_mean([episode.success for episode in recent]),
            unaided_success_rate=_mean([_unaided(episode) for episode in recent]),
            intervention_rate=_mean([_share(episode) for episode in recent]),
            cycle_time=_mean([episode.steps * self._step_seconds for episode in recent if episode.success]),
            total_reward=_mean([episode.total_reward for episode in recent]),
            updates=int(line.get("updates", 0)),
            updates_per_second=line.get("updates_per_second"),
            lag_seconds=line.get("lag_seconds") if acts else None,
            metrics={name: value for name, value in line.items() if name not in _OF_THE_LINE},
        )

    def episodes(self) -> EpisodeHistory:
        """All episodes up to the last look."""
        usable, seconds = self._usable()
        ended = np.array([has_ended(episode) for episode in usable], bool)
        episodes = [episode for episode in usable if has_ended(episode)]
        times = [e.steps * self._step_seconds if e.success else math.nan for e in episodes]
        return EpisodeHistory(
            steps=np.cumsum([episode.steps for episode in usable], dtype=np.int64)[ended],
            seconds=seconds[ended],
            success=np.array([episode.success for episode in episodes], float),
            unaided=np.array([_unaided(episode) for episode in episodes], float),
            intervention_rate=np.array([_share(episode) for episode in episodes], float),
            cycle_time=np.array(times, float),
        )

    def learner(self) -> dict[str, np.ndarray]:
        """The learner's metrics up to the last look: a column (M,) by name, NaN where it said nothing."""
        return {name: np.array(column, float) for name, column in self._log.columns.items()}

    def demonstrations_cycle_time(self) -> float | None:
        """Mean robot time of the run's demonstrations that succeed [s]; None without any."""
        if not self.run.settings.demonstrations:
            return None
        store = EpisodeStore(self.run.demonstrations)
        steps = _mean([e.steps for e in store.episodes if e.kept and e.success])
        return None if steps is None else steps * _step_seconds(store)

    @property
    def _step_seconds(self) -> float:
        return _step_seconds(next(iter(self._stores.values())))

    def _usable(self) -> tuple[list[EpisodeInfo], np.ndarray]:
        """The episodes that count, as they ended, and the run's wall-clock time at each end (N,) [s].

        The time between two sessions is left out, and so is what was spent on episodes that
        were made again.
        """
        timed = list(heapq.merge(*map(_timed, self._stores.values()), key=lambda part: part[2]))
        if not timed:
            return [], np.empty(0)
        episodes, start, ended = zip(*timed, strict=True)
        # Several robots act at the same time.
        start = np.maximum(start, [0.0, *ended[:-1]])
        return list(episodes), np.cumsum(np.maximum(ended - start, 0.0))  # a clock may be set back


class _LearnerLog:
    """The learner's lines, read once each; of updates that were made twice after a kill, the later.

    Attributes:
        columns: values by name, of each line; NaN where it said nothing.
    """

    def __init__(self, path: Path):
        self._path, self._read = path, 0
        self.columns: dict[str, list[float]] = {"updates": []}

    def refresh(self) -> None:
        """See what was written since."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read)
                lines = file.read().split(b"\n")[:-1]  # what has no end yet is read once it has
        except FileNotFoundError:
            return
        for line in lines:
            self._read += len(line) + 1
            try:
                values = json.loads(line)
                self._add(values, int(values["updates"]))
            except (ValueError, TypeError, KeyError):
                continue  # torn by a kill

    def last(self) -> dict[str, float]:
        """The newest line; empty before the first."""
        if not self.columns["updates"]:
            return {}
        return {name: column[-1] for name, column in self.columns.items() if not math.isnan(column[-1])}

    def _add(self, values: Mapping[str, float], updates: int) -> None:
        count = bisect_left(self.columns["updates"], updates)
        for name in values:
            if name not in self.columns:
                self.columns[name] = [math.nan] * count
        for name, column in self.columns.items():
            del column[count:]
            column.append(values.get(name, math.nan))


def _unaided(episode: EpisodeInfo) -> bool:
    return episode.success and not episode.interventions


def _share(episode: EpisodeInfo) -> float:
    return episode.interventions / max(episode.steps, 1)


def _timed(store: EpisodeStore) -> list[tuple[EpisodeInfo, float, float]]:
    """The episodes of a store that count, each with when it, or else its session, began and ended."""
    episodes = [episode for episode in store.episodes if is_usable(episode)]
    opened = np.array([datetime.fromisoformat(s["opened"]).timestamp() for s in store.sessions])
    began = np.array([episode.began for episode in episodes])
    ended = store.records["time"][[episode.first + episode.steps for episode in episodes]]
    session = np.searchsorted(opened, began, side="right") - 1
    start = np.maximum(opened[np.maximum(session, 0)], np.concatenate([[0.0], ended[:-1]]))
    return list(zip(episodes, start.tolist(), ended.tolist(), strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _step_seconds(store: EpisodeStore) -> float:
    return 1.0 / (store.meta.get("fps") or 10)
