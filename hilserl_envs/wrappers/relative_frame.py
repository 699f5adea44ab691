"""`RelativeFrame`: act in the end effector's frame, see poses relative to the reset pose."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError
from hilserl_envs.poses import compose, invert, quat_conjugate, rotate
from hilserl_envs.tasks.setup import AXES
from hilserl_envs.wrappers.action import ActionTransform, layout_of
from hilserl_envs.wrappers.state import pose_keys


class RelativeFrame(ActionTransform, RecordConstructorArgs):
    """What is learned at one place then holds at another: nothing depends on the base.

    - Actions are displacements and rotations along the axes of the TCP as last measured.
      Both halves turn with its rotation R: inner = blockdiag(R, R) outer. A dynamic task's
      wrench stays along the base's axes: some of its components are not there to be turned.
    - `tcp_vel` is expressed in the same axes.
    - Every pose of the state (`tcp_pose`, the objects' poses) is relative to the TCP pose
      at reset, its quaternion with w >= 0.

    Forces are in the TCP's axes already. Source: section III.D of the SERL paper (Luo et
    al. 2024); the adjoint that its code multiplies actions with is not used here, since
    a displacement at the TCP has no lever arm.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import RelativeFrame
        >>> env = RelativeFrame(gym.make("hilserl/PickCube-v0", obs="state"))
        >>> observation, info = env.reset(seed=0)
        >>> bool(abs(observation["state"]["tcp_pose"][:6]).max() < 1e-6)  # at its own origin
        True

    Args:
        env: whose state holds each arm's `tcp_pose` (7,).
    """

    def __init__(self, env: gymnasium.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._layout = layout_of(env, self)
        if any(arm.axes != AXES and not arm.is_wrench for arm in self._layout):
            raise ConfigError("RelativeFrame turns whole motions; put it inside of ActionSubspace")
        poses = pose_keys(env, self)
        self._arms = [arm.prefix for arm in self._layout]
        for prefix in self._arms:
            if f"{prefix}tcp_pose" not in poses:
                raise ConfigError(
                    f"RelativeFrame needs {prefix}tcp_pose (7,) in the state; put it before wrappers that "
                    "change poses"
                )
        self._poses = {prefix: [key for key in poses if key.startswith(prefix)] for prefix in self._arms}
        self._base_in_reset: dict[str, np.ndarray] = {}
        self._tcp_quat: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        observation, info = self.env.reset(seed=seed, options=options)
        for prefix in self._arms:
            tcp_pose = observation["state"][f"{prefix}tcp_pose"].astype(np.float64)
            self._base_in_reset[prefix] = invert(tcp_pose)
        return self._observe(observation), info

    def step(self, action: np.ndarray) -> tuple:
        # The frame moves on only after the action, and what it was replaced by, were turned.
        observation, reward, terminated, truncated, info = super().step(action)
        return self._observe(observation), reward, terminated, truncated, info

    def action(self, action: np.ndarray) -> np.ndarray:
        return self._turned(action, lambda tcp_in_base: tcp_in_base)

    def reverse_action(self, action: np.ndarray) -> np.ndarray:
        return self._turned(action, quat_conjugate)

    def _turned(self, action: np.ndarray, turn: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        if not self._tcp_quat:
            raise gymnasium.error.ResetNeeded(
                "RelativeFrame knows no frame before the first reset; call reset()"
            )
        turned = np.array(action, dtype=np.float64)
        for arm in self._layout:
            if arm.is_wrench:
                continue
            quat = turn(self._tcp_quat[arm.prefix])
            for half in (arm.start, arm.start + 3):
                turned[half : half + 3] = rotate(quat, turned[half : half + 3])
        return turned

    def _observe(self, observation: dict) -> dict:
        state = dict(observation["state"])
        for prefix in self._arms:
            quat = state[f"{prefix}tcp_pose"][3:].astype(np.float64)
            self._tcp_quat[prefix] = quat / np.linalg.norm(quat)
            if f"{prefix}tcp_vel" in state:
                velocity, inverse = (
                    state[f"{prefix}tcp_vel"].astype(np.float64),
                    quat_conjugate(self._tcp_quat[prefix]),
                )
                both = np.concatenate([rotate(inverse, velocity[:3]), rotate(inverse, velocity[3:])])
                state[f"{prefix}tcp_vel"] = both.astype(np.float32)
            for key in self._poses[prefix]:
                pose = compose(self._base_in_reset[prefix], state[key].astype(np.float64))
                if pose[6] < 0:
                    pose[3:] *= -1
                state[key] = pose.astype(np.float32)
        return {**observation, "state": state}
