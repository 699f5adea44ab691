"""`hilserl label`: frames of success and failure for a reward classifier."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hilserl_envs.cli.session import SessionCommand


@dataclass(frozen=True, kw_only=True)
class Label(SessionCommand):
    """Record frames labelled by a key or button held: success, or failure.

    Every step is recorded; those without a label (neither held, or both) train no classifier.
    """

    successes: int = 200
    """How many frames of success the folder shall hold in the end."""
    failures: int = 1000
    """How many of failure."""
    per_episode: int | None = None
    """Frames of success after which an episode ends: two hundred frames of three episodes are three."""
    policy: Path | None = None
    """Folder of a run whose policy acts while nobody at the device does: what it has learned to take
    for success, where a classifier pays it, is what the next classifier has to see."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.recording import EpisodeStore, RecordEpisodes
        from hilserl_envs.recording.labels import count_labels
        from hilserl_envs.recording.session import Session
        from hilserl_envs.wrappers import FrameLabels

        wanted = {"success": self.successes, "failure": self.failures}
        if min(wanted.values()) < 0 or not any(wanted.values()):
            raise ConfigError(f"--successes and --failures are at least 0, one of them more; got {wanted}")
        policy = None
        if self.policy is not None:
            from hilserl_envs.learning.load_policy import check_env, load_policy, open_run

            run = open_run(self.policy, self.task)
            if (seen := run.settings.obs) != self.obs:
                raise ConfigError(
                    f"{self.policy} learned from {seen}, and --obs is {self.obs}: give --obs {seen}, or "
                    "another run"
                )
            policy = load_policy(run)
        env = labels = FrameLabels(self.make_env(ends_on_success=False), self.per_episode)
        try:
            if policy is not None:
                check_env(run, env)
            env = view = self.with_view(env)
            env = recorder = RecordEpisodes(
                env,
                self.out,
                "all",
                self.image_format,
                extras={"label": "int8"},
                session={"command": "label", "device": self.device, "seed": self.seed}
                | ({} if policy is None else {"policy": str(self.policy)}),
            )
            counts = before = count_labels(EpisodeStore(self.out))
            with tqdm(total=sum(wanted.values()), unit="frame", file=sys.stderr, disable=None) as bar:

                def enough() -> bool:
                    nonlocal counts
                    counts = {name: before[name] + labels.counts[name] for name in wanted}
                    done = sum(min(counts[name], wanted[name]) for name in wanted)
                    if done != bar.n:
                        bar.update(done - bar.n)
                        bar.set_postfix(counts)
                        view.note(kept=done, wanted=bar.total)
                    return done == bar.total

                outcomes = self.run_episodes(Session(env, policy=policy), recorder, enough)
                while not enough():
                    next(outcomes)
                    before = count_labels(EpisodeStore(self.out))
                    labels.counts = dict.fromkeys(wanted, 0)
            recorded = recorder.recorded
        finally:
            env.close()
        said = ", ".join(f"{count} frames of {name}" for name, count in counts.items())
        print(f"{self.out}: {said}, in {recorded} episodes")
        return {"store": str(self.out), "labels": counts, "recorded": recorded}
