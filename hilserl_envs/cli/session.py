"""What `hilserl record` and `hilserl label` share: a task, a device, a folder, a live view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from hilserl_envs.cli.takeover import TakeoverCommand

if TYPE_CHECKING:
    import gymnasium

    from hilserl_envs.recording import RecordEpisodes
    from hilserl_envs.recording.session import Outcome, Session
    from hilserl_envs.wrappers import LiveView

DISCARDED, NOT_BEGUN = "discarded", "not begun"  # why an episode is not kept, and its seed is free


@dataclass(frozen=True, kw_only=True)
class SessionCommand(TakeoverCommand):
    """Settings of a session in which somebody acts."""

    task: tyro.conf.Positional[str]
    """A task, such as RamInsertion (see `hilserl tasks`), or of your own, MODULE:NAME."""
    device: str
    """browser, keyboard, gamepad, spacemouse or expert; with settings: expert:noise=0.1,skill=0.9."""
    out: Path
    """Folder of the recording; an existing one is added to."""
    seed: int = 0
    """Of the first episode; each next one has the next."""
    robot: str = "twin"
    """twin, or the URL of a robot server; one per arm: left=URL,right=URL."""
    view: str = "auto"
    """Live view: auto, window, browser or none. auto shows nothing to the scripted expert."""
    image_format: str = "png"
    """png (lossless), jpeg or raw."""
    obs: str = "pixels"
    """pixels; state: the twin's object poses and no images; or both."""
    frame: str = "relative"
    """Of actions and poses: relative (of the end effector, from the reset pose) or base."""
    gripper: str | None = None
    """closed, stay or open takes the gripper out of the action."""
    axes: tuple[str, ...] = ()
    """Of x y z rx ry rz, those that actions have; all by default."""
    randomise: bool = False
    """The twin differs from episode to episode; see docs/randomisation.md."""

    def make_env(self, **arguments: Any) -> gymnasium.Env:
        """The task in the standard stack, its state addressed by key, with the device in it."""
        from hilserl_envs.errors import ConfigError
        from hilserl_envs.stack import make_env

        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}")
        if self.randomise:
            arguments["randomise"] = True
        return make_env(
            self.task,
            robot=self.robot,
            obs=self.obs,
            frame=self.frame,
            gripper=self.gripper,
            flatten=False,
            axes=self.axes or None,
            device=self.device,
            intervention=self.intervention,
            **arguments,
        )

    def with_view(self, env: gymnasium.Env) -> LiveView:
        """With the live view that was asked for."""
        from hilserl_envs.wrappers import LiveView

        nobody = self.view == "auto" and not env.get_wrapper_attr("device").real_time
        return LiveView(env, "none" if nobody else self.view)

    def run_episodes(
        self, session: Session, recorder: RecordEpisodes, enough: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        """Episodes one after another, each with its own seed; a discarded one is done again."""
        from hilserl_envs.recording import EpisodeStore
        from hilserl_envs.recording.session import Outcome

        spent = sum(info.why not in (DISCARDED, NOT_BEGUN) for info in EpisodeStore(self.out).episodes)
        while True:
            outcome = session.run_episode(self.seed + spent, enough)
            if outcome == Outcome.DISCARDED:
                recorder.discard(DISCARDED)
            elif outcome == Outcome.PREVIOUS_DISCARDED:
                recorder.discard(NOT_BEGUN)
                recorder.take_back(DISCARDED)
            else:
                spent += 1
                if outcome == Outcome.STOPPED:
                    recorder.end(why="enough")
            yield outcome
