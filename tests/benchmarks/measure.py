"""How the benchmarks measure, and what they report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS = 15


@dataclass(frozen=True)
class Result:
    """One promise and how it was kept.

    Args:
        name: what was measured.
        value: the ratio, or a number in `unit`.
        unit: "x" for a ratio.
        target: the promise.
        at_least: whether value has to reach the target, or stay below it.
        detail: the measurements behind the value.
    """

    name: str
    value: float
    unit: str
    target: float
    at_least: bool
    detail: str

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def take_turns(*works: Callable[[], float], rounds: int = ROUNDS) -> list[list[float]]:
    """Measurements of several works, taken in turns; each work measures itself."""
    measured: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, values in zip(works, measured, strict=True):
            values.append(work())
    return measured


def median_ratio(above: list[float], below: list[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return median(a / b for a, b in zip(above, below, strict=True))
