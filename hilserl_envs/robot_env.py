"""`RobotEnv`: what gymnasium is told of an environment over a `Robot`."""

from __future__ import annotations

import dataclasses

import gymnasium
from gymnasium.envs.registration import EnvSpec

from hilserl_envs.robot import Robot


class RobotEnv(gymnasium.Env):
    """An environment over a robot: no two episodes of a real one are the same, and no window shows it.

    Args:
        robot: a twin if it has a scene.
    """

    def __init__(self, robot: Robot):
        self.robot = robot
        self._spec: EnvSpec | None = None
        if robot.scene is None:
            modes = [mode for mode in self.metadata["render_modes"] if mode != "human"]
            self.metadata = self.metadata | {"render_modes": modes}

    @property
    def spec(self) -> EnvSpec | None:
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None and self.robot.scene is None:
            spec = dataclasses.replace(spec, nondeterministic=True)
        self._spec = spec
