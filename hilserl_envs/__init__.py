"""Environments and wrappers for human-in-the-loop robot reinforcement learning.

Importing this package registers its tasks with gymnasium:
`gym.make("hilserl/RamInsertion-v0")`.
"""

from hilserl_envs.tasks import register, make_task
from hilserl_envs.franka_env import FrankaEnv

__version__ = "0.1.0"
__all__ = ["FrankaEnv", "make_task", "register"]
