"""Environments and wrappers for human-in-the-loop robot reinforcement learning.

Importing this package registers its tasks with gymnasium:
`gym.make("hilserl/RamInsertion-v0")`.
"""

from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.stack import make_env, make_vec_env
from hilserl_envs.tasks import make_task, register

__version__ = "0.1.0"
__all__ = ["FrankaEnv", "make_env", "make_task", "make_vec_env", "register"]
