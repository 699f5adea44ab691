"""What episodes come to: figures, lines and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation.episodes import Episode


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Bounds of a success rate, 95 % by default (E. B. Wilson, JASA 22, 1927).

    Raises:
        ConfigError: not 0 <= successes <= trials with trials >= 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigError(
            f"a success rate needs 0 <= successes <= trials, trials >= 1; got {successes} of {trials}"
        )
    rate, spread = successes / trials, z * z / trials
    center = rate + spread / 2
    half = z * math.sqrt((rate * (1 - rate) + spread / 4) / trials)
    # At none and at all successes the bound is 0 and 1 exactly, not to rounding.
    low = 0.0 if successes == 0 else (center - half) / (1 + spread)
    high = 1.0 if successes == trials else (center + half) / (1 + spread)
    return low, high


def summarize(episodes: Sequence[Episode]) -> dict:
    """Figures of some episodes, plain values by name.

    Cycle times are over successes, all else over all episodes. None stands for what there is
    not: cycle times without success, the task's own successes where nobody else judges,
    interventions and unaided successes where nobody could take over.
    """
    if not episodes:
        raise ConfigError("no episodes to sum up; run at least one")
    done = [episode for episode in episodes if episode.success]
    times = [episode.seconds for episode in done]
    steps = sum(episode.steps for episode in episodes)
    summary = {
        "episodes": len(episodes),
        "successes": len(done),
        "success_rate": len(done) / len(episodes),
        "success_interval": list(wilson_interval(len(done), len(episodes))),
        "task_successes": None,
        "task_successes_at_any_step": None,
        "mean_steps": steps / len(episodes),
        "mean_cycle_time_s": float(np.mean(times)) if done else None,
        "median_cycle_time_s": float(np.median(times)) if done else None,
        "intervention_rate": None,
        "unaided_successes": None,
        "mean_force_n": float(np.mean([episode.mean_force for episode in episodes])),
        "mean_peak_force_n": float(np.mean([episode.peak_force for episode in episodes])),
        "max_peak_force_n": max(episode.peak_force for episode in episodes),
        "diverged": sum(episode.diverged for episode in episodes),
    }
    if episodes[0].task_success is not None:
        summary["task_successes"] = sum(episode.task_success for episode in episodes)
        summary["task_successes_at_any_step"] = sum(e.task_success_at_any_step for e in episodes)
    if episodes[0].interventions is not None:
        summary["intervention_rate"] = sum(episode.interventions for episode in episodes) / max(steps, 1)
        summary["unaided_successes"] = sum(episode.interventions == 0 for episode in done)
    return summary


def describe(summary: dict) -> str:
    """The summary in lines for people."""
    low, high = summary["success_interval"]
    lines = {
        "success": f"{_share(summary, 'successes')}  (95 % Wilson interval {low:.1%} to {high:.1%})",
        "task says": None
        if summary["task_successes"] is None
        else f"{_share(summary, 'task_successes')} at the end, "
        f"{_share(summary, 'task_successes_at_any_step')} at any step",
        "unaided": _share(summary, "unaided_successes"),
        "interventions": _optional(summary["intervention_rate"], "{:.1%} of the steps"),
        "steps": f"{summary['mean_steps']:.1f} on average",
        "cycle time": "-"
        if summary["mean_cycle_time_s"] is None
        else f"{summary['mean_cycle_time_s']:.2f} s over the successes, "
        f"median {summary['median_cycle_time_s']:.2f} s",
        "force": f"{summary['mean_force_n']:.1f} N on average",
        "peak force": f"{summary['mean_peak_force_n']:.1f} N on average, "
        f"{summary['max_peak_force_n']:.1f} N at most",
        "diverged": f"the simulation, in {summary['diverged']} episodes" if summary["diverged"] else None,
    }
    return "\n".join(f"{name:13}  {line}" for name, line in lines.items() if line is not None)


def markdown_table(rows: Sequence[tuple[str, dict]]) -> str:
    """Summaries as a Markdown table, one a row; columns that no row has a figure for are left out.

    Args:
        rows: names and summaries.
    """
    columns = {
        "policy": [name for name, _ in rows],
        "success": [_share(summary, "successes") for _, summary in rows],
        "95 % interval": ["{:.1%} to {:.1%}".format(*summary["success_interval"]) for _, summary in rows],
        "task's own success": [_share(summary, "task_successes") for _, summary in rows],
        "at any step": [_share(summary, "task_successes_at_any_step") for _, summary in rows],
        "unaided": [_share(summary, "unaided_successes") for _, summary in rows],
        "interventions": [_optional(summary["intervention_rate"], "{:.1%}") for _, summary in rows],
        "steps": [f"{summary['mean_steps']:.1f}" for _, summary in rows],
        "cycle time, mean": [_optional(summary["mean_cycle_time_s"], "{:.2f} s") for _, summary in rows],
        "median": [_optional(summary["median_cycle_time_s"], "{:.2f} s") for _, summary in rows],
        "force, mean": [f"{summary['mean_force_n']:.1f} N" for _, summary in rows],
        "peak, mean": [f"{summary['mean_peak_force_n']:.1f} N" for _, summary in rows],
        "peak, largest": [f"{summary['max_peak_force_n']:.1f} N" for _, summary in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    lines = [list(shown), ["---"] * len(shown)]
    lines += [["-" if cell is None else cell for cell in line] for line in zip(*shown.values(), strict=True)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _share(summary: dict, key: str) -> str | None:
    count, episodes = summary[key], summary["episodes"]
    return None if count is None else f"{count}/{episodes} = {count / episodes:.1%}"


def _optional(value: float | None, form: str) -> str | None:
    return None if value is None else form.format(value)
