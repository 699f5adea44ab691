"""What every wrapper that changes actions shares, and how to get an action out of the stack."""

from __future__ import annotations

from abc import ABC, abstractmethod

import gymnasium
import numpy as np

from hilserl_envs.errors import ActionError, ConfigError, check_array
from hilserl_envs.tasks.setup import ArmAction


def layout_of(env: gymnasium.Env, wrapper: gymnasium.Wrapper) -> tuple[ArmAction, ...]:
    """The action layout that `env` states.

    Raises:
        ConfigError: it states none.
    """
    if not env.has_wrapper_attr("action_layout"):
        raise ConfigError(
            f"{type(wrapper).__name__} wraps environments with an `action_layout`, such as FrankaEnv; "
            f"{env} has none"
        )
    return env.get_wrapper_attr("action_layout")


def refuse_outside_of_intervention(env: gymnasium.Env, wrapper: gymnasium.Wrapper) -> None:
    """For wrappers that leave numbers out: a person inside could use what cannot be told outside.

    Raises:
        ConfigError: an `Intervention` is inside.
    """
    if env.has_wrapper_attr("intervenes"):
        raise ConfigError(
            f"{type(wrapper).__name__} leaves out what the person further in may do; put it inside of "
            "Intervention"
        )


class ActionTransform(gymnasium.Wrapper, ABC):
    """A wrapper whose action space is another view of the inner one, in both directions.

    `info["intervene_action"]`, the action that a person had executed, comes from inside
    and is turned into this wrapper's own space on the way out, with the frame that held
    when it was executed.
    """

    @abstractmethod
    def action(self, action: np.ndarray) -> np.ndarray:
        """The inner action that carries out `action`."""

    @abstractmethod
    def reverse_action(self, action: np.ndarray) -> np.ndarray:
        """The action of this wrapper that an inner `action` corresponds to."""

    def step(self, action: np.ndarray) -> tuple:
        action = check_array(action, self.action_space.shape, "an action", ActionError)
        observation, reward, terminated, truncated, info = self.env.step(self.action(action))
        if "intervene_action" in info:
            # Turning may lengthen a full vector by its last bit.
            executed = np.clip(self.reverse_action(info["intervene_action"]), -1.0, 1.0)
            info = {**info, "intervene_action": executed.astype(np.float32)}
        return observation, reward, terminated, truncated, info


def outer_action(env: gymnasium.Env, action: np.ndarray) -> np.ndarray:
    """The action of a wrapped environment that has the innermost one execute `action`.

    Raises:
        ConfigError: a wrapper changes actions one way only.
    """
    wrappers = []
    while isinstance(env, gymnasium.Wrapper):
        wrappers.append(env)
        env = env.env
    for wrapper in reversed(wrappers):
        if isinstance(wrapper, ActionTransform):
            action = wrapper.reverse_action(action)
        elif isinstance(wrapper, gymnasium.ActionWrapper):
            raise ConfigError(
                f"{type(wrapper).__name__} cannot be undone, so no inner action can be given through it; "
                "derive it from hilserl_envs.wrappers.ActionTransform"
            )
    return np.asarray(action)
