"""`hilserl export`: a recording as others read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command


@dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Write the kept episodes of a recording as a LeRobotDataset v3."""

    store: tyro.conf.Positional[Path]
    """Folder of the recording."""
    out: Path
    """Folder of the dataset, which must not be there yet."""
    description: str | None = None
    """The task in words, as language-conditioned policies read it; the environment's id by default."""
    images: bool = False
    """Lossless images inside of the tables instead of videos."""

    def run(self) -> dict:
        from hilserl_envs.recording.lerobot import export_lerobot

        episodes = export_lerobot(self.store, self.out, task=self.description, videos=not self.images)
        print(f"{self.out}: {episodes} episodes written")
        return {"dataset": str(self.out), "exported": episodes}
