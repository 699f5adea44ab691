"""`EpisodeWriter`: appends episodes to a store; a kill at any instant loses the step in flight at most."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RecordingError, check_name
from hilserl_envs.recording import files
from hilserl_envs.recording.appender import StoreAppender
from hilserl_envs.recording.describe import json_value
from hilserl_envs.recording.image_codec import image_codec
from hilserl_envs.recording.schema import RESET, STEP, Leaf, Schema, flatten

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
        self._store = StoreAppender(self.folder, schema, description or {}, session or {}, sync)
        self.episode: int | None = None

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def recorded(self) -> int:
        """Episodes in the store, ended or not."""
        return self._store.next

    @property
    def kept(self) -> int:
        """Episodes in the store that are kept."""
        return sum(self._store.kept.values())

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
        record, images = self._record(RESET, self._store.next, 0, observation, extras)
        record["success"] = success
        self._store.say("begin", episode=self._store.next, seed=seed, options=json_value(dict(options or {})))
        self._store.append(record, images)
        self.episode, self._last_step, self._gap = self._store.next, 0, False
        self._store.next += 1
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
        self._store.append(record, images)
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
            self._store.cut()
        outcome = self._outcome if outcome is None else check_name(outcome, OUTCOMES, "outcome")
        if self._sync:
            self.sync()
        self._store.say("end", episode=self.episode, kept=bool(kept), outcome=outcome, why=why)
        self._store.kept[self.episode], self.episode = bool(kept), None
        if self._sync:
            self.sync()

    def mark(self, episode: int, kept: bool, why: str = "") -> None:
        """Keep an episode of the past after all, or no longer.

        Raises:
            ConfigError: there is no such episode, or it is in progress.
            RecordingError: it cannot be written.
        """
        if not 0 <= episode < self._store.next or episode == self.episode:
            raise ConfigError(
                f"episode {episode} is none of the {self._store.next} in the store, or has not ended"
            )
        self._store.say("mark", episode=episode, kept=bool(kept), why=why)
        self._store.kept[episode] = bool(kept)

    def sync(self) -> None:
        """Wait until everything written so far is on the disk, images before what points to them."""
        self._store.sync()

    def close(self) -> None:
        """Let go of the store; an episode that has not ended stays unfinished. Safe to call twice."""
        self._store.close()

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


def _finite(name: str, value: Any) -> Any:
    if not np.isfinite(value).all():
        raise ConfigError(f"{name} must be finite, got {np.asarray(value).tolist()}")
    return value
