"""`EpisodeStore`: reads recorded episodes by key, also while they are being written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hilserl_envs.errors import ConfigError, RecordingError, check_name
from hilserl_envs.recording import files
from hilserl_envs.recording.episode import Episode, EpisodeInfo, Transitions, is_kept
from hilserl_envs.recording.image_codec import image_codec
from hilserl_envs.recording.schema import STEP, Schema

_OF_STEPS = ("action", "reward", "terminated", "truncated", "intervened")


class EpisodeStore:
    """The episodes of a folder that an `EpisodeWriter` wrote or is writing.

    Example:
        >>> import tempfile
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import hilserl_envs
        >>> from hilserl_envs.recording import EpisodeStore, RecordEpisodes
        >>> folder = tempfile.mkdtemp()
        >>> env = RecordEpisodes(gym.make("hilserl/PickCube-v0"), folder, keep="all")
        >>> observation, info = env.reset(seed=0)
        >>> for _ in range(9):
        ...     observation, *_ = env.step(env.action_space.sample())
        >>> env.close()
        >>> store = EpisodeStore(folder)
        >>> for episode in store:  # those that are kept
        ...     episode["state/tcp_pose"].shape, episode["images/front"].shape, episode.actions.shape
        ((10, 7), (10, 128, 128, 3), (9, 7))
        >>> chosen = np.random.default_rng(0).choice(store.transitions(), 4)
        >>> store.batch(chosen).next_observations["images/front"].shape
        (4, 128, 128, 3)

    Args:
        folder: of the store.

    Attributes:
        meta: what made it: environment, wrappers, task, versions, session.
        schema: keys, shapes and types.
        records: all records (N,), see `Schema.record`: a read-only view of the file.
        changes: refreshes so far that saw anything new.

    Raises:
        RecordingError: there is none, or it is damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.meta = files.read_meta(self.folder)
        self.schema: Schema = self.meta["schema"]
        self._codec = image_codec(self.schema.image_format)
        self._blobs: dict[str, np.ndarray] = {}
        self._events: list[dict] = []
        self._read = 0
        self._infos: dict[int, tuple[tuple, EpisodeInfo]] = {}
        self.records = np.empty(0, self.schema.record)
        self.changes = 0
        self.refresh()

    def refresh(self) -> int:
        """See what was written since; returns how many records that are.

        Arrays that were handed out stay as they are.

        Raises:
            RecordingError: something was damaged.
        """
        # Records before lines: every record's episode has begun in the lines read after it.
        records = files.map_records(self.folder, self.schema.record)
        events, lines = files.read_events(self.folder, self._read)
        self._events += events
        self._read = lines[-1] if lines else self._read
        before = len(self.records)
        # Up to the last end the writer has waited for the disk; after it, only look.
        ends = [e["records"] for e in self._events if e["event"] == "end" and e["records"] <= len(records)]
        start = max([before, *ends[-1:]])
        whole = files.sound_records(records, start, files.blob_sizes(self.folder, self.schema))
        if whole > before:
            self.records = records[:whole]
        if events or len(self.records) > before:
            self.__dict__.pop("episodes", None)
            self.changes += 1
        return len(self.records) - before

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the observation, images and parts of a flat state included."""
        return (*self.schema.observations, *self.schema.slices, *self.schema.images)

    @property
    def sessions(self) -> list[dict]:
        """When and with what versions it was recorded, and what was said of the session."""
        first = {name: self.meta.get(name) for name in ("opened", "versions", "session")}
        return [first, *({name: e[name] for name in first} for e in self._events if e["event"] == "session")]

    @property
    def nbytes(self) -> int:
        """Size on disk [bytes]."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @functools.cached_property
    def episodes(self) -> list[EpisodeInfo]:
        """All episodes, also those not kept and unfinished."""
        begins: dict[int, dict] = {}
        ends: dict[int, dict] = {}
        marks: dict[int, dict] = {}
        for event in self._events:
            if (place := {"begin": begins, "end": ends, "mark": marks}.get(event["event"])) is not None:
                place[event["episode"]] = event
        stops = [*[begin["records"] for begin in begins.values()][1:], len(self.records)][: len(begins)]
        infos = []
        for (number, begin), stop in zip(begins.items(), stops, strict=True):
            end = ends.get(number, {})
            if end.get("records", 0) > len(self.records):  # it was said after these records were looked at
                end = {}
            first = begin["records"]
            stop = self._fitting(number, first, min(stop, end.get("records", stop), len(self.records)))
            if stop > first:
                said = {"kept": False, "outcome": "", "why": "", **end}
                mark = marks.get(number, {})
                if end or not mark.get("kept", True):  # what has not ended can only be taken back
                    said |= mark
                infos.append(self._info(number, begin, first, stop, bool(end), said))
        return infos

    def _fitting(self, number: int, first: int, stop: int) -> int:
        """Where the records of an episode end that starts at `first`, at `stop` at the latest."""
        if stop <= first:
            return first
        last = self.records[stop - 1]
        if last["episode"] == number and last["step"] == stop - 1 - first:
            return stop
        part = self.records[first:stop]
        fits = (part["episode"] == number) & (part["step"] == np.arange(len(part)))
        return first + (len(part) if fits.all() else int(fits.argmin()))

    def _info(
        self, number: int, begin: Mapping, first: int, stop: int, finished: bool, said: Mapping
    ) -> EpisodeInfo:
        """An episode's figures, computed once unless something changed."""
        state = (first, stop, finished, said["kept"], said["outcome"], said["why"])
        if number not in self._infos or self._infos[number][0] != state:
            records = self.records[first:stop]
            info = EpisodeInfo(
                number=number,
                seed=begin.get("seed"),
                options=begin.get("options") or {},
                first=first,
                steps=len(records) - 1,
                success=bool(records["success"][-1]),
                interventions=int(records["intervened"].sum()),
                total_reward=float(records["reward"].sum(dtype=np.float64)),
                began=float(records["time"][0]),
                finished=finished,
                kept=said["kept"],
                outcome=said["outcome"],
                why=said["why"],
            )
            self._infos[number] = (state, info)
        return self._infos[number][1]

    def __len__(self) -> int:
        """Kept episodes."""
        return sum(info.kept for info in self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        """The kept episodes, in order."""
        return (Episode(self, info) for info in self.episodes if info.kept)

    def episode(self, number: int) -> Episode:
        """An episode by its number, kept or not.

        Raises:
            ConfigError: there is none.
        """
        for info in self.episodes:
            if info.number == number:
                return Episode(self, info)
        raise ConfigError(
            f"there is no episode {number!r} in {self.folder}; there are {len(self.episodes)}"
            + (f", {self.episodes[0].number} to {self.episodes[-1].number}" if self.episodes else "")
        )

    def frames(self, which: Callable[[EpisodeInfo], bool] = is_kept) -> np.ndarray:
        """Records (N,) of all observations of the episodes chosen: arguments of `take`."""
        chosen = [np.arange(e.first, e.first + e.steps + 1) for e in self.episodes if which(e)]
        return np.concatenate(chosen) if chosen else np.empty(0, np.int64)

    def transitions(self, which: Callable[[EpisodeInfo], bool] = is_kept) -> np.ndarray:
        """Records (N,) of the observations that a step follows in their episode: arguments of `batch`."""
        chosen = [np.arange(e.first, e.first + e.steps) for e in self.episodes if which(e)]
        return np.concatenate(chosen) if chosen else np.empty(0, np.int64)

    def take(self, key: str, records: npt.ArrayLike) -> np.ndarray:
        """One key of the observation, or one extra of the step that led to it, at some records.

        Args:
            key: one of `keys` or of the schema's extras.
            records: which (N,), in any order.

        Returns:
            A fresh array (N, ...); images decoded, (N, height, width, 3) uint8.

        Raises:
            ConfigError: an unknown key or record.
        """
        records = self._checked(records)
        if key in self.schema.slices:
            source, start, stop = self.schema.slices[key]
            return self.take(source, records)[:, start:stop]
        if key in self.schema.observations:
            return self.records["observation"][key][records]
        if key in self.schema.extras:
            return self.records["extras"][key][records]
        check_name(key, [*self.keys, *self.schema.extras], "key")
        return self._images(key, records)

    def batch(self, records: npt.ArrayLike, keys: Iterable[str] | None = None) -> Transitions:
        """Transitions, each observation as `take` gives it.

        Args:
            records: of the observations before the step (N,), of those in `transitions`.
            keys: of the observations; None takes all, but for the parts of a flat state.

        Raises:
            ConfigError: an unknown key, or a record that no step follows in its episode.
        """
        records = self._checked(records)
        after = self._checked(records + 1)
        if (over := records[self.records["kind"][after] != STEP]).size:
            raise ConfigError(f"no step follows the records {over[:5].tolist()}; choose among transitions()")
        keys = (*self.schema.observations, *self.schema.images) if keys is None else tuple(keys)
        steps = self.records[after]
        return Transitions(
            {key: self.take(key, records) for key in keys},
            {key: self.take(key, after) for key in keys},
            *(np.array(steps[name]) for name in _OF_STEPS),
            {name: np.array(steps["extras"][name]) for name in self.schema.extras},
        )

    def verify(self) -> list[str]:
        """Everything that is damaged, in words; reads all there is."""
        sizes = files.blob_sizes(self.folder, self.schema)
        sound = files.sound_records(self.records, 0, sizes)
        wrong = [] if sound == len(self.records) else [f"record {sound} is not as it was written"]
        told = sum(info.steps + 1 for info in self.episodes)
        if told != len(self.records):
            wrong.append(
                f"{len(self.records) - told} records belong to no episode that {files.EPISODES} tells of"
            )
        itemsize = self.schema.record.itemsize
        if lost := max((e["records"] for e in self._events), default=0) - len(self.records):
            if lost > 0:
                wrong.append(f"{files.STEPS} lacks {lost} records of {itemsize} bytes that were written")
        for key in self.schema.images:
            whole = files.sound_images(self.records[:sound], 0, key, self._blob(key, sizes[key]))
            if whole < sound:
                wrong.append(f"{key!r} of record {whole} is not as it was written")
        return wrong

    def _checked(self, records: npt.ArrayLike) -> np.ndarray:
        records = np.asarray(records, dtype=np.int64).reshape(-1)
        if records.size and not 0 <= records.min() <= records.max() < len(self.records):
            raise ConfigError(
                f"records go from 0 to {len(self.records) - 1}, got {records.min()} to {records.max()}"
            )
        return records

    def _images(self, key: str, records: np.ndarray) -> np.ndarray:
        references, shape = self.records["images"][key][records], self.schema.images[key]
        ends = references["offset"] + references["length"].astype(np.uint64)
        blob = self._blob(key, needed := int(ends.max(initial=0)))
        if len(blob) < needed:
            raise RecordingError(
                f"{self.folder / self.schema.blob(key)} lost its end: {len(blob)} bytes of {needed} are left"
            )
        images = np.empty((len(records), *shape), np.uint8)
        for image, reference in zip(images, references, strict=True):
            try:
                image[:] = self._codec.decode(files.image_bytes(reference, blob), shape)
            except (OSError, ValueError, SyntaxError) as error:
                raise RecordingError(f"an image of {key!r} in {self.folder} is damaged: {error}") from error
        return images

    def _blob(self, key: str, size: int) -> np.ndarray:
        """A camera's file, at least that long."""
        if key not in self._blobs or len(self._blobs[key]) < size:
            self._blobs[key] = files.map_blob(self.folder, self.schema, key)
        return self._blobs[key]
