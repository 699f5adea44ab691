"""How good a classifier is: ROC, area under it, and a threshold with what can be promised of it.

All on the probabilities (M,) of frames that it did not learn from, and `reached` (M,) bool,
whether each of them is a success.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation import wilson_interval

LOWEST, HIGHEST = 0.5, 0.999  # thresholds that are suggested
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class StageReport:
    """How a classifier does on one stage, at a threshold.

    Args:
        stage: its name.
        threshold: a probability above counts as reached.
        successes, failures: frames judged.
        missed: successes that are not above the threshold.
        false_positives: failures that are.
        false_positive_interval: 95 % Wilson interval of their rate, were frames independent.
        failure_episodes: episodes with failures among the frames.
        false_positive_episodes: those of them with a false positive.
        auc: area under the ROC curve.
    """

    stage: str
    threshold: float
    successes: int
    failures: int
    missed: int
    false_positives: int
    false_positive_interval: tuple[float, float]
    failure_episodes: int
    false_positive_episodes: int
    auc: float

    @property
    def accuracy(self) -> float:
        """Share of frames judged right."""
        return 1 - (self.missed + self.false_positives) / (self.successes + self.failures)

    @property
    def recall(self) -> float:
        """Share of successes that are seen."""
        return 1 - self.missed / self.successes

    @property
    def false_positive_rate(self) -> float:
        """Share of failures that are taken for a success."""
        return self.false_positives / self.failures

    def doubts(self, rate: float) -> list[str]:
        """Why this threshold may not do what is wished for, a rate of false positives, in words."""
        doubts, high = [], self.false_positive_interval[1]
        if self.false_positive_rate > rate:
            doubts.append(
                f"{self.false_positive_rate:.1%} of the failures are taken for a success, not the {rate:.2%} "
                "wished for; label more failures like those that it got wrong"
            )
        elif high > rate:
            told = f"; to tell takes {failures_to_tell(rate)} that are all seen right" if rate > 0 else ""
            doubts.append(
                f"with {self.false_positives} of {self.failures} held-out failures taken for a success the "
                f"rate may be up to {high:.1%}, not the {rate:.2%} wished for{told}"
            )
        if self.recall < 0.9:
            doubts.append(
                f"{1 - self.recall:.0%} of the successes are not seen at this threshold; label more frames "
                "like those that it got wrong"
            )
        return [f"{self.stage}: {doubt}" for doubt in doubts]


def judge(
    stage: str, probabilities: np.ndarray, reached: np.ndarray, episodes: np.ndarray, threshold: float
) -> StageReport:
    """How a classifier does on one stage; `episodes` (M,) are numbers of the frames' episodes."""
    said = probabilities > threshold
    false = said & ~reached
    return StageReport(
        stage=stage,
        threshold=threshold,
        successes=int(reached.sum()),
        failures=int((~reached).sum()),
        missed=int((reached & ~said).sum()),
        false_positives=int(false.sum()),
        false_positive_interval=wilson_interval(int(false.sum()), int((~reached).sum())),
        failure_episodes=len(np.unique(episodes[~reached])),
        false_positive_episodes=len(np.unique(episodes[false])),
        auc=area_under(probabilities, reached),
    )


def roc(probabilities: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates of false and of true positives (K,), each for the same falling thresholds, 0 to 1."""
    order = np.argsort(-probabilities, kind="stable")
    ends = np.flatnonzero(np.diff(probabilities[order], append=-1.0))  # equal ones pass together
    true, false = np.cumsum(reached[order])[ends], np.cumsum(~reached[order])[ends]
    return np.append(0, false) / (~reached).sum(), np.append(0, true) / reached.sum()


def area_under(probabilities: np.ndarray, reached: np.ndarray) -> float:
    """Area under the ROC curve: how often a success is above a failure, ties by half."""
    false, true = roc(probabilities, reached)
    return float((np.diff(false) * (true[1:] + true[:-1]) / 2).sum())


def suggest_threshold(probabilities: np.ndarray, reached: np.ndarray, rate: float) -> float:
    """A threshold above which no larger share of the failures is than `rate`.

    As many successes are above it as can be, and then as few failures. It is in the middle
    between the nearest success above and the nearest failure below, on the scale of logits, so
    that a frame a little unlike these does not pass at once; but in [0.5, 0.999].

    Raises:
        ConfigError: no success, no failure, or a rate that is none.
    """
    if reached.all() or not reached.any() or not 0 <= rate < 1:
        raise ConfigError(
            f"a threshold needs successes, failures and a rate in [0, 1); got {int(reached.sum())} "
            f"successes, {int((~reached).sum())} failures and {rate}"
        )
    failures = np.sort(probabilities[~reached])[::-1].astype(np.float64)
    threshold = failures[math.floor(rate * len(failures))]  # as many as may be are above
    above = probabilities[reached & (probabilities > threshold)].astype(np.float64)
    if len(above):
        threshold = _middle(failures[failures < above.min()].max(), above.min())
    return float(np.clip(threshold, LOWEST, HIGHEST))


def failures_to_tell(rate: float) -> int:
    """How many failures it takes to tell, with 95 % confidence, that a rate above 0 is kept."""
    return math.ceil(Z**2 * (1 - rate) / rate)


def _middle(low: float, high: float) -> float:
    """Between two probabilities, where their logits' mean is."""
    tiny = 1e-7
    logits = [math.log(p / (1 - p)) for p in np.clip([low, high], tiny, 1 - tiny)]
    return 1 / (1 + math.exp(-sum(logits) / 2))
