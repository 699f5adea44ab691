"""The Cartesian impedance law of serl_franka_controllers, and its parameters.

The law is a handful of compiled functions on float64 arrays that need no GIL, written once:
the twin calls them inside its physics loop, the libfranka backend of the robot server
inside its 1 kHz loop. Source: `cartesian_impedance_controller.cpp` of
rail-berkeley/serl_franka_controllers. `python -m hilserl_envs.impedance replay FILE`
replays a recording of any controller through it and prints the largest difference.
"""

from hilserl_envs.impedance.compliance import Compliance
from hilserl_envs.impedance.law import (
    LAW_HZ,
    MAX_TORQUE_CHANGE,
    LawMemory,
    LawParameters,
    impedance_torque,
    new_memory,
    new_parameters,
    set_compliance,
    set_target,
    settle_gains,
    solve_task_space,
    start,
)

__all__ = [
    "LAW_HZ",
    "MAX_TORQUE_CHANGE",
    "Compliance",
    "LawMemory",
    "LawParameters",
    "impedance_torque",
    "new_memory",
    "new_parameters",
    "set_compliance",
    "set_target",
    "settle_gains",
    "solve_task_space",
    "start",
]
