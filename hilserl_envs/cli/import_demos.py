"""`hilserl import`: recordings of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command


@dataclass(frozen=True, kw_only=True)
class Import(Command):
    """Add the public HIL-SERL code's pickled demos, or a LeRobotDataset v3, to a recording.

    A folder is taken for a LeRobotDataset, a file for pickled transitions. Of a pickle nothing
    but plain containers, numbers and numpy arrays is read; anything else in it is refused.
    """

    source: tyro.conf.Positional[tuple[Path, ...]]
    """Pickle files, or the folder of one dataset."""
    out: Path
    """Folder of the recording; an existing one is added to."""
    label: str | None = None
    """success or failure: the pickles are the public code's labelled frames of that kind."""
    image_format: str = "png"
    """png (lossless), jpeg or raw."""

    def run(self) -> dict:
        from hilserl_envs.errors import ConfigError

        if not self.source:
            raise ConfigError("name what to import: pickle files, or the folder of one dataset")
        folders = [path for path in self.source if path.is_dir()]
        if folders and (len(self.source) > 1 or self.label is not None):
            raise ConfigError("give either one dataset's folder, without --label, or pickle files")
        if folders:
            from hilserl_envs.recording.lerobot import import_lerobot

            episodes = import_lerobot(folders[0], self.out, self.image_format)
        else:
            from hilserl_envs.recording.public_demos import import_public_demos

            episodes = import_public_demos(self.source, self.out, self.label, self.image_format)
        print(f"{self.out}: {episodes} episodes added")
        return {"store": str(self.out), "imported": episodes}
