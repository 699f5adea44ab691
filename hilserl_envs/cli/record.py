"""`hilserl record`: demonstrations onto disk."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from hilserl_envs.cli.session import SessionCommand
from hilserl_envs.cli.takeover import reward_named

SAY_EVERY = 50  # episodes: what does not succeed goes on for ever


@dataclass(frozen=True, kw_only=True)
class Record(SessionCommand):
    """Record demonstrations, until the folder holds as many successes as asked for.

    A session that was interrupted goes on where it stopped when the same line is given again.
    """

    episodes: int = 20
    """How many episodes the folder shall hold in the end."""
    keep_all: bool = False
    """Keep failures and time-outs too."""
    reward: str = "task"
    """Who says what success is: task, person (buttons success and failure), or a classifier's FILE."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.recording import RecordEpisodes
        from hilserl_envs.recording.session import Outcome, Session

        if self.episodes < 1:
            raise ConfigError(f"--episodes must be at least 1, got {self.episodes}")
        env = self.make_env(reward=reward_named(self.reward))
        began, counts = time.monotonic(), dict.fromkeys((outcome.value for outcome in Outcome), 0)
        try:
            env = view = self.with_view(env)
            env = recorder = RecordEpisodes(
                env,
                self.out,
                "all" if self.keep_all else "success",
                self.image_format,
                session={"command": "record", "device": self.device, "seed": self.seed},
            )
            present = recorder.kept
            with tqdm(
                total=self.episodes, initial=present, unit="episode", file=sys.stderr, disable=None
            ) as bar:
                outcomes = self.run_episodes(Session(env), recorder)
                while recorder.kept < self.episodes:
                    view.note(kept=recorder.kept, wanted=self.episodes)
                    counts[next(outcomes).value] += 1
                    tried = sum(counts.values())
                    if tried % SAY_EVERY == 0:
                        some = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
                        tqdm.write(f"{tried} episodes, {recorder.kept} kept: {some}", file=sys.stderr)
                    bar.update(recorder.kept - bar.n)
                    bar.set_postfix({name: count for name, count in counts.items() if count})
            kept, recorded = recorder.kept, recorder.recorded
        finally:
            env.close()
        seconds = time.monotonic() - began
        new = kept - present
        print(f"{self.out}: {kept} episodes kept of {recorded} recorded, {new} of them new, {seconds:.0f} s")
        report = {"store": str(self.out), "kept": kept, "recorded": recorded}
        return report | {"outcomes": counts, "seconds": seconds}
