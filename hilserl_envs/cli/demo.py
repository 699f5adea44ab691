"""`hilserl demo`: the whole job, from demonstrations to a policy that is better than they were."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from hilserl_envs.cli import Command

FIRST_SEED = 10_000  # of the evaluation: none that demonstrations were recorded with


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Record 20 demonstrations of an expert, learn from them with a scripted overseer, evaluate.

    Everything is kept in one folder; a demo that was stopped goes on where it was.
    """

    task: str = "RamInsertion"
    """Which task (see `hilserl tasks`)."""
    obs: str = "state"
    """state: the twin's object poses, minutes; pixels: from the cameras alone, most of an hour."""
    demonstrations: int = 20
    """How many."""
    steps: int = 8000
    """Of the policy's own experience."""
    bc_updates: int = 10_000
    """Of behaviour cloning on the same demonstrations, to compare with."""
    episodes: int = 100
    """Of the evaluation, for each policy."""
    seed: int = 0
    """Of everything random."""
    out: Path = Path("runs/demo")
    """Folder of it all."""

    def run(self) -> dict:
        from hilserl_envs.cli.record import Record
        from hilserl_envs.errors import ConfigError

        for name in ("demonstrations", "steps", "bc_updates", "episodes"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        began = time.monotonic()
        demos, bc, run = (self.out / name for name in ("demonstrations", "bc", "run"))
        _say(f"1. {self.demonstrations} demonstrations, by the task's scripted expert with some noise")
        Record(
            task=self.task,
            device="expert:noise=0.1",
            episodes=self.demonstrations,
            obs="both",
            seed=self.seed,
            out=demos,
        ).run()
        _say("2. Behaviour cloning: imitates them, and nothing else")
        self._train(bc, demos, algorithm="bc", steps=self.bc_updates)
        _say("3. SAC from demonstrations, its own experience, and a scripted overseer's corrections")
        self._train(run, demos, overseer=True, steps=self.steps)
        _say(f"4. {self.episodes} episodes of each, alone")
        table, video = self._evaluate(bc, run)
        seconds = time.monotonic() - began
        curves = run / "curves.png"
        _say(f"{table}\nLearning curve: {curves}\nVideo: {video}\n{seconds / 60:.1f} minutes")
        return {
            "run": str(run),
            "table": table,
            "curves": str(curves),
            "video": str(video),
            "seconds": seconds,
        }

    def _train(self, run: Path, demos: Path, **arguments) -> None:
        from hilserl_envs.cli.train import Train

        if (run / "config.json").exists():
            Train(task=self.task, out=run, resume=True, steps=arguments["steps"]).run()
        else:
            Train(task=self.task, demos=demos, out=run, obs=self.obs, seed=self.seed, **arguments).run()

    def _evaluate(self, bc: Path, run: Path) -> tuple[str, Path]:
        """The table, and a video of the learned policy at work."""
        from hilserl_envs.cli.eval import Eval
        from hilserl_envs.evaluation import Episode, film, make_candidate

        out = self.out / "evaluation"
        if not (out / "report.json").exists():
            policies = "expert", str(bc), str(run)
            Eval(task=self.task, policy=policies, episodes=self.episodes, seed=FIRST_SEED, out=out).run()
        runs = [Episode(**e) for e in json.loads((out / "report.json").read_text())["policies"][-1]["runs"]]
        shown = next((episode for episode in runs if episode.success), runs[0])
        ((video, _),) = film(make_candidate(self.task, str(run)), [shown], out / "learned.mp4")
        return (out / "table.md").read_text(), video


def _say(text: str) -> None:
    print(f"\n{text}\n", flush=True)
