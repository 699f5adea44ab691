"""`Actor`: acts in the run's environment, and records what happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from hilserl_envs.errors import DivergedError
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.learner import make_agent
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.replay import has_ended
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, RecordEpisodes
from hilserl_envs.recording.files import META
from hilserl_envs.recording.session import Outcome, Session
from hilserl_envs.wrappers import LiveView

REDONE = "made again after a kill"  # why an episode is not kept


class Actor:
    """The actor's side of a run. One that was killed goes on with the next episode.

    Args:
        run: its folder.
        policy: what acts.
        view: live view, see `LiveView`.
        image_format: of the recording, "png" (lossless), "raw" or "jpeg".

    Attributes:
        env: the run's environment, recorded.
        episodes: so far, of any fate, those of earlier sessions included.
        steps: of those that count.
    """

    def __init__(self, run: RunFolder, policy: LearnedPolicy, view: str = "none", image_format: str = "png"):
        self._run = run
        before = EpisodeStore(run.replay).episodes if (run.replay / META).exists() else []
        before = [episode for episode in before if episode.why != REDONE]
        self.episodes = len(before)
        self.steps = sum(episode.steps for episode in before if episode.kept or not episode.finished)
        env = run.settings.make_env()
        try:
            if run.settings.overseer is not None:
                ended = [episode for episode in before if episode.kept and has_ended(episode)]
                env.get_wrapper_attr("remember")([e.success and not e.interventions for e in ended])
            env = LiveView(ShowValue(env, policy), view)
            self.env = RecordEpisodes(env, run.replay, "all", image_format, session={"command": "train"})
        except BaseException:
            env.close()
            raise
        self._session = Session(self.env, policy=policy, waits=run.settings.wait)
        self._kept: list[int] = []  # steps of the episodes of this session that count

    def run_episode(self, after_step: Callable[[], bool] = lambda: False) -> Outcome:
        """One episode.

        Args:
            after_step: called after every step; if it answers True, the episode stops there.
        """
        # From the run's seed and the episode's number alone: a run that was killed goes on with
        # the episodes that it would have had.
        seed = int(np.random.SeedSequence([self._run.settings.seed, self.episodes]).generate_state(1)[0])

        before, recorded = self.steps, self.env.recorded

        def stepped() -> bool:
            self.steps = before + self._session.steps
            return after_step()

        try:
            outcome = self._session.run_episode(seed >> 1, stepped)
            if outcome == Outcome.DISCARDED:
                self.env.discard()
            elif outcome == Outcome.PREVIOUS_DISCARDED:
                self.env.end_if_open("not begun", kept=False)
                before -= self._kept.pop() if self.env.take_back() else 0
            elif outcome == Outcome.STOPPED:
                self.env.end_if_open("stopped")
        except DivergedError as error:  # the next reset teleports
            print(f"an episode is left out: {error}", file=sys.stderr)
            if self.env.recorded > recorded:
                self.env.discard("the simulation diverged")
            outcome = Outcome.DISCARDED
        self.steps = before
        if outcome not in (Outcome.DISCARDED, Outcome.PREVIOUS_DISCARDED):
            self.steps += self._session.steps
            self._kept.append(self._session.steps)
        self.episodes += self.env.recorded - recorded
        return outcome

    def close(self) -> None:
        """Let go of the robot and the recording."""
        self.env.close()


class ShowValue(gymnasium.Wrapper):
    """Puts what a policy thinks of its last action into `info["value"]`, for the live view."""

    def __init__(self, env: gymnasium.Env, policy: LearnedPolicy):
        super().__init__(env)
        self._policy = policy

    def step(self, action: np.ndarray) -> tuple:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._policy.value is not None:
            info = {**info, "value": self._policy.value}
        return observation, reward, terminated, truncated, info


def redo_from(run: RunFolder, episode: int) -> None:
    """Take back the run's episodes from that number on: they are about to be made again."""
    if not (run.replay / META).exists():
        return
    later = [e.number for e in EpisodeStore(run.replay).episodes if e.number >= episode]
    if later:
        with EpisodeWriter(run.replay) as writer:
            for number in later:
                writer.mark(number, kept=False, why=REDONE)


class PublishedPolicy(LearnedPolicy):
    """The policy that the learner published last.

    Args:
        run: its folder.
        encoder: of the images, None where there are none.

    Attributes:
        meta: what the learner said with it: `updates`, `steps`, `time`; empty before the first.
    """

    def __init__(self, run: RunFolder, encoder: ImageEncoder | None):
        self._agent = make_agent(run, encoder)
        super().__init__(
            self._agent.policy,
            run.inputs,
            ActionParts(run.layout),
            encoder,
            sample=run.settings.algorithm == "sac",
            critic=self._agent.value,
        )
        self.meta: Mapping[str, Any] = {}
        self._path: Path = run.policy
        self._seen: tuple[int, int] | None = None

    def refresh(self) -> bool:
        """Take the newest weights; returns whether there are new ones.

        Raises:
            LearningError: the file is damaged.
        """
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._seen == (stat.st_ino, stat.st_mtime_ns):
            return False
        tensors, self.meta = load_tensors(self._path)
        self._agent.load_published(tensors)
        self._seen = stat.st_ino, stat.st_mtime_ns
        return True
