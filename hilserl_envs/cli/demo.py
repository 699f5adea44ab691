"""`hilserl demo`: see it work."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from hilserl_envs.cli import Command

SHEET_COLUMNS = 8  # images of each camera on the contact sheet


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """The scripted expert inserts RAM in the standard stack; writes a video and a contact sheet."""

    task: str = "RamInsertion"
    """Which task (see `hilserl tasks`)."""
    episodes: int = 10
    """How many."""
    seed: int = 0
    """Of the first episode."""
    out: Path = Path("runs/demo")
    """Folder for the video and the contact sheet."""

    def run(self) -> dict:
        from tqdm import tqdm

        from hilserl_envs.errors import ConfigError
        from hilserl_envs.evaluation import describe, run_episodes, summarize
        from hilserl_envs.images import contact_sheet, save_png
        from hilserl_envs.policies import ExpertPolicy
        from hilserl_envs.stack import make_env
        from hilserl_envs.video import write_video

        if self.episodes < 1:
            raise ConfigError(f"--episodes must be at least 1, got {self.episodes}")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}")
        self.out.mkdir(parents=True, exist_ok=True)
        env = make_env(self.task, obs="pixels", render_mode="rgb_array")
        print(f"{env.spec.id}: the scripted expert through\n  {env}")
        film, seen = [], []

        def watch(observation: dict) -> None:
            seen[-1].append(list(observation["images"].values()))
            film.append(_frame(env.render(), seen[-1][-1]))

        episodes = []
        try:
            policy = ExpertPolicy(env)
            seeds = range(self.seed, self.seed + self.episodes)
            for seed in tqdm(seeds, unit="episode", file=sys.stderr, disable=None):
                seen.append([])
                episodes += run_episodes(env, policy, [seed], watch)
        finally:
            env.close()

        print("episode  success  steps  seconds  peak force")
        for number, episode in enumerate(episodes, start=1):
            result = "yes" if episode.success else "no"
            print(
                f"{number:7}  {result:7}  {episode.steps:5}  {episode.seconds:7.1f}  "
                f"{episode.peak_force:8.1f} N"
            )
        summary = summarize(episodes)
        print(describe(summary))
        video, sheet = self.out / "demo.mp4", self.out / "cameras.png"
        write_video(video, film, fps=env.metadata["render_fps"])
        save_png(sheet, contact_sheet([_filmstrip(episode) for episode in seen]))
        print(f"wrote {video} ({len(film)} frames) and {sheet} (what the cameras saw, one row an episode)")
        return {
            "ok": summary["successes"] > 0,
            "task": env.spec.id,
            **summary,
            "runs": [dataclasses.asdict(episode) for episode in episodes],
            "video": str(video),
            "contact_sheet": str(sheet),
        }


def _frame(picture, images):
    """The overview with the cameras' images in a column at its right."""
    import numpy as np

    from hilserl_envs.images import fit_image

    height = picture.shape[0] // len(images)
    column = [fit_image(image, (height, height)) for image in images]
    return np.concatenate([picture[: height * len(images)], np.concatenate(column)], axis=1)


def _filmstrip(episode):
    """Camera after camera, images evenly spread over an episode, first and last included."""
    import numpy as np

    chosen = np.linspace(0, len(episode) - 1, min(SHEET_COLUMNS, len(episode))).round().astype(int)
    return [episode[step][camera] for camera in range(len(episode[0])) for step in chosen]
