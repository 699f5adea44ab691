"""`EpisodeWriter`: appends episodes to a store; a kill at any instant loses the step in flight at most."""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RecordingError, check_name
from hilserl_envs.recording import files
from hilserl_envs.recording.describe import check_same, json_value, versions
from hilserl_envs.recording.image_codec import image_codec
from hilserl_envs.recording.lock import lock
from hilserl_envs.recording.schema import RESET, STEP, Leaf, Schema, flatten

_STEPS, _EPISODES = PurePath(files.STEPS), PurePath(files.EPISODES)
_LONGEST_LINE = 4096  # of those that begin and end an episode [bytes]
OUTCOMES = ("success", "failure", "timeout", "stopped")


class EpisodeWriter:
    """Appends episodes to a store, which is made where there is none.

    What is promised:
    - When a method has returned, what it wrote survives a kill of the process at any
      instant (it is in the operating system's hands). Of a step in flight nothing is
      seen later: opening the store again cuts off what is torn.
    - When `end` has returned with `sync`, the episode survives a power failure too (it
      is on the disk). Steps of the episode in progress may be lost then.
    - A full disk raises, and leaves the store whole up to the step before. The episode
      lacks a step then: it can only be ended, and is not kept.

    One process writes, any number read at the same time (see `EpisodeStore`).

    Args:
        folder: of the store.
        schema: of what will be written; None takes that of a store that is there.
        description: of the environment, see `describe_env`; kept when the store is made.
        session: anything worth keeping about this session, such as its seed.
        sync: wait for the disk at the end of every episode.

    Raises:
        ConfigError: the store has another schema or environment, or somebody writes to it.
        RecordingError: the store is damaged, or the folder holds something else.
    """

    def __init__(
        self,
        folder: str | Path,
        schema: Schema | None = None,
        description: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
        sync: bool = True,
    ):
        self.folder = Path(folder)
        if schema is None:
            schema = files.read_meta(self.folder)["schema"]
        self.schema = schema
        self._codec = image_codec(schema.image_format)
        self._sync = sync
        self._closed = False
        self._files: dict[PurePath, files.AppendedFile] = {}
        self._release = lock(self.folder)
        try:
            with self._explained():
                self._open(dict(description or {}), {"session": json_value(dict(session or {}))})
        except BaseException:
            self.close()
            raise

    def _open(self, description: dict, session: dict) -> None:
        session |= {"opened": datetime.now(timezone.utc).isoformat(), "versions": versions()}
        appending = (self.folder / files.META).exists()
        if appending:
            check_same(files.read_meta(self.folder), self.schema, description)
        else:
            files.write_meta(self.folder, {**session, **description, "schema": self.schema.to_json()})
        events, lines = files.read_events(self.folder)
        told = max((event["records"] for event in events if event["event"] == "end"), default=0)
        there = len(files.map_records(self.folder, self.schema.record))
        if there < told:
            raise RecordingError(
                f"{self.folder / files.STEPS} lost its end: {there} records are left of {told} in episodes "
                "that ended; restore the file"
            )
        self._count, sizes = files.whole(self.folder, self.schema, events)
        # After a power failure a line may be there whose records are not.
        while events and events[-1]["records"] > self._count:
            events.pop()
        # What a step in flight can leave behind; an image is smaller than its pixels, or little larger.
        torn = {self.schema.blob(key): 2 * int(np.prod(shape)) for key, shape in self.schema.images.items()}
        torn |= {_STEPS: self.schema.record.itemsize, _EPISODES: _LONGEST_LINE}
        sizes[_STEPS] = self._count * self.schema.record.itemsize
        sizes[_EPISODES] = lines[len(events) - 1] if events else 0
        self._kept = {event["episode"]: event["kept"] for event in events if "kept" in event}
        self._next = 1 + max((event["episode"] for event in events if "episode" in event), default=-1)
        self.episode: int | None = None
        for name, size in sizes.items():
            self._files[name] = files.AppendedFile(self.folder / name, size, torn[name])
        if self._sync:
            for folder in {file.parent for file in self._files}:
                files.sync_folder(self.folder / folder)
        if appending and (description or session["session"]):
            self._say("session", **session)

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def recorded(self) -> int:
        """Episodes in the store, ended or not."""
        return self._next

    @property
    def kept(self) -> int:
        """Episodes in the store that are kept."""
        return sum(self._kept.values())

    def begin(
        self,
        observation: Any,
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        success: bool = False,
        extras: Mapping[str, Any] | None = None,
    ) -> int:
        """Start an episode with what `reset` returned; returns its number.

        Raises:
            ConfigError: the last one has not ended, or the observation is another than
                the schema's.
            RecordingError: it cannot be written.
        """
        if self.episode is not None:
            raise ConfigError(f"episode {self.episode} has not ended; call end() before begin()")
        if seed is not None and not isinstance(seed, int | np.integer):
            raise ConfigError(f"a seed is a whole number or None, got {seed!r}")
        seed = None if seed is None else int(seed)
        record, images = self._record(RESET, self._next, 0, observation, extras)
        record["success"] = success
        self._say("begin", episode=self._next, seed=seed, options=json_value(dict(options or {})))
        self._append(record, images)
        self.episode, self._last_step, self._gap = self._next, 0, False
        self._next += 1
        self._outcome = "success" if success else "stopped"
        return self.episode

    def step(
        self,
        observation: Any,
        action: np.ndarray,
        reward: float,
        terminated: bool,
        truncated: bool,
        *,
        success: bool = False,
        intervened: bool = False,
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one step: the action that was executed, and what it led to.

        Raises:
            ConfigError: no episode has begun, or something is another than the schema's.
            RecordingError: it cannot be written; the steps before it are.
        """
        if self.episode is None:
            raise ConfigError("a step belongs to an episode; call begin() first")
        if self._gap:
            raise RecordingError(
                f"a step of episode {self.episode} could not be written, and the next would seem to follow "
                "the one before it; end it and begin another"
            )
        record, images = self._record(STEP, self.episode, self._last_step + 1, observation, extras)
        record["action"] = _finite("the action", self.schema.action.hold("the action", action))
        for name, value in (
            ("reward", _finite("the reward", reward)),
            ("terminated", terminated),
            ("truncated", truncated),
            ("success", success),
            ("intervened", intervened),
        ):
            record[name] = value
        self._gap = True  # until it is there
        self._append(record, images)
        self._gap = False
        self._last_step += 1
        self._outcome = (
            "success" if success else "failure" if terminated else "timeout" if truncated else "stopped"
        )

    def skip_step(self) -> None:
        """A step was taken that nobody can append: the episode ends here, and is not kept."""
        self._gap = True

    def end(self, kept: bool, outcome: str | None = None, why: str = "") -> None:
        """End the episode. What is not kept stays readable, and out of the way.

        Args:
            kept: whether it is used for learning, replay and conversions.
            outcome: "success", "failure", "timeout" or "stopped"; None takes what the
                last step says.
            why: in words, such as "discarded".

        Raises:
            ConfigError: no episode has begun, or an unknown outcome.
            RecordingError: it cannot be written.
        """
        if self.episode is None:
            raise ConfigError("no episode has begun; call begin() first")
        if self._gap:
            kept, outcome, why = False, "stopped", why or "a step is missing"
            with self._explained():
                for file in self._files.values():
                    file.cut()
        outcome = self._outcome if outcome is None else check_name(outcome, OUTCOMES, "outcome")
        if self._sync:
            self.sync()
        self._say("end", episode=self.episode, kept=bool(kept), outcome=outcome, why=why)
        self._kept[self.episode], self.episode = bool(kept), None
        if self._sync:
            self.sync()

    def mark(self, episode: int, kept: bool, why: str = "") -> None:
        """Keep an episode of the past after all, or no longer.

        Raises:
            ConfigError: there is no such episode, or it is in progress.
            RecordingError: it cannot be written.
        """
        if not 0 <= episode < self._next or episode == self.episode:
            raise ConfigError(f"episode {episode} is none of the {self._next} in the store, or has not ended")
        self._say("mark", episode=episode, kept=bool(kept), why=why)
        self._kept[episode] = bool(kept)

    def sync(self) -> None:
        """Wait until everything written so far is on the disk, images before what points to them."""
        with self._explained():
            for file in self._files.values():
                os.fsync(file.fd)

    def close(self) -> None:
        """Let go of the store; an episode that has not ended stays unfinished. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for file in self._files.values():
            os.close(file.fd)
        self._release()

    def _record(
        self, kind: int, episode: int, step: int, observation: Any, extras: Mapping | None
    ) -> tuple[np.ndarray, dict[str, bytes]]:
        """A record without its images' places and CRC, and its encoded images."""
        given, images = dict(flatten(observation)), {}
        record = np.zeros((), self.schema.record)
        record["kind"], record["episode"], record["step"], record["time"] = kind, episode, step, time.time()
        if unknown := set(given) - set(self.schema.observations) - set(self.schema.images):
            raise ConfigError(f"the store has no {sorted(unknown)}; make it with the environment's schema")
        for key, leaf in self.schema.observations.items():
            record["observation"][key] = leaf.hold(repr(key), given.get(key))
        for key, shape in self.schema.images.items():
            images[key] = self._codec.encode(Leaf(shape, "uint8").hold(repr(key), given.get(key)))
        for name, value in (extras or {}).items():
            leaf = self.schema.extras[check_name(name, self.schema.extras, "extra")]
            record["extras"][name] = leaf.hold(repr(name), value)
        return record, images

    def _append(self, record: np.ndarray, images: Mapping[str, bytes]) -> None:
        # Places are counted on only once the record is there: what an exception leaves behind is
        # written over by the next step.
        blobs = {key: self._files[self.schema.blob(key)] for key in images}
        steps = self._files[_STEPS]
        for key, data in images.items():
            record["images"][key] = (blobs[key].size, len(data), zlib.crc32(data))
        record["crc"] = zlib.crc32(record.tobytes()[:-4])
        with self._explained():
            for key, data in images.items():
                blobs[key].write(data)
            steps.write(record.tobytes())
        for key, data in images.items():
            blobs[key].size += len(data)
        steps.size += record.itemsize
        self._count += 1

    def _say(self, event: str, **content: Any) -> None:
        line = _line({"event": event, "records": self._count, **content})
        with self._explained():
            self._files[_EPISODES].write(line)
        self._files[_EPISODES].size += len(line)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        if self._closed:
            raise RecordingError(f"the store {self.folder} is closed; open it again to go on")
        try:
            yield
        except OSError as error:
            raise RecordingError(
                f"cannot write to {self.folder}: {error.strerror}; what was in flight is not recorded, all "
                "before it is. Make room and begin another episode, or open the store again later"
            ) from error


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _finite(name: str, value: Any) -> Any:
    if not np.isfinite(value).all():
        raise ConfigError(f"{name} must be finite, got {np.asarray(value).tolist()}")
    return value
