"""`import_lerobot`: a LeRobotDataset v3.0 into a store."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hilserl_envs.errors import RecordingError
from hilserl_envs.recording.lerobot import layout
from hilserl_envs.recording.lerobot.files import VideoReader
from hilserl_envs.recording.schema import Leaf, Schema
from hilserl_envs.recording.writer import EpisodeWriter

Columns = dict[str, np.ndarray]


def import_lerobot(dataset: str | Path, folder: str | Path, image_format: str | None = None) -> int:
    """Add the episodes of a LeRobotDataset v3.0 to a store; returns how many.

    One that `export_lerobot` wrote comes back as it was: same keys, same numbers, images to
    within their codec. Any other one gets the keys of its features ("observation.state"
    becomes "state", "observation.images.front" "images/front"). As it lacks the observation
    after an episode's last step, the one before stands for it; where it does not say
    `next.done`, episodes are truncated; without `next.success`, success is a positive
    reward.

    Args:
        dataset: its folder, the one with `meta` in it.
        folder: of the store; made where there is none, else appended to.
        image_format: of a new store; None takes that of the store it came from, or "png".

    Raises:
        RecordingError: no such dataset, another version of it, or it is not whole.
        ConfigError: pyarrow is missing, or the store has other keys and shapes.
    """
    source = _Dataset(Path(dataset), image_format)
    with EpisodeWriter(folder, source.schema, source.description()) as writer:
        count = 0
        for index, columns in enumerate(source.episodes()):
            _write(writer, source, index, columns)
            count += 1
    return count


class _Dataset:
    """A dataset's folder: its features by our keys, and its episodes."""

    def __init__(self, root: Path, image_format: str | None):
        self._root, self._arrow = root, layout.pyarrow()
        self._info = _read_json(root / layout.INFO)
        try:
            version, features = str(self._info["codebase_version"]), dict(self._info["features"])
            self._fps = float(self._info["fps"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{root / layout.INFO} is not LeRobot's: {error!r}") from None
        if not version.startswith("v3."):
            raise RecordingError(
                f"{root} is a LeRobot dataset {version}, {layout.VERSION} is read; lerobot converts older "
                "ones: python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"
            )
        self._videos = [name for name, feature in features.items() if feature["dtype"] == "video"]
        has_origin = (root / layout.ORIGIN).exists()
        self._origin = _read_json(root / layout.ORIGIN) if has_origin else None
        self._last = self._table(root / layout.LAST).to_pylist() if has_origin else []
        if self._origin:
            self.schema = Schema.from_json(
                self._origin["meta"]["schema"] | ({"image_format": image_format} if image_format else {})
            )
            ours = layout.Features.of_schema(self.schema)
            self.parts = {layout.STATE: ours.state} if ours.state else {}
            self.images, self.extras = dict(ours.images), dict(ours.extras)
        else:
            self._take_foreign(features, image_format or "png")

    def _take_foreign(self, features: dict[str, dict], image_format: str) -> None:
        """Our keys for features that somebody else chose."""
        observations, shapes, extras = {}, {}, {}
        self.parts, self.images, self.extras = {}, {}, {}
        for name, feature in features.items():
            kind, size = feature["dtype"], int(np.prod(feature["shape"]))
            key = name.removeprefix("observation.").removeprefix("images.")
            if kind in ("video", "image"):
                self.images[name] = f"images/{key}"
                shapes[f"images/{key}"] = _height_width_3(feature)
            elif kind == "string" or name == layout.INTERVENTION:
                continue
            elif name.startswith("observation."):
                self.parts[name] = ((key, 0, size),)
                observations[key] = Leaf((size,))
            elif name.startswith(layout.EXTRA):
                extra = name.removeprefix(layout.EXTRA)
                ours = {theirs: ours for ours, theirs in layout.EXTRA_NAMES.items()}
                self.extras[name] = ours.get(extra, extra)
                extras[self.extras[name]] = Leaf(() if size == 1 else (size,), kind)
        if layout.ACTION not in features:
            raise RecordingError(f"{self._root} has no feature {layout.ACTION!r}; it has {list(features)}")
        action = Leaf((int(np.prod(features[layout.ACTION]["shape"])),))
        self.schema = Schema(observations, shapes, action, extras, image_format=image_format)

    def description(self) -> dict[str, Any]:
        """What made the recording, as far as the dataset says."""
        source = {"format": f"LeRobotDataset {self._info['codebase_version']}", "folder": self._root.name}
        known = dict(self._origin["meta"]) if self._origin else {"fps": self._fps}
        for ours_alone in ("format", "schema", "opened", "versions", "session"):
            known.pop(ours_alone, None)
        return {**known, "source": source}

    def episodes(self) -> Iterator[Columns]:
        """The frames (T, ...) of each episode by feature, images decoded."""
        paths = sorted((self._root / "data").glob("*/*.parquet"))
        if not paths:
            raise RecordingError(f"{self._root} has no data/*/*.parquet; is the dataset complete?")
        places = self._video_places()
        readers = {name: VideoReader() for name in self._videos}
        try:
            for path in paths:
                table = self._table(path)
                numbers = table["episode_index"].to_pylist()
                first = 0
                for number, group in itertools.groupby(numbers):
                    count = len(list(group))
                    columns = self._columns(table.slice(first, count))
                    for name, reader in readers.items():
                        columns[name] = self._video(reader, name, places.get(number), count)
                    yield columns
                    first += count
        finally:
            for reader in readers.values():
                reader.close()

    def facts(self, index: int) -> dict[str, Any]:
        """What the store said of an episode; nothing if it came in later, from elsewhere."""
        episodes = self._origin["episodes"] if self._origin else []
        return episodes[index] if index < len(episodes) else {}

    def last(self, index: int) -> Columns:
        """The observation after an episode's last step, by feature; nothing if it was not kept."""
        kept = self._last[index] if index < len(self._last) else {}
        return {
            name: _decode(value) if name in self.images else np.array(value, np.float32)
            for name, value in kept.items()
        }

    def _columns(self, table: Any) -> Columns:
        columns = {}
        for name in table.column_names:
            values = table[name].to_pylist()
            if name in self.images:
                values = [_decode(value["bytes"]) for value in values]
            columns[name] = np.array(values)
        return columns

    def _video(self, reader: VideoReader, name: str, place: dict | None, count: int) -> np.ndarray:
        if place is None:
            raise RecordingError(f"{self._root}: meta/episodes does not say where an episode's {name} is")
        prefix = f"videos/{name}/"
        path = self._info["video_path"].format(
            video_key=name, chunk_index=place[prefix + "chunk_index"], file_index=place[prefix + "file_index"]
        )
        first = round(place[prefix + "from_timestamp"] * self._fps)
        return reader.read(self._root / path, first, count, self._fps)

    def _video_places(self) -> dict[int, dict]:
        """Rows of `meta/episodes` by episode."""
        names = ("chunk_index", "file_index", "from_timestamp")
        columns = ["episode_index", *(f"videos/{video}/{name}" for video in self._videos for name in names)]
        paths = sorted((self._root / "meta/episodes").glob("*/*.parquet"))
        rows = [row for path in paths for row in self._table(path, columns).to_pylist()]
        return {row["episode_index"]: row for row in rows}

    def _table(self, path: Path, columns: list[str] | None = None) -> Any:
        try:
            return self._arrow.parquet.read_table(path, columns=columns)
        except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are among these
            raise RecordingError(f"cannot read {path}: {error}") from None


def _write(writer: EpisodeWriter, source: _Dataset, index: int, columns: Columns) -> None:
    """Append one episode."""
    steps = len(columns[layout.ACTION])
    last = source.last(index) or {name: column[-1] for name, column in columns.items()}
    facts = source.facts(index)

    def column(name: str, default: Any) -> np.ndarray:
        return columns[name] if name in columns else np.full(steps, default)

    rewards, intervened = column(layout.REWARD, 0.0), column(layout.INTERVENTION, False)
    says_done = layout.DONE in columns
    done = column(layout.DONE, False).astype(bool)
    truncated = column(layout.TRUNCATED, False).astype(bool) if says_done else np.arange(steps) == steps - 1
    terminated = done & ~truncated
    terminated[-1] = facts.get("terminated", terminated[-1])
    success = column(layout.SUCCESS, False) if layout.SUCCESS in columns else rewards > 0
    writer.begin(_observation(source, columns, 0), seed=facts.get("seed"), options=facts.get("options"))
    for step in range(steps):
        after = _observation(source, columns, step + 1) if step + 1 < steps else _observation(source, last)
        writer.step(
            after,
            columns[layout.ACTION][step].reshape(source.schema.action.shape),
            float(rewards[step]),
            terminated[step],
            truncated[step],
            success=bool(success[step]),
            intervened=bool(intervened[step]),
            extras={
                name: columns[feature][step].reshape(source.schema.extras[name].shape)
                for feature, name in source.extras.items()
            },
        )
    writer.end(kept=facts.get("kept", True), outcome=facts.get("outcome") or None, why=facts.get("why", ""))


def _observation(source: _Dataset, features: Columns, index: int | None = None) -> dict[str, np.ndarray]:
    """Our keys' arrays out of columns at an index, or out of one observation."""
    observation = {}
    for name, parts in source.parts.items():
        flat = np.ravel(features[name] if index is None else features[name][index])
        for key, start, stop in parts:
            leaf = source.schema.observations[key]
            observation[key] = flat[start:stop].reshape(leaf.shape).astype(leaf.dtype)
    for name, key in source.images.items():
        observation[key] = features[name] if index is None else features[name][index]
    return observation


def _height_width_3(feature: dict) -> tuple[int, int, int]:
    """The shape of an image whose channels LeRobot may put first."""
    shape = tuple(map(int, feature["shape"]))
    channels_first = (feature.get("names") or [""])[0] in ("channel", "channels")
    return (shape[1], shape[2], shape[0]) if channels_first else shape


def _decode(data: bytes | None) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data or b""), formats=("PNG", "JPEG")) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise RecordingError(f"an image of the dataset is damaged or not inside it: {error}") from None


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordingError(f"no LeRobot dataset: cannot read {path}: {error}") from None
