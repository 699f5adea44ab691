"""Statistics of features, as LeRobot normalises with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Stats = dict[str, dict[str, np.ndarray]]

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_IMAGES = 100  # looked at per episode


def episode_stats(columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray]) -> Stats:
    """min, max, mean, std, quantiles and count of an episode, by feature.

    Args:
        columns: (T, ...) numbers; their statistics are (n,).
        images: (T, H, W, 3) uint8; theirs are (3, 1, 1), of values in [0, 1], over some.
    """
    stats = {name: _stats(values.reshape(len(values), -1)) for name, values in columns.items()}
    for name, frames in images.items():
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(_IMAGES, len(frames))).round().astype(int))
        colours = _stats(frames[chosen].reshape(-1, 3) / 255.0)
        stats[name] = {stat: value.reshape(3, 1, 1) for stat, value in colours.items() if stat != "count"}
        stats[name]["count"] = np.array([len(chosen)])
    return stats


def _stats(values: np.ndarray) -> dict[str, np.ndarray]:
    values = values.astype(np.float64)
    quantiles = np.quantile(values, list(_QUANTILES.values()), axis=0)
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
        **dict(zip(_QUANTILES, quantiles, strict=True)),
    }


def aggregate(episodes: Sequence[Stats]) -> Stats:
    """Statistics of all episodes from those of each.

    Quantiles are means weighted by count, as LeRobot's own are; the others are exact.
    """
    return {name: _aggregate([stats[name] for stats in episodes]) for name in episodes[0]}


def _aggregate(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    weights = np.array([part["count"][0] for part in parts], np.float64)

    def mean(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.average(values, axis=0, weights=weights)

    center = mean([part["mean"] for part in parts])
    variance = mean([part["std"] ** 2 + (part["mean"] - center) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": center,
        "std": np.sqrt(variance),
        "count": np.array([int(weights.sum())]),
        **{name: mean([part[name] for part in parts]) for name in _QUANTILES},
    }
