"""`hilserl eval`: how good is a policy."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from hilserl_envs.cli import Command


@dataclass(frozen=True, kw_only=True)
class Eval(Command):
    """Run seeded episodes of a policy in the standard stack, and report."""

    task: tyro.conf.Positional[str]
    """A task, such as RamInsertion (see `hilserl tasks`)."""
    policy: str = "expert"
    """expert or random."""
    episodes: int = 20
    """How many."""
    seed: int = 0
    """Of the first episode; each next one has the next."""
    robot: str = "twin"
    """What runs it: the twin, in this version."""
    reset_mode: str = "teleport"
    """teleport or motion: how the arm gets to its reset pose in the twin."""
    timestep: float | None = None
    """Of the twin's physics [s]; the task's own by default."""
    render: Annotated[bool, tyro.conf.arg(aliases=["-r"])] = False
    """Watch in a window, in real time."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.evaluation import describe, run_episodes, summarize
        from hilserl_envs.policies import make_policy
        from hilserl_envs.stack import make_env

        if self.episodes < 1:
            raise ConfigError(f"--episodes must be at least 1, got {self.episodes}")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}")
        env = make_env(
            self.task,
            robot=self.robot,
            obs="state" if self.robot == "twin" else "pixels",
            reset_mode=self.reset_mode,
            timestep=self.timestep,
            render_mode="human" if self.render else None,
        )
        try:
            seeds = range(self.seed, self.seed + self.episodes)
            runs = run_episodes(env, make_policy(self.policy, env), seeds)
            episodes = list(tqdm(runs, total=self.episodes, unit="episode", file=sys.stderr, disable=None))
        finally:
            env.close()
        summary = summarize(episodes)
        print(f"{env.spec.id}, {self.policy}, seeds {self.seed} to {self.seed + self.episodes - 1}")
        print(describe(summary))
        report = {"task": env.spec.id, "policy": self.policy, "seed": self.seed, **summary}
        return report | {"runs": [dataclasses.asdict(episode) for episode in episodes]}
