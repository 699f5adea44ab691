"""The networks of the agent: heads on features of the images, policy, critics.

Dropout happens where a generator is given, and nowhere else: there are no modes to switch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hilserl_envs.learning.batch import Observations, Packed, unscaled
from hilserl_envs.learning.cnn import CNN
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.settings import AgentSettings

nn, functional = torch.nn, torch.nn.functional
_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
LARGEST_STATE = 10.0  # deviations: a blow on the force sensor is no more than a blow


class SpatialEmbedding(nn.Module):
    """Weighted sums over each channel's map, with learned weights: (N, C, h, w) to (N, C * features).

    The "spatial learned embeddings" of the paper's code. It takes maps in int8 with their
    scales: sums are scaled, not maps, which is quicker.
    """

    def __init__(self, shape: tuple[int, int, int], features: int):
        super().__init__()
        channels, height, width = shape
        bound = 1 / math.sqrt(height * width)
        self.kernel = nn.Parameter(torch.empty(channels, height * width, features).uniform_(-bound, bound))

    def forward(self, maps: Packed) -> torch.Tensor:
        by_channel = maps.values.flatten(2).transpose(0, 1)
        by_channel = by_channel.to(self.kernel.dtype, memory_format=torch.contiguous_format)
        # Transposed, which a processor multiplies, forwards and backwards, four times as fast.
        sums = torch.bmm(self.kernel.transpose(1, 2), by_channel.transpose(1, 2)).permute(2, 0, 1)
        return (sums * maps.scale[..., None].to(sums.dtype)).flatten(1)


class CameraHead(nn.Module):
    """One camera's features (N, C, h, w) to (N, bottleneck_dim)."""

    def __init__(self, shape: tuple[int, int, int], settings: AgentSettings):
        super().__init__()
        self.spatial = SpatialEmbedding(shape, settings.spatial_features)
        self._dropout = settings.dropout
        self.dense = nn.Linear(shape[0] * settings.spatial_features, settings.bottleneck_dim)
        self.norm = nn.LayerNorm(settings.bottleneck_dim)

    def forward(self, maps: Packed, generator: torch.Generator | None = None) -> torch.Tensor:
        embedded = drop_out(self.spatial(maps), self._dropout, generator)
        return torch.tanh(self.norm(self.dense(embedded)))


class ObservationNetwork(nn.Module):
    """Observations to one vector (N, `width`): the state embedded, and a head for each camera.

    Args:
        state_size: numbers of the state.
        maps: shape (channels, height, width) of the features by camera; of the images, with a CNN.
        settings: of the agent.
        cnn: in which type a CNN, one for all cameras, makes features of images; None where
            observations hold features.
    """

    def __init__(
        self,
        state_size: int,
        maps: Mapping[str, tuple[int, int, int]],
        settings: AgentSettings,
        cnn: torch.dtype | None = None,
    ):
        super().__init__()
        self.register_buffer("state_mean", torch.zeros(state_size))
        self.register_buffer("state_deviation", torch.ones(state_size))
        self.state = nn.Sequential(
            nn.Linear(state_size, settings.proprioception_dim),
            nn.LayerNorm(settings.proprioception_dim),
            nn.Tanh(),
        )
        # A module's name holds no dot, a camera's may.
        self.cameras = list(maps)
        self.cnn = None if cnn is None else CNN(settings.cnn_channels, cnn)
        if self.cnn is not None:
            maps = {camera: self.cnn.feature_shape(*shape[1:]) for camera, shape in maps.items()}
        self.heads = nn.ModuleList([CameraHead(shape, settings) for shape in maps.values()])
        self.width = settings.proprioception_dim + len(maps) * settings.bottleneck_dim

    def normalise(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """States have this mean and deviation (S,)."""
        self.state_mean.copy_(torch.as_tensor(mean))
        self.state_deviation.copy_(torch.as_tensor(deviation))

    def forward(self, observations: Observations, generator: torch.Generator | None = None) -> torch.Tensor:
        state = (observations.state - self.state_mean) / self.state_deviation
        parts = [self.state(state.clamp(-LARGEST_STATE, LARGEST_STATE))]
        for camera, head in zip(self.cameras, self.heads, strict=True):
            image = observations.images[camera]
            parts.append(head(image if self.cnn is None else unscaled(self.cnn(image)), generator))
        return torch.cat(parts, dim=-1)


def drop_out(x: torch.Tensor, rate: float, generator: torch.Generator | None) -> torch.Tensor:
    """Dropout by a generator on the device of `x`; none without one."""
    if generator is None or rate == 0:
        return x
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= rate
    return x * kept / (1 - rate)


class MLP(nn.Module):
    """Layers with LayerNorm, activation and dropout behind each: (N, width) to (N, hidden[-1])."""

    def __init__(self, width: int, hidden: Sequence[int], activation: str, dropout: float = 0.0):
        super().__init__()
        widths = [width, *hidden]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(out) for out in hidden)
        self._activation, self._dropout = _ACTIVATIONS[activation], dropout

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = drop_out(self._activation(norm(layer(x))), self._dropout, generator)
        return x


