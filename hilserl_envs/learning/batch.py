"""What goes into an update: observations, actions in their two parts, batches."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import GRIPPER_THRESHOLD
from hilserl_envs.learning.extra import torch
from hilserl_envs.recording.schema import Schema, flatten
from hilserl_envs.tasks.setup import ArmAction

# Scales by name of a state, of its first three numbers and of the rest: m, rad, m/s, rad/s, N, Nm.
_SCALES = {
    "pose": (0.01, 0.1),
    "tcp_vel": (0.05, 0.3),
    "tcp_force": (5.0, 5.0),
    "tcp_torque": (0.5, 0.5),
    "gripper_pose": (0.2, 0.2),
    "q": (0.1, 0.1),
    "dq": (0.2, 0.2),
}
_OTHERWISE = 1e-3


class Packed(NamedTuple):
    """Feature maps as `features.pack` makes them: int8 (N, C, h, w), and float16 scales (N, C)."""

    values: torch.Tensor
    scale: torch.Tensor


def unscaled(features: torch.Tensor) -> Packed:
    """Feature maps (N, C, h, w) as they are, where packed ones are expected."""
    return Packed(features, features.new_ones(features.shape[:2]))


# By camera: features; or images (N, H, W, 3) uint8 that are still to be cropped and encoded, on a
# processor maybe as N of them where they lie on the disk.
Images = dict[str, Packed] | dict[str, torch.Tensor] | dict[str, list[np.ndarray]]


class Observations(NamedTuple):
    """N observations: the state (N, S) float32, and what there is of each camera."""

    state: torch.Tensor
    images: Images


class Batch(NamedTuple):
    """N transitions.

    Args:
        observations, next_observations: before and after the step.
        actions: (N, A) float32, the continuous numbers of the actions executed.
        grippers: (N,) int64, which of the 3 ** n joint commands the n grippers got.
        rewards: (N,) float32.
        penalties: (N,) float32, of the gripper commands, 0 or below.
        masks: (N,) float32, 0 where the episode ended for good, so that nothing follows;
            1 elsewhere, also where its time was up.
        expert: (N,) float32, 1 where the action is to be imitated: a demonstration's or an
            intervention's; 0 elsewhere.
    """

    observations: Observations
    actions: torch.Tensor
    grippers: torch.Tensor
    rewards: torch.Tensor
    penalties: torch.Tensor
    masks: torch.Tensor
    expert: torch.Tensor
    next_observations: Observations


@dataclass(frozen=True)
class Inputs:
    """Which numbers and images of an observation a policy sees.

    Args:
        state: sizes by key ("state/tcp_pose"), in the order in which they stand in a row.
        cameras: (height, width, 3) by key ("images/wrist_1").
    """

    state: Mapping[str, int]
    cameras: Mapping[str, tuple[int, int, int]]

    @classmethod
    def of_env(cls, env: gymnasium.Env) -> Inputs:
        """All that an environment shows.

        Raises:
            ConfigError: no numbers at all, or no fixed shape.
        """
        schema = Schema.of_env(env)
        state = {key: int(np.prod(leaf.shape)) for key, leaf in schema.observations.items()}
        if not state:
            raise ConfigError("learning needs a state in the observation, got only images")
        return cls(state, schema.images)

    @property
    def state_size(self) -> int:
        """Numbers of a row."""
        return sum(self.state.values())

    @functools.cached_property
    def scales(self) -> np.ndarray:
        """The least deviation (S,) that each number of a row is taken to have.

        Demonstrations are calm: what hardly changes in them, such as a tilt or a torque, would
        drown all else once a policy that still learns knocks against something.
        """
        return np.concatenate([_scales(key, size) for key, size in self.state.items()])

    def row(self, observation: Mapping[str, Any]) -> np.ndarray:
        """The state (S,) float32 of one observation of the environment."""
        parts = dict(flatten(observation))
        return np.concatenate([np.asarray(parts[key], np.float32).reshape(-1) for key in self.state])

    def rows(self, records: np.ndarray) -> np.ndarray:
        """The states (N, S) float32 of N records of an episode store."""
        parts = [records["observation"][key].reshape(len(records), -1) for key in self.state]
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")

    def check_store(self, schema: Schema, where: str) -> None:
        """Refuse a store that lacks something of the observation.

        Raises:
            ConfigError: says what, and how to get it.
        """
        wrong = []
        for key, size in self.state.items():
            leaf = schema.observations.get(key)
            if leaf is None:
                wrong.append(f"{key!r} is absent")
            elif (had := int(np.prod(leaf.shape))) != size:
                wrong.append(f"{key!r} has {had} numbers, not {size}")
        for key, shape in self.cameras.items():
            if (there := schema.images.get(key)) != tuple(shape):
                wrong.append(f"{key!r} is {'absent' if there is None else f'{there}, not {tuple(shape)}'}")
        if wrong:
            raise ConfigError(
                f"{where} does not hold what the policy shall see: {'; '.join(wrong)}. "
                "Record with the same task and settings (`--obs both`, obs=both in Python, holds images and "
                "the twin's state)"
            )


def _scales(key: str, size: int) -> np.ndarray:
    name = key.rpartition("/")[2]
    name = name if name in _SCALES or not name.endswith("_pose") else "pose"
    first, rest = _SCALES.get(name, (_OTHERWISE, _OTHERWISE))
    return np.where(np.arange(size) < 3, first, rest)


class ActionParts:
    """Splits actions into continuous numbers and one joint command of all grippers.

    Args:
        layout: of the environment's actions.
    """

    def __init__(self, layout: Iterable[ArmAction]):
        layout = list(layout)
        self.motions = [i for arm in layout for i in range(arm.motion.start, arm.motion.stop)]
        self.grippers = [arm.stop - 1 for arm in layout if arm.gripper]
        self._size = layout[-1].stop
        self._weights = 3 ** np.arange(len(self.grippers))

    def split(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions (N, n) as motions (N, A) float32 and commands (N,) int64."""
        told = actions[:, self.grippers]
        steps = 1 + (told > GRIPPER_THRESHOLD).astype(np.int64) - (told < -GRIPPER_THRESHOLD)
        return actions[:, self.motions].astype(np.float32), steps @ self._weights

    def join(self, motion: np.ndarray, command: int) -> np.ndarray:
        """One action (n,) float32 of a motion (A,) and a command."""
        action = np.zeros(self._size, np.float32)
        action[self.motions] = motion
        action[self.grippers] = command // self._weights % 3 - 1
        return action
