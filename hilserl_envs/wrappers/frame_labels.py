"""`FrameLabels`: what the person says of each frame they see."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording.schema import LABELS

UNLABELLED = 0


class FrameLabels(gymnasium.Wrapper, RecordConstructorArgs):
    """Writes what is held on the device to `info["label"]`: 1 "success", -1 "failure", 0 neither or both.

    The label is of the frame that the person saw while they held it: of the observation
    that the step's action answers to, not of the one that comes of it.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import FrameLabels, Intervention
        >>> env = gym.make("hilserl/PickCube-v0", obs="state", ends_on_success=False)
        >>> env = FrameLabels(Intervention(env, "expert"))
        >>> observation, info = env.reset(seed=0)
        >>> env.step(env.action_space.sample())[4]["label"]
        -1

    Args:
        env: with `Intervention` in it.
        successes_per_episode: frames of success after which an episode is truncated: those of one
            episode are alike, and a classifier needs many episodes. None for no bound.

    Attributes:
        counts: labelled frames of this episode, by label.

    Raises:
        ConfigError: without, or a bound below 1.
    """

    def __init__(self, env: gymnasium.Env, successes_per_episode: int | None = None):
        RecordConstructorArgs.__init__(self, successes_per_episode=successes_per_episode)
        super().__init__(env)
        if successes_per_episode is not None and successes_per_episode < 1:
            raise ConfigError(f"successes_per_episode is at least 1, got {successes_per_episode}")
        self._most = math.inf if successes_per_episode is None else successes_per_episode
        if not env.has_wrapper_attr("intervenes"):
            raise ConfigError(
                "FrameLabels reads the buttons that Intervention reports; put it outside of one"
            )
        self.counts = dict.fromkeys(LABELS, 0)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        self.counts = dict.fromkeys(LABELS, 0)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple:
        observation, reward, terminated, truncated, info = self.env.step(action)
        held = [role for role in info["teleop"].held if role in LABELS]
        label = UNLABELLED
        if len(held) == 1:
            label = LABELS[held[0]]
            self.counts[held[0]] += 1
        truncated = truncated or self.counts["success"] >= self._most
        return observation, reward, terminated, truncated, {**info, "label": label}
