"""`hilserl replay`: play recorded episodes back in the twin."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command

DRIFT_POINTS = 10  # of an episode's drift over time in the report, evenly spread


@dataclass(frozen=True, kw_only=True)
class Replay(Command):
    """Play the kept episodes of a recording back in the twin, and say how far they drift.

    Fails if one does not end as it did when it was recorded.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the recording."""
    task: str | None = None
    """Of your own, MODULE:NAME: imports the module that the recording's task is registered by."""
    episode: int | None = None
    """Only the one of this number, kept or not."""
    render: bool = False
    """Watch in a window, in real time."""
    video: Path | None = None
    """Write what it looks like into this MP4 file."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.recording import EpisodeStore, rebuild_env
        from hilserl_envs.recording.replay import replay_episode
        from hilserl_envs.tasks import env_id
        from hilserl_envs.video import VideoWriter

        if self.render and self.video:
            raise ConfigError("--render shows it and --video writes it; ask for one of them")
        store = EpisodeStore(self.store)
        recorded = (store.meta.get("env") or {}).get("id")
        if self.task is not None and (given := env_id(self.task)) != recorded:
            raise ConfigError(f"{self.store} is a recording of {recorded}, not of {given}")
        episodes = list(store) if self.episode is None else [store.episode(self.episode)]
        if not episodes:
            raise ConfigError(f"{self.store} holds no kept episode; `hilserl inspect` says what it holds")
        mode = "human" if self.render else "rgb_array" if self.video else None
        longest = max(
            episode.info.steps for episode in episodes
        )  # a person may have had time beyond the limit
        env = rebuild_env(
            store.meta, robot="twin", reset_mode="teleport", render_mode=mode, max_episode_steps=longest + 1
        )
        with contextlib.ExitStack() as stack:
            stack.callback(env.close)
            film = (
                stack.enter_context(VideoWriter(self.video, env.metadata["render_fps"]))
                if self.video
                else None
            )
            replays = [
                replay_episode(env, episode, lambda: film and film.add(env.render()))
                for episode in tqdm(episodes, unit="episode", file=sys.stderr, disable=None)
            ]
        print("episode  steps    recorded  replayed  drift: largest   at the end")
        for replay in replays:
            recorded, now = ("success" if s else "failure" for s in (replay.recorded_success, replay.success))
            drift = 1e3 * replay.position_drift
            steps = f"{len(drift) - 1}/{replay.recorded_steps}"
            print(
                f"{replay.episode:7}  {steps:7}  {recorded:8}  {now:8}  {drift.max():11.4f} mm  "
                f"{drift[-1]:8.4f} mm"
            )
        same = sum(replay.same_outcome for replay in replays)
        print(f"{same} of {len(replays)} ended as recorded")
        if self.video:
            print(f"wrote {self.video} ({film.frames} frames)")
        return {
            "ok": same == len(replays),
            "store": str(self.store),
            "episodes": len(replays),
            "same_outcome": same,
            "largest_drift_m": max(float(replay.position_drift.max()) for replay in replays),
            "replays": [_plain(replay) for replay in replays],
        }


def _plain(replay) -> dict:
    import numpy as np

    drift = replay.position_drift
    chosen = np.linspace(0, len(drift) - 1, min(DRIFT_POINTS, len(drift))).round().astype(int)
    return dataclasses.asdict(replay) | {
        "position_drift": [[int(step), float(drift[step])] for step in chosen],
        "same_outcome": replay.same_outcome,
    }
