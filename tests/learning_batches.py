"""Batches of made-up transitions, for tests of what learns from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hilserl_envs.learning.batch import Batch, Observations, Packed
from hilserl_envs.learning.features import pack
from hilserl_envs.learning.settings import AgentSettings

STATE, ACTIONS = 3, 2
MAPS = {"images/left": (4, 2, 3), "images/right": (5, 2, 2)}
TINY = AgentSettings(
    hidden_dims=(16, 16), bc_hidden_dims=(16,), proprioception_dim=8, spatial_features=2, bottleneck_dim=6
)


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
