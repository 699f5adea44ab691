"""`Replay`: an episode store as an agent sees it."""

from __future__ import annotations

import numpy as np

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.batch import ActionParts, Batch, Inputs, Observations
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.frame_cache import FrameCache
from hilserl_envs.learning.returns import Returns
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.episode import EpisodeInfo, is_kept
from hilserl_envs.recording.schema import RESET
from hilserl_envs.tasks.setup import ArmAction
from hilserl_envs.wrappers.gripper_state import GripperState


def has_ended(info: EpisodeInfo) -> bool:
    """Episodes that came to their own end; one in progress, or cut short, counts in no rate."""
    return info.finished and info.outcome != "stopped"


def is_usable(info: EpisodeInfo) -> bool:
    """Episodes to learn from: those kept, the one in progress, and those whose process died."""
    return info.kept or not (info.finished or info.why)


class Replay:
    """The transitions of a store that is being written, or was.

    Numbers are held in memory (about 150 bytes a transition), images come from a cache.
    A transition is named by the record of the observation before its step.

    Args:
        store: of the episodes.
        inputs: what of the observations is seen.
        layout: of the actions.
        gripper_penalty: for every gripper that a step opened or closed.
        cache: of the images, or of features of them; None where there are no cameras.
        capacity: the newest frames that are used.
        demonstrations: whether all actions are to be imitated, or those of interventions; of
            demonstrations those that are kept are used, and none that has not ended.

    Attributes:
        frames: (K,) records whose images are at hand.
        transitions: (N,) all that can be learned from.
        interventions: (M,) those of them in which somebody took over.
        total: transitions so far, those beyond the capacity included.
        returns: what the rewards of `transitions` allow, those of gripper critics too.

    Raises:
        ConfigError: the store lacks something that the policy shall see.
    """

    def __init__(
        self,
        store: EpisodeStore,
        inputs: Inputs,
        layout: tuple[ArmAction, ...],
        gripper_penalty: float,
        cache: FeatureCache | FrameCache | None,
        capacity: int,
        demonstrations: bool = False,
    ):
        self._demonstrations, self._used = demonstrations, is_kept if demonstrations else is_usable
        inputs.check_store(store.schema, str(store.folder))
        self.store, self._inputs, self._cache, self._capacity = store, inputs, cache, capacity
        self._parts, self._penalty = ActionParts(layout), gripper_penalty
        self._arms = [arm for arm in layout if arm.gripper]
        self._grippers = GripperState(layout)
        self._columns = {
            "state": np.empty((0, inputs.state_size), np.float32),
            "motion": np.empty((0, len(self._parts.motions)), np.float32),
            "command": np.empty(0, np.int64),
            "reward": np.empty(0, np.float32),
            "penalty": np.empty(0, np.float32),
            "mask": np.empty(0, np.float32),
            "finite": np.empty(0, bool),
            "encoded": np.empty(0, bool),
        }
        self._count = self.total = self._waiting = self._seen = 0
        self.frames = self.transitions = self.interventions = np.empty(0, np.int64)
        self.returns = Returns()

    def __len__(self) -> int:
        """Transitions."""
        return len(self.transitions)

    def refresh(self, limit: int | None = None) -> int:
        """Take in what was written since; returns how many frames wait to be encoded.

        Args:
            limit: frames that are encoded now at most, the oldest first; None takes all.

        Raises:
            RecordingError: the store is damaged.
            LearningError: no room for features, or numbers that are none.
        """
        self.store.refresh()
        if self._seen == self.store.changes and not self._waiting:
            return 0
        self._seen = self.store.changes
        self._take_in()
        frames, encoded = self.store.frames(self._used), self._columns["encoded"]
        oldest = self._oldest(frames)
        waiting = frames[(frames >= oldest) & ~encoded[frames]]
        now = waiting[:limit]
        if self._cache is not None and len(now):
            # A frame's number among those used, not in the file: a resumed run draws the same crops.
            self._encode(now, np.searchsorted(frames, now))
        encoded[now] = True
        self.frames = frames[(frames >= oldest) & encoded[frames]]
        steps = self.store.transitions(self._used)
        # What is too old to be used counts all the same, also where nobody encoded it this time.
        known = steps[(steps < oldest) | (encoded[steps] & encoded[steps + 1])]
        self.total, self.transitions = len(known), known[known >= oldest]
        self._check_numbers()
        self.interventions = self.transitions[self.store.records["intervened"][self.transitions + 1]]
        reward, penalty, mask = (
            self._columns[name][self.transitions + 1] for name in ("reward", "penalty", "mask")
        )
        self.returns = Returns.of(reward, mask) | Returns.of(reward + penalty, mask)
        self._waiting = len(waiting) - len(now)
        return self._waiting

    def _check_numbers(self) -> None:
        """Refuse transitions from which nothing but NaN can be learned."""
        finite, records = self._columns["finite"], self.store.records
        bad = self.transitions[~(finite[self.transitions] & finite[self.transitions + 1])]
        if len(bad):
            first = bad[0] if not finite[bad[0]] else bad[0] + 1
            episode, step = records["episode"][first], records["step"][first]
            raise LearningError(
                f"{self.store.folder}: step {step} of episode {episode} holds numbers that are not finite. "
                f"Take the episode out with `hilserl inspect {self.store.folder} --discard {episode}`"
            )

    def _oldest(self, frames: np.ndarray) -> int:
        """The first record that is used, given those that could be."""
        # Counted in frames, not in records: episodes that were made again leave the same ones.
        first = int(frames[-self._capacity]) if len(frames) > self._capacity else 0
        return first if self._cache is None else max(first, self._count - self._cache.capacity)

    def _take_in(self) -> None:
        """The numbers of new records."""
        records = self.store.records[self._count :]
        new = len(records)
        if new == 0:
            return
        for name, column in self._columns.items():
            if len(column) < self._count + new:
                size = max(2 * len(column), self._count + new, 1024)
                grown = np.zeros((size, *column.shape[1:]), column.dtype)
                grown[: self._count] = column[: self._count]
                self._columns[name] = grown
        rows = slice(self._count, self._count + new)
        motions, commands = self._parts.split(records["action"])
        states = self._inputs.rows(records)
        finite = np.isfinite(states).all(1) & np.isfinite(motions).all(1) & np.isfinite(records["reward"])
        for name, values in (
            ("finite", finite),
            ("state", states),
            ("motion", motions),
            ("command", commands),
            ("reward", records["reward"]),
            ("penalty", self._penalties(records)),
            ("mask", ~records["terminated"]),
        ):
            self._columns[name][rows] = values
        self._count += new

    def _penalties(self, records: np.ndarray) -> np.ndarray:
        penalties = np.zeros(len(records), np.float32)
        if not self._arms:
            return penalties
        for number, record in enumerate(records):
            if record["kind"] == RESET:
                openings = {
                    arm.name: float(record["observation"][f"state/{arm.prefix}gripper_pose"].reshape(-1)[0])
                    for arm in self._arms
                }
                self._grippers.reset(openings)
            else:
                penalties[number] = self._penalty * self._grippers.execute(record["action"])
        return penalties

    def _encode(self, frames: np.ndarray, ordinals: np.ndarray) -> None:
        checksums = self.store.records["crc"][frames]
        missing = ~self._cache.holds(frames, checksums)
        for record, ordinal in zip(frames[missing].tolist(), ordinals[missing].tolist(), strict=True):
            self._cache.write(*self._frame(record), ordinal)

    def renew_crops(self, record: int, rng: np.random.Generator) -> None:
        """Make the features of one of the `frames` again, of crops that `rng` draws.

        Raises:
            LearningError: no room for features.
        """
        self._cache.renew(*self._frame(record), rng)

    def _frame(self, record: int) -> tuple[int, int, dict[str, np.ndarray]]:
        """A record, its checksum, and its images by camera."""
        images = {key: self.store.take(key, [record])[0] for key in self._inputs.cameras}
        return record, int(self.store.records["crc"][record]), images

    def _expert(self, after: np.ndarray) -> np.ndarray:
        taken_over = self.store.records["intervened"][after]
        return np.float32(taken_over | self._demonstrations)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (S,) of the states of the transitions; see `Inputs.scales`."""
        states = self._columns["state"][self.transitions].astype(np.float64)
        deviation = states.std(0)
        return states.mean(0), np.maximum(deviation, self._inputs.scales)

    def batch(self, transitions: np.ndarray, rng: np.random.Generator) -> Batch:
        """Those transitions (N,), each image by one of its crops."""
        after, columns = transitions + 1, self._columns

        def observations(records: np.ndarray) -> Observations:
            images = {} if self._cache is None else self._cache.gather(records, rng)
            return Observations(torch.from_numpy(columns["state"][records]), images)

        def led_to(name: str) -> torch.Tensor:
            return torch.from_numpy(columns[name][after])

        return Batch(
            observations(transitions),
            led_to("motion"),
            led_to("command"),
            led_to("reward"),
            led_to("penalty"),
            led_to("mask"),
            torch.from_numpy(self._expert(after)),
            observations(after),
        )
