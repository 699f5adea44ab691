"""`GripperState`: whether grippers are open or closed, by what they were told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hilserl_envs.franka_env import GRIPPER_THRESHOLD
from hilserl_envs.tasks.setup import ArmAction

OPEN_ABOVE = 0.85  # a gripper whose `gripper_pose` is above this is open


class GripperState:
    """Follows the commands executed. Fingers around an object are closed, however far apart.

    Args:
        arms: of the actions that it is told of; those without a gripper are passed over.
        open_above: opening above which a gripper is open at reset.
    """

    def __init__(self, arms: Iterable[ArmAction], open_above: float = OPEN_ABOVE):
        self._arms = [arm for arm in arms if arm.gripper]
        self._open_above = open_above
        self.open = {arm.name: True for arm in self._arms}

    def reset(self, openings: Mapping[str, float]) -> None:
        """An episode starts with these openings, 0 to 1, by arm name."""
        self.open = {arm.name: bool(openings[arm.name] > self._open_above) for arm in self._arms}

    def execute(self, action: np.ndarray) -> int:
        """An action is executed; returns how many grippers it opened or closed."""
        changes = 0
        for arm in self._arms:
            command = action[arm.stop - 1]
            if abs(command) > GRIPPER_THRESHOLD:
                changes += bool(command > 0) != self.open[arm.name]
                self.open[arm.name] = bool(command > 0)
        return changes
