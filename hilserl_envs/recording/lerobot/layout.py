"""The files of a LeRobotDataset v3.0, and which of its features hold what of a store.

Source: huggingface/lerobot 0.4 (datasets/utils.py, lerobot_dataset.py, rl/gym_manipulator.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.schema import Schema

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA, EPISODES = f"data/{_FILE}.parquet", f"meta/episodes/{_FILE}.parquet"
VIDEO = f"videos/{{video_key}}/{_FILE}.mp4"
CHUNK_SIZE, DATA_MB, VIDEO_MB = 1000, 100, 200  # files in a folder, and size of a file [MB]
# For what a LeRobot dataset has no place: where a store came from, and last observations.
ORIGIN, LAST = "meta/hilserl.json", "meta/hilserl_last.parquet"

STATE, ACTION = "observation.state", "action"
REWARD, DONE, TRUNCATED, SUCCESS = "next.reward", "next.done", "next.truncated", "next.success"
EXTRA = "complementary_info."
INTERVENTION = EXTRA + "is_intervention"
# What LeRobot's agent calls the penalty of the gripper.
EXTRA_NAMES = {"grasp_penalty": "discrete_penalty"}
INDICES = ("frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True)
class Features:
    """Which feature holds which key.

    Args:
        state: (key, start, stop) of the parts of `observation.state`.
        images: key by feature.
        extras: name by feature.
    """

    state: tuple[tuple[str, int, int], ...]
    images: Mapping[str, str]
    extras: Mapping[str, str]

    @classmethod
    def of_schema(cls, schema: Schema) -> Features:
        """Where an export puts the keys of a store."""
        parts, start = [], 0
        for key, leaf in schema.observations.items():
            parts.append((key, start, start + _size(leaf.shape)))
            start = parts[-1][2]
        return cls(
            tuple(parts),
            {f"observation.images.{_dotted(key.removeprefix('images/'))}": key for key in schema.images},
            {EXTRA + _dotted(EXTRA_NAMES.get(name, name)): name for name in schema.extras},
        )


def describe_features(
    schema: Schema, features: Features, action_names: list[str] | None, video: Mapping[str, Any] | None
) -> dict[str, dict]:
    """The `features` of `info.json`; with facts about `video`, images are videos."""
    described = {}
    if features.state:
        described[STATE] = _feature("float32", features.state[-1][2], _state_names(schema, features))
    for feature, key in features.images.items():
        height, width, _ = schema.images[key]
        described[feature] = {
            "dtype": "image",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
        }
        if video is not None:
            facts = {"video.height": height, "video.width": width, **video}
            described[feature] |= {"dtype": "video", "info": facts}
    size = _size(schema.action.shape)
    named = action_names is not None and len(action_names) == size
    described[ACTION] = _feature("float32", size, list(map(_dotted, action_names)) if named else None)
    described[REWARD] = _feature("float32")
    described |= {name: _feature("bool") for name in (DONE, TRUNCATED, SUCCESS, INTERVENTION)}
    for feature, name in features.extras.items():
        leaf = schema.extras[name]
        described[feature] = _feature(leaf.dtype, _size(leaf.shape))
    described["timestamp"] = _feature("float32")
    return described | {name: _feature("int64") for name in INDICES}


def _feature(dtype: str, size: int = 1, names: list[str] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [size], "names": names}


def _state_names(schema: Schema, features: Features) -> list[str]:
    """One name a number: tcp_pose.0, or left.tcp_pose.0."""
    names = []
    for key, start, stop in features.state:
        of_key = [f"{key}.{i}" for i in range(stop - start)]
        for part, (source, first, last) in schema.slices.items():
            if source == key:
                of_key[first:last] = [f"{part}.{i}" for i in range(last - first)]
        names += of_key
    return [_dotted(name.removeprefix("state/")) for name in names]


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _dotted(key: str) -> str:
    """LeRobot allows no slash in a feature's name."""
    return key.replace("/", ".")


def pyarrow() -> ModuleType:
    """The pyarrow package, with its parquet module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            'LeRobot datasets need pyarrow, which is not installed: pip install "hilserl_envs[lerobot]"'
        ) from None
    return pyarrow
