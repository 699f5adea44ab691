"""`GripperPenalty`: gripper commands that change something cost."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_array, check_name
from hilserl_envs.wrappers.action import layout_of
from hilserl_envs.wrappers.gripper_state import OPEN_ABOVE, GripperState
from hilserl_envs.wrappers.state import state_reader

PLACES = ("info", "reward")


class GripperPenalty(gymnasium.Wrapper, RecordConstructorArgs):
    """Closing an open gripper, or opening a closed one, costs; saying it again does not.

    Each arm's gripper is what it was last told to be, whatever it holds or how far its
    fingers got; at reset it is what the fingers' opening says. The command judged is the
    one executed: the person's while they are in control. `info["grasp_penalty"]` is the
    sum over the arms, 0 or below, at every step.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import GripperPenalty
        >>> env = GripperPenalty(gym.make("hilserl/PickCube-v0", obs="state"))
        >>> observation, info = env.reset(seed=0)
        >>> close = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]
        >>> [env.step(close)[4]["grasp_penalty"] for _ in range(3)]
        [-0.02, 0.0, 0.0]

    Args:
        env: with a gripper in its action and `gripper_pose` in its state.
        penalty: for each change, at least 0.
        into: "info" leaves the reward alone, for a critic that learns the gripper by
            itself; "reward" takes the penalty from it too.
        open_above: a gripper whose `gripper_pose` at reset is above this is open.

    Raises:
        ConfigError: no gripper in the action or in the state, or a wrong setting.
    """

    def __init__(
        self, env: gymnasium.Env, penalty: float = 0.02, into: str = "info", open_above: float = OPEN_ABOVE
    ):
        RecordConstructorArgs.__init__(self, penalty=penalty, into=into, open_above=open_above)
        super().__init__(env)
        self._penalty = float(check_array(penalty, (), "penalty"))
        if self._penalty < 0:
            raise ConfigError(f"GripperPenalty: a penalty is at least 0 (it is subtracted), got {penalty}")
        self._in_reward = check_name(into, PLACES, "place for the penalty") == "reward"
        arms = [arm for arm in layout_of(env, self) if arm.gripper]
        if not arms:
            raise ConfigError("GripperPenalty: no arm of this environment has a gripper in its action")
        self._readers = {arm.name: state_reader(env, self, f"{arm.prefix}gripper_pose")[1] for arm in arms}
        self._grippers = GripperState(arms, float(check_array(open_above, (), "open_above")))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        observation, info = self.env.reset(seed=seed, options=options)
        self._grippers.reset({name: float(read(observation)[0]) for name, read in self._readers.items()})
        return observation, info

    def step(self, action: np.ndarray) -> tuple:
        observation, reward, terminated, truncated, info = self.env.step(action)
        changes = self._grippers.execute(np.asarray(info.get("intervene_action", action)))
        penalty = -self._penalty * changes if changes else 0.0
        info = {**info, "grasp_penalty": penalty}
        return observation, reward + penalty * self._in_reward, terminated, truncated, info
