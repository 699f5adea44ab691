"""Batches of made-up transitions, for tests of what learns from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hilserl_envs.learning.batch import Batch, Observations, Packed
from hilserl_envs.learning.features import pack
from hilserl_envs.learning.settings import AgentSettings

STATE, ACTIONS = 3, 2
MAPS = {"images/left": (4, 2, 3), "images/right": (5, 2, 2)}
IMAGES = {"images/left": (3, 32, 32), "images/right": (3, 32, 32)}  # as a CNN takes them
TINY = AgentSettings(
    hidden_dims=(16, 16), bc_hidden_dims=(16,), proprioception_dim=8, spatial_features=2, bottleneck_dim=6,
    cnn_channels=(4, 6),
)  # fmt: skip


def random_observations(
    count: int, generator: torch.Generator, maps: Mapping[str, tuple[int, int, int]] = MAPS
) -> Observations:
    images = {key: torch.randn(count, *shape, generator=generator) for key, shape in maps.items()}
    return Observations(
        torch.randn(count, STATE, generator=generator),
        {key: Packed(*pack(features)) for key, features in images.items()},
    )


def random_batch(
    seed: int = 0,
    count: int = 8,
    grippers: int = 1,
    maps: Mapping[str, tuple[int, int, int]] = MAPS,
    **parts: torch.Tensor,
) -> Batch:
    """Transitions in which everything is drawn, but for the `parts` given."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    batch = Batch(
        observations=random_observations(count, generator, maps),
        actions=uniform(count, ACTIONS),
        grippers=torch.randint(3**grippers, (count,), generator=generator),
        rewards=uniform(count),
        penalties=-0.02 * torch.randint(2, (count,), generator=generator).float(),
        masks=torch.randint(2, (count,), generator=generator).float(),
        expert=torch.randint(2, (count,), generator=generator).float(),
        next_observations=random_observations(count, generator, maps),
    )
    return batch._replace(**parts)


def squares(places: torch.Tensor, side: int = 32) -> torch.Tensor:
    """Images (N, side, side, 3) uint8 of a square each, centred at its place (N, 2) in [-1, 1]."""
    centre = (side - 12) * (places[:, :, None] + 1) / 2 + 6
    rows, columns = ((torch.arange(side) - centre).abs() <= 3).unbind(1)
    inside = rows[:, :, None] & columns[:, None, :]
    return (40 + 180 * inside[..., None].expand(-1, -1, -1, 3)).to(torch.uint8)


def batch_of_squares(seed: int = 0, count: int = 8, grippers: int = 1) -> tuple[Batch, torch.Tensor]:
    """Transitions whose only information is in images of two cameras, and what it is.

    Returns:
        (batch, places): places (N, 2) in [-1, 1], the first number of which is one camera's square, the
        second the other's.
    """
    generator = torch.Generator().manual_seed(seed)

    def observe() -> tuple[Observations, torch.Tensor]:
        places = 2 * torch.rand(count, 2, generator=generator) - 1
        anywhere = 2 * torch.rand(count, 2, generator=generator) - 1
        images = {
            camera: squares(torch.stack([places[:, number], anywhere[:, number]], -1))
            for number, camera in enumerate(IMAGES)
        }
        return Observations(torch.zeros(count, STATE), images), places

    before, places = observe()
    batch = random_batch(seed, count, grippers, {}, observations=before, next_observations=observe()[0])
    return batch, places
