"""`hilserl eval`: how good is a policy."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hilserl_envs.cli.takeover import TakeoverCommand

if TYPE_CHECKING:
    from hilserl_envs.evaluation import Candidate, Episode


@dataclass(frozen=True, kw_only=True)
class Eval(TakeoverCommand):
    """Run seeded episodes of one policy or several, and report.

    A run's policy acts in the run's own environment, expert and random in the standard stack.
    """

    task: tyro.conf.Positional[str]
    """A task, such as RamInsertion (see `hilserl tasks`), or of your own, MODULE:NAME."""
    policy: tuple[str, ...] = ("expert",)
    """expert, random, or the folder of a run; several are compared in one table."""
    episodes: int = 20
    """How many, of each policy."""
    seed: int = 0
    """Of the first episode; each next one has the next."""
    checkpoint: str | None = None
    """Of a run: best or last; by default the best where there is one."""
    sample: bool = False
    """A run's policy draws its actions; else it takes the mean."""
    workers: int | None = None
    """Processes; by default one a core, if there are episodes enough. The results are the same."""
    out: Path | None = None
    """Folder for report.json, table.md and videos."""
    videos: int = 3
    """Failures of each policy to film into --out, at most."""
    overseer: bool = False
    """A script takes over where a person would; it watches every episode."""
    device: str | None = None
    """A person takes over by browser, keyboard, gamepad or spacemouse."""
    view: str = "auto"
    """Live view: auto, window, browser or none. auto shows nothing where no person acts."""
    robot: str | None = None
    """twin, or the URL of a robot server (left=URL,right=URL); a run's own by default."""
    reset_mode: str | None = None
    """teleport or motion: how the arm gets to its reset pose in the twin; teleport by default."""
    timestep: float | None = None
    """Of the twin's physics [s]; the task's own by default."""
    randomise: bool | None = None
    """True or False: the twin differs from episode to episode (see docs/randomisation.md); a run's own by
    default."""
    torch_device: str = "cpu"
    """Of a run's networks: cpu, cuda, cuda:1 and so on."""
    render: Annotated[bool, tyro.conf.arg(aliases=["-r"])] = False
    """Watch in a window, in real time."""

    def run(self) -> dict:
        from hilserl_envs.errors import ConfigError
        from hilserl_envs.evaluation import describe, markdown_table, summarize

        for name, least in (("episodes", 1), ("seed", 0), ("workers", 1), ("videos", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"--{name} must be at least {least}, got {value}")
        candidates = self._candidates()
        task, seeds = candidates[0].task, f"seeds {self.seed} to {self.seed + self.episodes - 1}"
        if self.out is not None:
            if (self.out / "report.json").exists():
                raise ConfigError(f"{self.out} holds a report already; give another folder")
            self.out.mkdir(parents=True, exist_ok=True)
        rows, failures = [], []
        for candidate in candidates:
            episodes = self._run(candidate)
            rows.append({**candidate.about, **summarize(episodes)})
            print(f"{task}, {candidate.name}, {seeds}\n{describe(rows[-1])}")
            rows[-1]["runs"] = [dataclasses.asdict(episode) for episode in episodes]
            failures.append([episode for episode in episodes if not episode.success])
        table = markdown_table([(c.name, row) for c, row in zip(candidates, rows, strict=True)])
        if len(rows) > 1:
            print(table)
        report = {"task": task, "seed": self.seed, "episodes": self.episodes, "policies": rows}
        if self.out is None:
            return report
        _write(self.out, report, f"{task}, {self.episodes} episodes, {seeds}:\n\n{table}\n")
        videos = []
        for number, (candidate, failed) in enumerate(zip(candidates, failures, strict=True), start=1):
            videos += self._film(candidate, failed, f"failure_{number}")
        return report | {"out": str(self.out), "videos": [str(video) for video in videos]}

    def _candidates(self) -> list[Candidate]:
        from hilserl_envs.errors import ConfigError
        from hilserl_envs.evaluation import make_candidate
        from hilserl_envs.policies import POLICIES

        if not self.policy:
            raise ConfigError("--policy names expert, random, or the folder of a run")
        env = {"robot": self.robot, "reset_mode": self.reset_mode, "timestep": self.timestep}
        env["randomise"], env["intervention"] = self.randomise, self.intervention
        env["render_mode"] = "human" if self.render else None
        settings: dict[str, Any] = {name: value for name, value in env.items() if value is not None}
        settings |= {"overseer": {} if self.overseer else None, "device": self.device, "view": self.view}
        of_run = {"checkpoint": self.checkpoint, "sample": self.sample, "torch_device": self.torch_device}
        if all(name in POLICIES for name in self.policy) and (self.checkpoint is not None or self.sample):
            raise ConfigError(f"--checkpoint and --sample are about runs; {', '.join(self.policy)} is none")
        return [
            make_candidate(self.task, name, **settings, **({} if name in POLICIES else of_run))
            for name in self.policy
        ]

    def _run(self, candidate: Candidate) -> list[Episode]:
        from tqdm import tqdm

        from hilserl_envs.evaluation import default_workers, evaluate

        workers = default_workers(candidate, self.episodes) if self.workers is None else self.workers
        runs = evaluate(candidate, range(self.seed, self.seed + self.episodes), workers)
        # Closed at once when interrupted: workers have to stop.
        with contextlib.closing(runs):
            return list(tqdm(runs, total=self.episodes, unit="episode", file=sys.stderr, disable=None))

    def _film(self, candidate: Candidate, failed: list[Episode], name: str) -> list[Path]:
        from hilserl_envs.evaluation import film

        failed = failed[: self.videos]
        if not failed:
            return []
        if candidate.only_here:
            print(f"{candidate.name}: no videos of failures, {candidate.only_here}")
            return []
        videos = []
        for video, same in film(candidate, failed, self.out / f"{name}.mp4"):
            print(f"wrote {video}" + ("" if same else ", which went differently when it was run again"))
            videos.append(video)
        return videos


def _write(out: Path, report: dict, table: str) -> None:
    from hilserl_envs.recording.describe import versions

    known = {"date": time.strftime("%Y-%m-%d %H:%M:%S"), "versions": versions()}
    (out / "report.json").write_text(json.dumps(known | report, indent=1))
    (out / "table.md").write_text(table)
    print(f"wrote {out / 'report.json'} and {out / 'table.md'}")
