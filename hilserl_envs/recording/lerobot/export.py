"""`export_lerobot`: a store as a LeRobotDataset v3.0."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.episode import Episode, EpisodeInfo, is_kept
from hilserl_envs.recording.image_codec import to_png
from hilserl_envs.recording.lerobot import layout
from hilserl_envs.recording.lerobot.files import (
    VIDEO_FACTS,
    TableWriter,
    VideoWriter,
    write_json,
    write_tasks,
)
from hilserl_envs.recording.lerobot.stats import Stats, aggregate, episode_stats
from hilserl_envs.recording.store import EpisodeStore


def export_lerobot(
    store: EpisodeStore | str | Path,
    folder: str | Path,
    *,
    task: str | None = None,
    fps: int | None = None,
    videos: bool = True,
    which: Callable[[EpisodeInfo], bool] = is_kept,
) -> int:
    """Write episodes as a LeRobotDataset v3.0; returns how many.

    A frame is an observation and the step that follows it: `observation.state` (all arrays
    of the observation one behind the other, float32), `observation.images.<camera>`,
    `action`, `next.reward`, `next.done`, `next.truncated`, `next.success`,
    `complementary_info.is_intervention`, and the extras as `complementary_info.<name>`
    (`grasp_penalty` as `discrete_penalty`). The observation after the last step, seeds and
    what made the recording go to two files of our own in `meta`, which LeRobot ignores and
    `import_lerobot` reads. Times of day are left out.

    Args:
        store: or its folder.
        folder: must not be there.
        task: in words, as LeRobot's policies read it; None takes the environment's id.
        fps: control steps a second; None takes the recording's, or 10.
        videos: H.264 (small, not exact) or PNG inside the tables (exact).
        which: episodes; the kept ones.

    Raises:
        ConfigError: the folder is there, nothing is to be exported, pyarrow is missing, or
            images have odd sides, which videos cannot have.
    """
    store = store if isinstance(store, EpisodeStore) else EpisodeStore(store)
    folder = Path(folder)
    if folder.exists():
        raise ConfigError(f"{folder} is there already; name a folder that is not")
    infos = [info for info in store.episodes if which(info) and info.steps]
    if not infos:
        raise ConfigError(
            f"{store.folder} holds no episode to export; of {len(store.episodes)} none is chosen"
        )
    for key, (height, width, _) in store.schema.images.items():
        if videos and (height % 2 or width % 2):
            raise ConfigError(f"{key!r} is {height}x{width}, videos have even sides; take videos=False")
    layout.pyarrow()
    fps = round(store.meta.get("fps") or 10) if fps is None else fps
    task = task or (store.meta.get("env") or {}).get("id") or "unnamed"
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _Export(store, unfinished / folder.name, task, fps, videos).run(infos)
        (unfinished / folder.name).rename(folder)
    finally:
        shutil.rmtree(unfinished)
    return len(infos)


class _Export:
    def __init__(self, store: EpisodeStore, root: Path, task: str, fps: int, videos: bool):
        self._store, self._root, self._task, self._fps, self._videos = store, root, task, fps, videos
        self._arrow = layout.pyarrow()
        self._features = layout.Features.of_schema(store.schema)
        self._described = layout.describe_features(
            store.schema,
            self._features,
            store.meta.get("action_names"),
            {**VIDEO_FACTS, "video.fps": fps} if videos else None,
        )

    def run(self, infos: list[EpisodeInfo]) -> None:
        table = TableWriter(self._root, self._table_schema())
        cameras = {}
        if self._videos:
            for feature, key in self._features.images.items():
                size = self._store.schema.images[key][:2]
                cameras[feature] = VideoWriter(self._root, feature, self._fps, size)
        rows, stats, last, frames = [], [], [], 0
        for index, info in enumerate(infos):
            episode = Episode(self._store, info)
            state = self._state(episode)
            images = {feature: episode[key] for feature, key in self._features.images.items()}
            columns = self._columns(episode, state, index, frames)
            seen = {feature: frames_seen[:-1] for feature, frames_seen in images.items()}
            row = {"episode_index": index, "tasks": [self._task], "length": info.steps}
            row |= {"dataset_from_index": frames, "dataset_to_index": frames + info.steps}
            row |= table.add(self._table(columns, seen))
            for feature, camera in cameras.items():
                row |= camera.add(seen[feature])
            rows.append(row)
            stats.append(episode_stats(columns, seen))
            last.append({feature: to_png(images[feature][-1]) for feature in images})
            last[-1][layout.STATE] = state[-1].tolist()
            frames += info.steps
        for writer in (table, *cameras.values()):
            writer.close()
        self._write_episodes(rows, stats)
        self._write_info(len(rows), frames)
        write_json(self._root / layout.STATS, aggregate(stats))
        write_tasks(self._root / layout.TASKS, self._task)
        self._write_origin(infos, last)

    def _state(self, episode: Episode) -> np.ndarray:
        """All arrays of the observations (T + 1, n) float32."""
        parts = [episode[key].reshape(len(episode) + 1, -1) for key, _, _ in self._features.state]
        return np.concatenate([np.empty((len(episode) + 1, 0)), *parts], axis=1).astype(np.float32)

    def _columns(self, episode: Episode, state: np.ndarray, index: int, first: int) -> dict[str, np.ndarray]:
        """The frames (T, ...) of an episode by feature, but for the images."""
        steps = len(episode)
        columns = {layout.STATE: state[:-1]} if self._features.state else {}
        columns |= {
            layout.ACTION: episode.actions.reshape(steps, -1),
            layout.REWARD: episode.rewards,
            layout.DONE: episode.terminated | episode.truncated,
            layout.TRUNCATED: episode.truncated,
            layout.SUCCESS: episode.success,
            layout.INTERVENTION: episode.intervened,
        }
        columns |= {feature: episode.extras[name] for feature, name in self._features.extras.items()}
        columns["timestamp"] = (np.arange(steps) / self._fps).astype(np.float32)
        indices = (np.arange(steps), np.full(steps, index), first + np.arange(steps), np.zeros(steps, int))
        return columns | dict(zip(layout.INDICES, indices, strict=True))

    def _table_schema(self) -> Any:
        arrow, fields = self._arrow, []
        for name, feature in self._described.items():
            if feature["dtype"] == "image":
                fields.append((name, arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])))
            elif feature["dtype"] != "video":
                kind = arrow.from_numpy_dtype(np.dtype(feature["dtype"]))
                (size,) = feature["shape"]
                fields.append((name, kind if size == 1 else arrow.list_(kind, size)))
        return arrow.schema(fields)

    def _table(self, columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray]) -> Any:
        schema, arrays = self._table_schema(), []
        for field in schema:
            if field.name in images:
                pictures = [{"bytes": to_png(image), "path": None} for image in images[field.name]]
                arrays.append(self._arrow.array(pictures, field.type))
                continue
            (size,) = self._described[field.name]["shape"]
            flat = self._arrow.array(np.ascontiguousarray(columns[field.name]).ravel())
            arrays.append(flat if size == 1 else self._arrow.FixedSizeListArray.from_arrays(flat, size))
        return self._arrow.Table.from_arrays(arrays, schema=schema)

    def _write_episodes(self, rows: list[dict], stats: list[Stats]) -> None:
        place = {"chunk_index": 0, "file_index": 0}
        table = []
        for row, of_episode in zip(rows, stats, strict=True):
            for feature, values in of_episode.items():
                row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
            table.append({**row, **{f"meta/episodes/{name}": value for name, value in place.items()}})
        path = self._root / layout.EPISODES.format(**place)
        path.parent.mkdir(parents=True)
        self._arrow.parquet.write_table(self._arrow.Table.from_pylist(table), path)

    def _write_info(self, episodes: int, frames: int) -> None:
        settings = (self._store.meta.get("task") or {}).get("settings") or {}
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": settings.get("arm_model"),
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": 1,
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": layout.DATA_MB,
            "video_files_size_in_mb": layout.VIDEO_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": layout.DATA,
            "video_path": layout.VIDEO if self._videos else None,
            "features": self._described,
        }
        write_json(self._root / layout.INFO, info)

    def _write_origin(self, infos: list[EpisodeInfo], last: list[dict]) -> None:
        """What a LeRobot dataset has no place for."""
        meta = {**self._store.meta, "schema": self._store.schema.to_json()}
        episodes = [
            {
                "number": info.number,
                "seed": info.seed,
                "options": dict(info.options),
                "outcome": info.outcome,
                "why": info.why,
                "kept": info.kept,
                "terminated": bool(self._store.records["terminated"][info.first + info.steps]),
            }
            for info in infos
        ]
        write_json(self._root / layout.ORIGIN, {"meta": meta, "episodes": episodes})
        table = self._arrow.Table.from_pylist(last)
        self._arrow.parquet.write_table(table, self._root / layout.LAST)
