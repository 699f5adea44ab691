"""What one record of an episode store holds: keys, shapes, types, and their packed layout."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hilserl_envs.errors import ConfigError, check_name

RESET, STEP = 0, 1  # kinds of records
IMAGE_FORMATS = ("png", "raw", "jpeg")
# Of a frame, in an extra of that name; 0 is a frame that nobody labelled.
LABELS = {"success": 1, "failure": -1}

_IMAGE_REFERENCE = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])


@dataclass(frozen=True)
class Leaf:
    """One array of a record.

    Args:
        shape: of the array; () is a single number.
        dtype: numpy's name of a boolean, integer or floating type.

    Raises:
        ConfigError: another type.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        try:
            dtype = np.dtype(self.dtype)
        except TypeError:
            raise ConfigError(f"{self.dtype!r} is not a type of numbers; expected e.g. 'float32'") from None
        if dtype.kind not in "biuf":
            raise ConfigError(f"a record holds booleans, integers and floats, not {dtype}")
        object.__setattr__(self, "dtype", dtype.name)
        object.__setattr__(self, "shape", tuple(int(side) for side in self.shape))

    @property
    def packed(self) -> tuple[np.dtype, tuple[int, ...]]:
        """Type on disk, little-endian, and shape."""
        return np.dtype(self.dtype).newbyteorder("<"), self.shape

    def hold(self, name: str, value: Any) -> np.ndarray:
        """A value as this type; `name` is for the error.

        Raises:
            ConfigError: it has another shape or kind, or is too large for the type.
        """
        value = np.asarray(value)
        if value.shape != self.shape or not np.can_cast(value.dtype, self.dtype, "same_kind"):
            got = f"{value.shape} {value.dtype}" if value.dtype != object else "nothing of that kind"
            raise ConfigError(f"{name} is {self} in the store, got {got}")
        with np.errstate(over="ignore"):
            held = value.astype(self.dtype)
        too_large = held != value if value.dtype.kind in "iu" else np.isfinite(value) & ~np.isfinite(held)
        if too_large.any():
            raise ConfigError(f"{name} is {self} in the store, which cannot hold {value.max():g}")
        return held

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclass(frozen=True)
class Schema:
    """Keys and shapes of a store; the same for all its records.

    Args:
        observations: arrays of the observation by key, the names of nested dictionaries
            joined by "/": "state/tcp_pose".
        images: (height, width, 3) by key; uint8 RGB, each camera in a file of its own.
        action: of one step; always float32.
        extras: more numbers of each record by name, such as "grasp_penalty".
        slices: parts of flat observations by the key that they had before:
            "state/tcp_pose": ("state", 0, 6).
        image_format: "png" (lossless), "raw" or "jpeg".

    Raises:
        ConfigError: a key that is given twice or cannot be a file's name, or an unknown
            image format.
    """

    observations: Mapping[str, Leaf]
    images: Mapping[str, tuple[int, int, int]]
    action: Leaf
    extras: Mapping[str, Leaf] = field(default_factory=dict)
    slices: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    image_format: str = "png"

    def __post_init__(self) -> None:
        check_name(self.image_format, IMAGE_FORMATS, "image format")
        names = [*self.observations, *self.images, *self.extras, *self.slices]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"the key {name!r} is there twice; rename one")
            parts = name.split("/") if isinstance(name, str) else [""]
            if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
                raise ConfigError(f"{name!r} cannot be a key: expected names joined by single slashes")
        for key, shape in self.images.items():
            if len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
                raise ConfigError(f"the image {key!r} must have shape (height, width, 3), got {shape}")
        if len(set(map(self.blob, self.images))) < len(self.images):
            raise ConfigError(f"the images {list(self.images)} would share a file; rename one")
        for key, (source, start, stop) in self.slices.items():
            shape = self.observations[source].shape if source in self.observations else ()
            if len(shape) != 1 or not 0 <= start < stop <= shape[0]:
                raise ConfigError(f"{key!r} cannot be {source}[{start}:{stop}] of an array {shape}")

    @classmethod
    def of_env(
        cls, env: gymnasium.Env, extras: Mapping[str, str | Leaf] | None = None, image_format: str = "png"
    ) -> Schema:
        """The schema of an environment's observations and actions.

        Boxes of uint8 (height, width, 3) are images; any other array is part of the record,
        so stack frames outside of the recorder, not inside. The state that `FlattenProprioception`
        made flat stays addressable by its keys.

        Raises:
            ConfigError: a space without a fixed shape, or a wrong extra.
        """
        observations, images = {}, {}
        for key, space in flatten(env.observation_space):
            _check_fixed(space, key)
            if space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3:
                images[key] = tuple(space.shape)
            else:
                observations[key] = Leaf(space.shape, space.dtype)
        _check_fixed(env.action_space, "action")
        leaves = {
            name: extra if isinstance(extra, Leaf) else Leaf((), extra)
            for name, extra in (extras or {}).items()
        }
        return cls(
            observations,
            images,
            Leaf(env.action_space.shape),
            leaves,
            _slices(env, observations),
            image_format,
        )

    @functools.cached_property
    def record(self) -> np.dtype:
        """The packed little-endian layout of a record; its last four bytes are a CRC-32."""
        return np.dtype(
            [
                ("kind", "u1"),
                ("episode", "<u4"),
                ("step", "<u4"),
                ("time", "<f8"),
                ("action", *self.action.packed),
                ("reward", "<f4"),
                ("terminated", "?"),
                ("truncated", "?"),
                ("success", "?"),
                ("intervened", "?"),
                ("observation", [(key, *leaf.packed) for key, leaf in self.observations.items()]),
                ("extras", [(name, *leaf.packed) for name, leaf in self.extras.items()]),
                ("images", [(key, _IMAGE_REFERENCE) for key in self.images]),
                ("crc", "<u4"),
            ]
        )

    @staticmethod
    def blob(key: str) -> PurePosixPath:
        """Where in the store's folder a camera's images are."""
        return PurePosixPath("images", key.removeprefix("images/") + ".bin")

    def differences(self, other: Schema) -> list[str]:
        """What `other` has different, in words, one a key."""
        mine, theirs = self._in_words(), other._in_words()
        return [
            f"{name} is {mine.get(name, 'absent')} in the store and {theirs.get(name, 'absent')} now"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]

    def _in_words(self) -> dict[str, str]:
        words = {f"{key!r}": str(leaf) for key, leaf in self.observations.items()}
        words |= {f"{key!r}": "an image {}x{}x{}".format(*shape) for key, shape in self.images.items()}
        words |= {f"the extra {name!r}": str(leaf) for name, leaf in self.extras.items()}
        words |= {f"{key!r}": "{}[{}:{}]".format(*part) for key, part in self.slices.items()}
        return words | {"the action": str(self.action), "the image format": self.image_format}

    def to_json(self) -> dict:
        """As plain dictionaries and lists."""
        return {
            "observations": {key: [leaf.shape, leaf.dtype] for key, leaf in self.observations.items()},
            "images": {key: list(shape) for key, shape in self.images.items()},
            "action": [self.action.shape, self.action.dtype],
            "extras": {name: [leaf.shape, leaf.dtype] for name, leaf in self.extras.items()},
            "slices": {key: list(part) for key, part in self.slices.items()},
            "image_format": self.image_format,
        }

    @classmethod
    def from_json(cls, value: Mapping) -> Schema:
        """The schema that `to_json` wrote.

        Raises:
            ConfigError: it did not.
        """
        try:
            return cls(
                {key: Leaf(*leaf) for key, leaf in value["observations"].items()},
                {key: tuple(map(int, shape)) for key, shape in value["images"].items()},
                Leaf(*value["action"]),
                {name: Leaf(*leaf) for name, leaf in value["extras"].items()},
                {key: (source, int(a), int(b)) for key, (source, a, b) in value["slices"].items()},
                value["image_format"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"not the schema of an episode store: {error!r}") from None


def flatten(observation: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of an observation, the names of nested dictionaries joined by "/"."""
    if not isinstance(observation, Mapping):
        yield name or "observation", observation
        return
    for key, inner in observation.items():
        yield from flatten(inner, f"{name}/{key}" if name else str(key))


def _check_fixed(space: spaces.Space, key: str) -> None:
    if space.shape is None or space.dtype is None:
        raise ConfigError(f"{key!r} cannot be recorded: {space} has no fixed shape")


def _slices(env: gymnasium.Env, observations: Mapping[str, Leaf]) -> dict[str, tuple[str, int, int]]:
    """Where `FlattenProprioception` put the keys, unless something outside of it moved them again."""
    if "state" not in observations or not env.has_wrapper_attr("slices"):
        return {}
    parts = env.get_wrapper_attr("slices")
    if observations["state"].shape != (max(part.stop for part in parts.values()),):
        return {}
    return {f"state/{key}": ("state", part.start, part.stop) for key, part in parts.items()}
