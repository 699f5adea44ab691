"""`film`: what an episode looked like, by running it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation.candidate import Candidate
from hilserl_envs.evaluation.episodes import Episode, run_episodes
from hilserl_envs.images import fit_image
from hilserl_envs.video import VideoWriter


def film(candidate: Candidate, episodes: Iterable[Episode], path: str | Path) -> Iterator[tuple[Path, bool]]:
    """Run episodes again, which in the twin come out the same, and write a video of each.

    Args:
        candidate: that ran them.
        episodes: to be shown.
        path: of the videos, ending in .mp4; the seed is added to the name of each.

    Yields:
        The file, and whether the episode was the same again; if not, that is what it shows.

    Raises:
        ConfigError: an episode of this candidate cannot be run again.
        OSError: a video cannot be written.
    """
    path = Path(path)
    if candidate.only_here:
        raise ConfigError(f"{candidate.name} cannot be filmed afterwards: {candidate.only_here}")
    with candidate.open(render_mode="rgb_array") as (env, policy):
        for episode in episodes:
            file = path.with_name(f"{path.stem}_seed_{episode.seed}{path.suffix}")
            with VideoWriter(file, env.metadata["render_fps"]) as video:

                def watch(observation: dict, video: VideoWriter = video) -> None:
                    video.add(beside(env.render(), observation.get("images", {})))

                (again,) = run_episodes(env, policy, [episode.seed], watch)
            yield file, again == episode


def beside(picture: np.ndarray, images: dict[str, np.ndarray]) -> np.ndarray:
    """A picture (height, width, 3) uint8 with the cameras' images in a column at its right."""
    if not images:
        return picture
    side = picture.shape[0] // len(images)
    column = [fit_image(image, (side, side)) for image in images.values()]
    return np.concatenate([picture[: side * len(images)], np.concatenate(column)], axis=1)