class GaussianPolicy(nn.Module):
    """Mean and deviation (N, A) of a Gaussian, before tanh."""

    def __init__(self, trunk: MLP, actions: int, settings: AgentSettings):
        super().__init__()
        self.trunk = trunk
        self.mean = nn.Linear(trunk.layers[-1].out_features, actions)
        self.log_std = nn.Linear(trunk.layers[-1].out_features, actions)
        nn.init.constant_(self.log_std.bias, math.log(settings.std_init))
        self._range = math.log(settings.std_min), math.log(settings.std_max)

    def forward(
        self, latent: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(latent, generator)
        return self.mean(hidden), self.log_std(hidden).clamp(*self._range).exp()


def sample_tanh(
    mean: torch.Tensor, deviation: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions (N, A) = tanh(mean + deviation * noise), and their log-density (N,).

    log(1 - tanh(x)^2) is 2 (log 2 - x - softplus(-2x)), exact where tanh is 1 to rounding.
    """
    before = mean + deviation * noise
    density = -0.5 * noise**2 - deviation.log() - 0.5 * math.log(2 * math.pi)
    slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))
    return torch.tanh(before), (density - slope).sum(-1)


class EnsembleLinear(nn.Module):
    """`members` linear layers at once: (E or 1, N, width) to (E, N, out)."""

    def __init__(self, members: int, width: int, out: int):
        super().__init__()
        bound = 1 / math.sqrt(width)  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(members, width, out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, out).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


class EnsembleNorm(nn.Module):
    """A LayerNorm for each member: (E, N, width)."""

    def __init__(self, members: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, width))
        self.bias = nn.Parameter(torch.zeros(members, 1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:]) * self.weight + self.bias


class Critics(nn.Module):
    """Q-values (E, N) of an ensemble of critics."""

    def __init__(self, width: int, actions: int, settings: AgentSettings):
        super().__init__()
        members, width = settings.critic_ensemble_size, width + actions
        widths = [width, *settings.hidden_dims]
        self.layers = nn.ModuleList(EnsembleLinear(members, *pair) for pair in itertools.pairwise(widths))
        self.norms = nn.ModuleList(EnsembleNorm(members, out) for out in settings.hidden_dims)
        self.value = EnsembleLinear(members, widths[-1], 1)
        self._activation = _ACTIVATIONS[settings.activation]

    def forward(self, latent: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        x = torch.cat([latent, actions], dim=-1)[None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self._activation(norm(layer(x)))
        return self.value(x).squeeze(-1)


class GripperCritic(nn.Module):
    """Values (N, 3 ** grippers) of closing, leaving and opening every gripper, in one head."""

    def __init__(self, trunk: MLP, grippers: int):
        super().__init__()
        self.trunk = trunk
        self.value = nn.Linear(trunk.layers[-1].out_features, 3**grippers)

    def forward(self, latent: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.value(self.trunk(latent, generator))


class PolicyNetwork(nn.Module):
    """All that acting needs: observations to a Gaussian before tanh, and values of gripper commands.

    Args:
        state_size, maps, cnn: of the observations, see `ObservationNetwork`.
        actions: continuous numbers of an action.
        grippers: how many.
        hidden, dropout: of the policy's layers.
        settings: all else.
    """

    def __init__(
        self,
        state_size: int,
        maps: Mapping[str, tuple[int, int, int]],
        actions: int,
        grippers: int,
        settings: AgentSettings,
        hidden: Sequence[int] | None = None,
        dropout: float = 0.0,
        cnn: torch.dtype | None = None,
    ):
        super().__init__()
        hidden = settings.hidden_dims if hidden is None else hidden
        self.observation = ObservationNetwork(state_size, maps, settings, cnn)

        def trunk() -> MLP:
            return MLP(self.observation.width, hidden, settings.activation, dropout)

        self.gaussian = GaussianPolicy(trunk(), actions, settings)
        self.gripper = GripperCritic(trunk(), grippers) if grippers else None
