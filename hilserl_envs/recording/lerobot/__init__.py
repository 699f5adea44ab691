"""Episode stores to and from LeRobotDataset v3.0, the format of huggingface/lerobot."""

from hilserl_envs.recording.lerobot.export import export_lerobot
from hilserl_envs.recording.lerobot.importing import import_lerobot

__all__ = ["export_lerobot", "import_lerobot"]
