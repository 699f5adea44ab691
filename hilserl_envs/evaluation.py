"""Running seeded episodes of a policy and summing them up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.policies import Policy


@dataclass(frozen=True)
class Episode:
    """One episode as it went.

    Args:
        seed: of the reset and the policy.
        success: whether it ended in success.
        steps: control steps taken.
        seconds: robot time from the first step to the last.
        peak_force: largest length of any arm's tcp_force after a step [N].
        total_reward: undiscounted sum.
    """

    seed: int
    success: bool
    steps: int
    seconds: float
    peak_force: float
    total_reward: float


def run_episodes(
    env: gymnasium.Env,
    policy: Policy,
    seeds: Sequence[int],
    watch: Callable[[dict], None] | None = None,
) -> Iterator[Episode]:
    """Run one episode per seed; yields each as it ends.

    Args:
        env: a `FrankaEnv` in any stack.
        policy: made for `env`.
        seeds: of the episodes, for `env.reset` and `policy.start`.
        watch: called with every observation, that of the reset included.
    """
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        policy.start(seed)
        began, steps, peak, total, over = env.unwrapped.robot_state.time, 0, 0.0, 0.0, False
        while not over:
            if watch is not None:
                watch(observation)
            observation, reward, terminated, truncated, info = env.step(policy(observation))
            over = terminated or truncated
            arms = env.unwrapped.robot_state.arms.values()
            peak = max(peak, *(float(np.linalg.norm(arm.tcp_force)) for arm in arms))
            steps, total = steps + 1, total + float(reward)
        if watch is not None:
            watch(observation)
        seconds = env.unwrapped.robot_state.time - began
        yield Episode(seed, bool(info["is_success"]), steps, seconds, peak, total)


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
    """Success rate with its interval, and means over episodes; cycle time over successes."""
    if not episodes:
        raise ConfigError("no episodes to sum up; run at least one")
    done = [episode for episode in episodes if episode.success]
    low, high = wilson_interval(len(done), len(episodes))
    return {
        "episodes": len(episodes),
        "successes": len(done),
        "success_rate": len(done) / len(episodes),
        "success_interval": [low, high],
        "mean_steps": float(np.mean([episode.steps for episode in episodes])),
        "mean_cycle_time_s": float(np.mean([episode.seconds for episode in done])) if done else None,
        "mean_peak_force_n": float(np.mean([episode.peak_force for episode in episodes])),
        "max_peak_force_n": max(episode.peak_force for episode in episodes),
    }


def describe(summary: dict) -> str:
    """The summary in lines for people."""
    low, high = summary["success_interval"]
    cycle = summary["mean_cycle_time_s"]
    return "\n".join(
        [
            f"success     {summary['successes']}/{summary['episodes']} = {summary['success_rate']:.1%}"
            f"  (95 % Wilson interval {low:.1%} to {high:.1%})",
            f"steps       {summary['mean_steps']:.1f} on average",
            f"cycle time  {'-' if cycle is None else f'{cycle:.2f} s over the successes'}",
            f"peak force  {summary['mean_peak_force_n']:.1f} N on average, "
            f"{summary['max_peak_force_n']:.1f} N at most",
        ]
    )
