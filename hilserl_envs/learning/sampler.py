"""`Sampler`: batches of demonstrations and experience."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hilserl_envs.learning.batch import Batch
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.replay import Replay


class Sampler:
    """Batches: one half of demonstrations and interventions, the other of all experience.

    A half that has nothing yet leaves its place to the other.

    Args:
        demonstrations: where one half comes from; None leaves it out.
        online: all experience, one for every store of it.
        batch_size: of a batch.
        seed: of what is drawn.
        device: of the batches.
        imitate: demonstrations and interventions only.
        interventions: whether those of `online` count as demonstrations too.
    """

    def __init__(
        self,
        demonstrations: Replay | None,
        online: Sequence[Replay],
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        imitate: bool = False,
        interventions: bool = True,
    ):
        self._demonstrations, self._online = demonstrations, online
        self._size, self._device, self._imitate = batch_size, torch.device(device), imitate
        self._interventions = interventions
        self._rng = np.random.default_rng([seed, 3])

    @property
    def state(self) -> dict[str, Any]:
        """Of the random numbers, as plain values; assign it to go on from there."""
        return self._rng.bit_generator.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def sample(self) -> Batch:
        """A batch, drawn with replacement."""
        sources = []  # (replay, transitions) that one half is drawn from
        if self._demonstrations is not None and len(self._demonstrations):
            sources.append((self._demonstrations, self._demonstrations.transitions))
        if self._interventions:
            sources += [(r, r.interventions) for r in self._online if len(r.interventions)]
        experience = [(r, r.transitions) for r in self._online if len(r) and not self._imitate]
        half = 0 if not sources else self._size if not experience else self._size // 2
        parts = [*self._drawn(sources, half), *self._drawn(experience, self._size - half)]
        return _moved(_joined(parts), self._device)

    def _drawn(self, sources: Sequence[tuple[Replay, np.ndarray]], size: int) -> Iterator[Batch]:
        """That many transitions, each as likely as any other, by the replay that they are of."""
        if size == 0:
            return
        drawn = self._rng.integers(sum(len(transitions) for _, transitions in sources), size=size)
        first = 0
        for replay, transitions in sources:
            mine = drawn[(drawn >= first) & (drawn < first + len(transitions))] - first
            first += len(transitions)
            if len(mine):
                yield replay.batch(transitions[mine], self._rng)


def _joined(parts: list[Any]) -> Any:
    """Batches, or any part of them, one behind the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(parts)
    if isinstance(first, list):
        return [image for part in parts for image in part]
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    return type(first)(*(_joined(list(items)) for items in zip(*parts, strict=True)))


def _moved(part: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return part
    if isinstance(part, torch.Tensor):
        return part.to(device, non_blocking=True)
    if isinstance(part, list):
        return torch.from_numpy(np.stack(part)).to(device, non_blocking=True)
    if isinstance(part, dict):
        return {key: _moved(value, device) for key, value in part.items()}
    return type(part)(*(_moved(item, device) for item in part))
