"""Episodes on disk: recorded step by step, read by key, converted from and to other formats.

`RecordEpisodes` records an environment, `EpisodeStore` reads what was recorded;
`EpisodeWriter` is beneath the first, for whoever has no environment to wrap. `files` says
what lies where in a store's folder.
"""

from hilserl_envs.recording.describe import describe_env, rebuild_env
from hilserl_envs.recording.episode import Episode, EpisodeInfo, Transitions
from hilserl_envs.recording.recorder import RecordEpisodes
from hilserl_envs.recording.schema import LABELS, Leaf, Schema
from hilserl_envs.recording.store import EpisodeStore
from hilserl_envs.recording.writer import EpisodeWriter

__all__ = [
    "LABELS",
    "Episode",
    "EpisodeInfo",
    "EpisodeStore",
    "EpisodeWriter",
    "Leaf",
    "RecordEpisodes",
    "Schema",
    "Transitions",
    "describe_env",
    "rebuild_env",
]
