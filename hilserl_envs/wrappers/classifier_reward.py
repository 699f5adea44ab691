"""`ClassifierReward`: success is what a classifier sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError
from hilserl_envs.wrappers.judging import refuse_to_judge
from hilserl_envs.wrappers.state import state_reader

Bounds = tuple[npt.ArrayLike, npt.ArrayLike]
THRESHOLD = 0.85  # the paper's, of RAM insertion


class ClassifierReward(gymnasium.Wrapper, RecordConstructorArgs):
    """Pays 1 for each stage that the classifier sees reached, once an episode.

    The episode succeeds, and terminates, when all stages are paid. `info["is_success"]`
    (and `succeed`) is the classifier's word; the environment's own stays in
    `info["task_success"]`, and `info["success_probability"]` holds the classifier's
    answer (stages,) float32, at resets too.

    The reward of what is inside is replaced. The environment must be made with
    `ends_on_success=False`: else it would end the episode before the classifier says so.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import ClassifierReward
        >>> env = gym.make("hilserl/PickCube-v0", ends_on_success=False)
        >>> redness = lambda observation: float(np.mean(observation["images"]["front"][..., 0]) > 250)
        >>> env = ClassifierReward(env, redness, threshold=0.7, conditions={"gripper_pose": (0.1, 0.9)})

    Args:
        env: any environment with dictionary observations.
        classifier: from an observation to the probability of success, or of each of
            several stages; or the name of a file that `hilserl classifier` wrote, which then
            is in the environment's spec and in recordings.
        threshold: a probability above this counts; one for all stages, or one each. None takes
            the classifier's own `thresholds`, which a file holds, or 0.85 where it has none.
        conditions: (low, high) by state key, each a number or one per element of the
            key's value, which must lie between them, ends included. A frame on which a
            condition fails reaches no stage. Works on flattened states too.
        consecutive: so many frames in a row must reach a stage.

    Raises:
        ConfigError: an unknown key or a wrong setting; a file that holds no classifier, or
            one of another task or other images; at the first step, a classifier that answers
            other than with probabilities.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        classifier: str | Path | Callable[[dict], npt.ArrayLike],
        threshold: float | Sequence[float] | None = None,
        conditions: Mapping[str, Bounds] | None = None,
        consecutive: int = 1,
    ):
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            classifier=str(classifier) if isinstance(classifier, Path) else classifier,
            threshold=threshold,
            conditions=conditions,
            consecutive=consecutive,
        )
        super().__init__(env)
        refuse_to_judge(env, self)
        if isinstance(classifier, str | Path):
            from hilserl_envs.learning.classifier import load_classifier

            classifier = load_classifier(classifier)
            classifier.check_env(env)
        if not callable(classifier):
            raise ConfigError(
                "ClassifierReward: a classifier is called with observations, or the name of a file; got "
                f"{classifier!r}"
            )
        self._classifier = classifier
        if threshold is None:
            threshold = getattr(classifier, "thresholds", THRESHOLD)
        try:
            self._threshold = np.array(threshold, dtype=np.float64)
        except (TypeError, ValueError):
            raise ConfigError(
                f"ClassifierReward: threshold is a number, or one a stage; got {threshold!r}"
            ) from None
        if self._threshold.ndim > 1 or not ((self._threshold >= 0) & (self._threshold < 1)).all():
            raise ConfigError(
                f"ClassifierReward: thresholds are in [0, 1), one or one a stage; got {threshold}"
            )
        if isinstance(consecutive, bool) or not isinstance(consecutive, int) or consecutive < 1:
            raise ConfigError(
                f"ClassifierReward: consecutive is a number of frames, at least 1; got {consecutive!r}"
            )
        if not isinstance(conditions or {}, Mapping):
            raise ConfigError(f"ClassifierReward: conditions are a mapping by state key, got {conditions!r}")
        self._consecutive = consecutive
        self._conditions = [self._condition(key, bounds) for key, bounds in (conditions or {}).items()]
        self._streak: np.ndarray | None = None
        self._paid = np.zeros(0, dtype=bool)

    def _condition(self, key: str, bounds: Bounds) -> Callable[[dict], bool]:
        size, read = state_reader(self.env, self, key)
        try:
            low, high = (np.broadcast_to(np.asarray(bound, dtype=np.float64), (size,)) for bound in bounds)
        except (TypeError, ValueError):
            raise ConfigError(
                f"ClassifierReward: the condition on {key!r} is (low, high), numbers or {size} each; "
                f"got {bounds!r}"
            ) from None
        if not (low <= high).all():
            raise ConfigError(f"ClassifierReward: no value of {key!r} is between {bounds!r}")
        return lambda observation: bool(((low <= (value := read(observation))) & (value <= high)).all())

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        observation, info = self.env.reset(seed=seed, options=options)
        self._streak = None
        _, info = self._judge(observation, info)
        self._paid[:] = False  # a stage reached at once is paid at the first step that is still there
        return observation, info

    def step(self, action: np.ndarray) -> tuple:
        observation, _, terminated, truncated, info = self.env.step(action)
        reward, info = self._judge(observation, info)
        return observation, reward, terminated or info["is_success"], truncated, info

    def _judge(self, observation: dict, info: dict) -> tuple[float, dict]:
        probability = self._probability(observation)
        if self._streak is None:
            self._streak, self._paid = np.zeros(probability.shape, int), np.zeros(probability.shape, bool)
        counts = all(condition(observation) for condition in self._conditions)
        self._streak = np.where(counts & (probability > self._threshold), self._streak + 1, 0)
        reached = (self._streak >= self._consecutive) & ~self._paid
        self._paid |= reached
        success = bool(self._paid.all())
        info = {
            **info,
            "is_success": success,
            "succeed": success,
            "task_success": bool(info.get("is_success", False)),
            "success_probability": probability.astype(np.float32),
        }
        return float(reached.sum()), info

    def _probability(self, observation: dict) -> np.ndarray:
        answer = self._classifier(observation)
        expected = "a probability, or one for each stage"
        try:
            probability = np.atleast_1d(np.asarray(answer, dtype=np.float64))
        except (TypeError, ValueError):
            raise ConfigError(f"the classifier answers {answer!r}; expected {expected}") from None
        stages = self._threshold.shape[0] if self._threshold.ndim else probability.size
        if probability.shape != (stages,) or not stages:
            raise ConfigError(
                f"the classifier answers with shape {probability.shape}; expected {expected}, as many as "
                "there are thresholds"
            )
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ConfigError(
                f"the classifier answers {probability.tolist()}; expected {expected}, in [0, 1]"
            )
        return probability
