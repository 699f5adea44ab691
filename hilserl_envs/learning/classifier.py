"""`RewardClassifier`: from what the cameras see to the probability of success, and its file.

The heads of the agent (see `networks`) on the same frozen encoder, an MLP, a sigmoid for each
stage: the reward classifier of the paper. How it learns is in `classifier_training`.

Several stages ("grasped", "inserted") are several questions with a yes or no each, answered by
one network, not classes of which one is true. It is what `ClassifierReward` pays for: stages
that are reached one after the other and may hold at once; and whoever labels answers one
question at a time. Stages that exclude each other, such as the sides of what is turned over, are
the case in which a yes to one is a no to all others, see `read_frames`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import Packed
from hilserl_envs.learning.encoder import SMALLEST_SIDE, ImageEncoder, make_encoder
from hilserl_envs.learning.extra import one_thread, torch
from hilserl_envs.learning.features import pack
from hilserl_envs.learning.networks import MLP, CameraHead
from hilserl_envs.learning.settings import AgentSettings
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
from hilserl_envs.recording import Schema, describe_env
from hilserl_envs.recording.schema import flatten

nn = torch.nn

# Of the paper's code; a file holds none of these, so another value is another format.
HEADS = AgentSettings(spatial_features=8, bottleneck_dim=256, dropout=0.1)
HIDDEN = (256,)
FORMAT = "reward classifier 1"
SUFFIX = ".safetensors"
_SIGHT = "encoder_check"
SIGHT_TOLERANCE = 0.01  # of the features' deviation; rounding is a few millionths


@dataclass(frozen=True)
class ClassifierInfo:
    """What a classifier knows of itself.

    Args:
        task: id of the environment that its frames are of.
        stages: names of what it tells; "success" if there is one.
        thresholds: probability above which each stage counts as reached.
        cameras: (height, width, 3) of the images it looks at, by key ("images/wrist_1").
        crops: see `image_crops`.
        encoder: name of the frozen encoder.
        encoder_weights: its file; None if it brings its own.
    """

    task: str
    stages: tuple[str, ...]
    thresholds: tuple[float, ...]
    cameras: Mapping[str, tuple[int, int, int]]
    crops: list | None
    encoder: str
    encoder_weights: str | None


class ClassifierNetwork(nn.Module):
    """Features by camera to logits (N, stages).

    Args:
        maps: shape (channels, height, width) of the features by camera.
        stages: how many.
    """

    def __init__(self, maps: Mapping[str, tuple[int, int, int]], stages: int):
        super().__init__()
        self.cameras = list(maps)
        self.heads = nn.ModuleList(CameraHead(shape, HEADS) for shape in maps.values())
        self.trunk = MLP(len(maps) * HEADS.bottleneck_dim, HIDDEN, "relu", HEADS.dropout)
        self.logits = nn.Linear(HIDDEN[-1], stages)

    def forward(
        self, features: Mapping[str, Packed], generator: torch.Generator | None = None
    ) -> torch.Tensor:
        heads = zip(self.cameras, self.heads, strict=True)
        seen = torch.cat([head(features[camera], generator) for camera, head in heads], dim=-1)
        return self.logits(self.trunk(seen, generator))


class RewardClassifier:
    """From observations to the probability of each stage; on the CPU.

    Args:
        info: see `ClassifierInfo`.
        encoder: of that name.
        network: trained on its features.
    """

    def __init__(self, info: ClassifierInfo, encoder: ImageEncoder, network: ClassifierNetwork):
        self.info, self.encoder, self.network = info, encoder, network

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probability above which each stage counts as reached."""
        return self.info.thresholds

    @one_thread()
    def __call__(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Probabilities (stages,) float32 of one observation of an environment.

        Raises:
            ConfigError: it lacks a camera, or has it in another size.
        """
        images, given = {}, dict(flatten(observation))
        for key, shape in self.info.cameras.items():
            if (there := np.shape(given.get(key))) != tuple(shape):
                raise ConfigError(f"the classifier looks at {key!r} of shape {shape}, got {there}")
            images[key] = given[key][None]
        return probabilities(self.network, encode(self.encoder, images))[0]

    def check_env(self, env: gymnasium.Env) -> None:
        """Refuse an environment of another task or of other images.

        Raises:
            ConfigError: says what differs.
        """
        shown = Schema.of_env(env).images
        wrong = [
            f"{key!r} is {'absent' if key not in shown else shown[key]}, not {tuple(shape)}"
            for key, shape in self.info.cameras.items()
            if shown.get(key) != tuple(shape)
        ]
        description = describe_env(env)
        if (task := description["env"]["id"]) != self.info.task:
            wrong.insert(0, f"it is {task}, not {self.info.task}")
        crops = image_crops(description)
        if self.info.crops is not None and crops != self.info.crops:
            wrong.append(f"its images are cropped by {crops}, not by {self.info.crops}")
        if wrong:
            raise ConfigError(
                f"this environment is not what the classifier was trained on: {'; '.join(wrong)}. Make it "
                "as the labels were recorded, or label frames of this one"
            )

    def save(self, path: str | Path) -> None:
        """Write the file, all of it or nothing.

        Raises:
            ConfigError: its name does not end in .safetensors.
            LearningError: it cannot be written.
        """
        tensors = {**self.network.state_dict(), _SIGHT: _sight(self.encoder)}
        about = {"format": FORMAT, **dataclasses.asdict(self.info)}
        save_tensors(check_file_name(path), tensors, about)


def load_classifier(path: str | Path, encoder_weights: str | Path | None = None) -> RewardClassifier:
    """The classifier of a file.

    Args:
        path: of the file.
        encoder_weights: the encoder's file, if it is no longer where it was.

    Raises:
        ConfigError: there is no such file, it holds something else, or the encoder's weights are
            missing or others than it was trained on.
    """
    try:
        tensors, about = load_tensors(Path(path))
    except LearningError as error:
        raise ConfigError(f"{error}; expected a classifier, which `hilserl classifier` makes") from None
    if about.pop("format", None) != FORMAT:
        raise ConfigError(f"{path} is no classifier of this version; `hilserl classifier` makes one")
    info = _info(about)
    weights = info.encoder_weights if encoder_weights is None else encoder_weights
    encoder = make_encoder(info.encoder, weights=weights)
    seen, now = tensors.pop(_SIGHT), _sight(encoder)
    if seen.shape != now.shape or (seen - now).abs().max() > SIGHT_TOLERANCE * seen.std():
        raise ConfigError(
            f"{path} was trained on an encoder {info.encoder!r} with other weights than those that are here: "
            "get those, or train it again"
        )
    network = ClassifierNetwork(feature_shapes(encoder, info.cameras), len(info.stages))
    network.load_state_dict(tensors)
    return RewardClassifier(info, encoder, network)


@torch.no_grad()
def probabilities(network: ClassifierNetwork, features: Mapping[str, Packed]) -> np.ndarray:
    """What a network says (N, stages) float32 of features by camera."""
    return torch.sigmoid(network(features)).numpy()


def feature_shapes(
    encoder: ImageEncoder, cameras: Mapping[str, tuple[int, int, int]]
) -> dict[str, tuple[int, int, int]]:
    """Shape (channels, rows, columns) of the features by camera."""
    return {key: encoder.feature_shape(*shape[:2]) for key, shape in cameras.items()}


def encode(encoder: ImageEncoder, images: Mapping[str, np.ndarray]) -> dict[str, Packed]:
    """Features of images (N, height, width, 3) uint8 by camera, packed."""
    return {key: Packed(*pack(encoder(image))) for key, image in images.items()}


def image_crops(description: Mapping[str, Any]) -> list | None:
    """Arguments of every `CropImages` in the description of an environment, which `describe_env` makes.

    None if it does not say.
    """
    wrappers = description.get("wrappers")
    if wrappers is None:
        return None
    return [wrapper["kwargs"] for wrapper in wrappers if wrapper["name"] == "CropImages"]


def check_file_name(path: str | Path) -> Path:
    """Refuse a name that does not say what is in the file.

    Raises:
        ConfigError: it does not end in .safetensors.
    """
    if Path(path).suffix != SUFFIX:
        raise ConfigError(f"a classifier's file is named ...{SUFFIX}, got {path}")
    return Path(path)


def _info(value: Mapping[str, Any]) -> ClassifierInfo:
    cameras = {key: tuple(shape) for key, shape in value["cameras"].items()}
    lists = {name: tuple(value[name]) for name in ("stages", "thresholds")}
    return ClassifierInfo(**{**value, **lists, "cameras": cameras})


def _sight(encoder: ImageEncoder) -> torch.Tensor:
    """What an encoder makes of one fixed image: another says something else."""
    ramp = np.arange(SMALLEST_SIDE, dtype=np.uint8) * 8
    image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 255 - ramp), axis=-1)
    return encoder(np.ascontiguousarray(image)[None])[0]
