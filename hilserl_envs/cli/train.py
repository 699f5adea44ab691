"""`hilserl train`: a policy from demonstrations, corrections and experience."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from hilserl_envs.cli.takeover import TakeoverCommand, reward_named

if TYPE_CHECKING:
    from hilserl_envs.learning.run_folder import RunFolder
    from hilserl_envs.learning.run_settings import RunSettings
    from hilserl_envs.learning.watch import Watch


# Flags that make a run what it is; a run that is resumed has them already.
_OF_THE_RUN = (
    "demos", "no_demos", "no_interventions", "algorithm", "obs", "preset", "overseer", "device",
    "robot", "reward", "frame", "gripper", "axes", "randomise", "seed", "device_frame", "heading",
    "takeover", "release_delay", "wait",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Train(TakeoverCommand):
    """Train a policy: actor and learner side by side, until the steps or the minutes are over.

    Everything is kept in the run's folder. Stop it with Ctrl-C, go on with --resume.
    """

    task: tyro.conf.Positional[str | None] = None
    """A task, such as RamInsertion (see `hilserl tasks`) or MODULE:NAME; a resumed run knows its own."""
    out: Path
    """Folder of the run."""
    demos: Path | None = None
    """Store of demonstrations (see `hilserl record`); it is copied into the run."""
    no_demos: bool = False
    """Learn without demonstrations."""
    no_interventions: bool = False
    """Nobody takes over, and no recorded takeovers count."""
    algorithm: str = "sac"
    """sac; bc (imitates the demonstrations, never acts) or hg-dagger (imitates corrections too)."""
    obs: str = "pixels"
    """pixels, or state: the twin's object poses and no images."""
    preset: str = "fast"
    """fast or paper: the settings of the agent and its pace."""
    set: tuple[str, ...] = ()
    """Single settings of the run or the agent: discount=0.98 utd_ratio=8 crops=2; a few with --resume."""
    overseer: bool = False
    """A script takes over where a person would."""
    device: str | None = None
    """A person takes over by browser, keyboard, gamepad or spacemouse."""
    wait: bool = False
    """Each episode begins with the person's first motion: until then they put things back."""
    view: str = "auto"
    """Live view: auto, window, browser or none. auto shows nothing where no person acts."""
    robot: str = "twin"
    """twin, or the URL of a robot server; one per arm: left=URL,right=URL."""
    reward: str = "task"
    """Who says what success is: task, person (buttons success and failure), or a classifier's FILE."""
    frame: str = "relative"
    """Of actions and poses: relative (of the end effector, from the reset pose) or base."""
    gripper: str | None = None
    """closed, stay or open takes the gripper out of the action."""
    axes: tuple[str, ...] = ()
    """Of x y z rx ry rz, those that actions have; all by default."""
    steps: int | None = None
    """Steps of the environment in all (updates, for bc)."""
    minutes: float | None = None
    """Wall-clock time in all, earlier sessions of the run included."""
    randomise: bool = False
    """The twin differs from episode to episode; see docs/randomisation.md."""
    seed: int = 0
    """Of everything random."""
    sync: bool = False
    """Both sides in turns in one process, in the twin: the same run to the bit from the same seed."""
    resume: bool = False
    """Go on with the run in --out."""
    cluster: str | None = None
    """Learner and actors on a Ray cluster: HOST:PORT of its head, or auto; see docs/learning.md."""
    robots: tuple[str, ...] = ()
    """With --cluster, NAME=ROBOT of each that acts; Ray's resource robot_NAME says where it is."""
    actors: int = 1
    """With --cluster, twins that act, on any of its machines."""
    side: str = "both"
    """actor or learner runs that side alone, so that the two can be started and stopped apart."""
    torch_device: str = "cpu"
    """Of the learner: cpu, cuda, cuda:1 and so on."""
    tracker: str = "tensorboard"
    """tensorboard, wandb or none."""

    def run(self) -> dict:
        from hilserl_envs.learning.extra import torch
        from hilserl_envs.learning.supervisor import is_supervised
        from hilserl_envs.learning.watch import Watch

        self._check()
        # Small networks: several threads wait for each other more than they work.
        torch.set_num_threads(1)
        with contextlib.ExitStack() as held:
            if self.cluster is not None:
                from hilserl_envs.learning.cluster import connected

                held.enter_context(connected(self.cluster))  # before there is a run
            run = self._open() if self.resume else self._create()
            if self.side != "both":
                if not is_supervised():
                    print(run.describe())
                return self._one_side(run)
            held.callback(run.hold("supervisor"))
            if self.resume and self.set:
                with contextlib.ExitStack() as alone:
                    for side in ("learner", "actor"):
                        alone.callback(run.hold(side))
                    run.change(self.set)
            print(run.describe())
            with Watch(run, self.steps, self.minutes, self.tracker) as watch:
                if self.steps is not None and watch.steps >= self.steps:
                    print(f"it has {watch.steps} already, of all sessions; for more give --steps beyond that")
                if self.cluster is not None:
                    self._across_machines(run, watch)
                else:
                    self._in_turns(run, watch) if self.sync else self._side_by_side(run, watch)
            return watch.report()

    def _check(self) -> None:
        """Refuse what can be seen to be wrong before there is a run."""
        from hilserl_envs.errors import ConfigError, check_name
        from hilserl_envs.learning.cluster import cluster_actors
        from hilserl_envs.learning.encoder import checked_device
        from hilserl_envs.learning.trackers import TRACKERS
        from hilserl_envs.live import KINDS

        check_name(self.side, ("both", "actor", "learner"), "side")
        check_name(self.tracker, TRACKERS, "tracker")
        check_name(self.view, KINDS, "live view")
        checked_device(self.torch_device)
        if self.side == "both" and self.steps is None and self.minutes is None:
            raise ConfigError("how long? give --steps, --minutes or both")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"--steps must be at least 1, got {self.steps}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"--minutes must be above 0, got {self.minutes}")
        if self.resume and self.set and self.side != "both":
            raise ConfigError(f"--set is for both sides; leave out --side {self.side}")
        if self.sync and self.side != "both":
            raise ConfigError(f"--sync runs both sides in one process; leave out --side {self.side}")
        if self.cluster is not None:
            if self.sync or self.side != "both":
                raise ConfigError("--cluster runs all sides, each in its place; leave out --sync and --side")
            if self.torch_device not in ("cpu", "cuda"):
                raise ConfigError(f"on a cluster Ray chooses the GPU: cpu or cuda, not {self.torch_device}")
            cluster_actors(self.robots, self.actors)
        elif self.robots or self.actors != 1:
            raise ConfigError("several actors, or robots by name, need a cluster; give --cluster too")

    def _check_who_acts(self, settings: RunSettings) -> None:
        """Refuse sides that a run of those settings cannot have."""
        from hilserl_envs.errors import ConfigError

        if self.sync and settings.acts and not settings.patient:
            raise ConfigError(
                "--sync makes episodes again after an interruption, and learns between two steps: with a "
                "person or a robot leave it out"
            )
        if self.cluster is None:
            return
        if self.robots or self.actors > 1:
            if not settings.acts:
                raise ConfigError(f"nobody acts in {settings.algorithm!r}; leave out --robots and --actors")
            if (robot := settings.env.get("robot", "twin")) != "twin":
                raise ConfigError(f"--robot {robot} acts alone; name it with --robots NAME={robot} instead")
        if settings.with_person and not self.robots:
            raise ConfigError(
                "on which machine is the person? Name the robot, such as --robots bench=twin, and start that "
                "machine's Ray with the resource robot_bench"
            )

    def _open(self) -> RunFolder:
        from hilserl_envs.errors import ConfigError
        from hilserl_envs.learning.run_folder import RunFolder

        run = RunFolder(self.out)
        if self.task is not None and not run.settings.is_of(self.task):
            raise ConfigError(f"{self.out} is a run of {run.settings.task}, not of {self.task}")
        given = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        if kept := [f"--{name.replace('_', '-')}" for name in given if name in _OF_THE_RUN]:
            raise ConfigError(
                f"a run that is resumed keeps its settings, which are in {run.path / 'config.json'}; leave "
                f"out {', '.join(kept)}"
            )
        if run.replays.exists() and self.cluster is None and self.side != "learner":
            names = ", ".join(folder.name for folder in run.experience if folder != run.replay)
            raise ConfigError(f"{names} act in this run; go on with --cluster, and --robots or --actors")
        self._check_who_acts(run.settings)
        return run

    def _create(self) -> RunFolder:
        from hilserl_envs.errors import ConfigError, check_name
        from hilserl_envs.learning.run_folder import RunFolder
        from hilserl_envs.learning.run_settings import RUN_PRESETS, RunSettings, with_changes
        from hilserl_envs.learning.settings import PRESETS

        if self.task is None:
            raise ConfigError("which task? Name one (see `hilserl tasks`), or give --resume to go on")
        if self.no_demos and self.demos is not None:
            raise ConfigError("--demos and --no-demos contradict each other; leave one out")
        env = {"robot": self.robot, "frame": self.frame, "gripper": self.gripper, "axes": self.axes or None}
        env["randomise"] = self.randomise or None
        env["reward"] = reward_named(self.reward)
        env["intervention"] = self.intervention
        settings = RunSettings(
            task=self.task,
            algorithm=self.algorithm,
            obs=self.obs,
            agent=PRESETS[check_name(self.preset, PRESETS, "preset")],
            env={name: value for name, value in env.items() if value is not None},
            device=self.device,
            wait=self.wait,
            overseer={} if self.overseer else None,
            demonstrations=not self.no_demos,
            interventions=not self.no_interventions,
            seed=self.seed,
            **RUN_PRESETS[self.preset],
        )
        settings = with_changes(settings, self.set)
        self._check_who_acts(settings)
        return RunFolder.create(self.out, settings, self.demos)

    def _in_turns(self, run: RunFolder, watch: Watch) -> None:
        from hilserl_envs.learning.loops import Budget, run_in_turns

        run_in_turns(run, Budget(self.steps, watch.is_over), self.torch_device, self._view(run))

    def _side_by_side(self, run: RunFolder, watch: Watch) -> None:
        from hilserl_envs.learning.supervisor import Supervisor, side_command

        arguments = [] if self.task is None else [self.task]
        arguments += ["--out", str(run.path), "--view", self.view, "--torch-device", self.torch_device]
        arguments += [] if self.steps is None else ["--steps", str(self.steps)]
        sides = ("learner", "actor") if run.settings.acts else ("learner",)
        supervisor = Supervisor({side: side_command(side, arguments) for side in sides}, watch.tell)
        supervisor.run(watch.is_over)

    def _across_machines(self, run: RunFolder, watch: Watch) -> None:
        from hilserl_envs.learning.cluster import cluster_actors
        from hilserl_envs.learning.cluster_supervisor import ClusterSupervisor

        actors = cluster_actors(self.robots, self.actors) if run.settings.acts else []
        release = run.hold("actor")
        try:
            supervisor = ClusterSupervisor(
                run, actors, self.steps, self.torch_device, self._view(run), watch.tell
            )
            supervisor.run(watch.is_over)
        finally:
            release()

    def _one_side(self, run: RunFolder) -> dict:
        from hilserl_envs.learning.loops import Budget, run_actor, run_learner
        from hilserl_envs.learning.supervisor import told_to_stop

        seconds = math.inf if self.minutes is None else 60 * self.minutes - run.seconds()
        until = time.monotonic() + seconds
        with told_to_stop() as told:
            budget = Budget(self.steps, lambda: told() or time.monotonic() >= until)
            if self.side == "learner":
                run_learner(run, budget, self.torch_device)
            else:
                run_actor(run, budget, self._view(run))
        return {"run": str(run.path)}

    def _view(self, run: RunFolder) -> str:
        return "none" if self.view == "auto" and not run.settings.with_person else self.view
