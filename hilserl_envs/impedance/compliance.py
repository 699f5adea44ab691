"""`Compliance`: the parameters of the impedance law, ranges checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import check_fields, checked_names, ranged

_AXES = ("x", "y", "z")


@checked_names
@dataclass(frozen=True)
class Compliance:
    """Parameters of the law, with the public controller's names, defaults and ranges.

    Stiffness in N/m and Nm per unit of sin(angle/2), damping in Ns/m and Nms/rad,
    clips of the error in m and in sin(angle/2). A clip bounds the force that the arm
    can exert at rest: stiffness times clip. `neg` clips bound the error on the side
    where the arm is behind its target in negative direction (error below zero).

    Raises:
        ConfigError: a value outside its range, or an unknown name.
    """

    translational_stiffness: float = ranged(2000.0, 0.0, 6000.0)
    translational_damping: float = ranged(89.0, 0.0, 400.0)
    rotational_stiffness: float = ranged(150.0, 0.0, 300.0)
    rotational_damping: float = ranged(7.0, 0.0, 30.0)
    nullspace_stiffness: float = ranged(0.2, 0.0, 100.0)
    joint1_nullspace_stiffness: float = ranged(100.0, 0.0, 100.0)
    translational_clip_x: float = ranged(0.01, 0.0, 0.1)
    translational_clip_y: float = ranged(0.01, 0.0, 0.1)
    translational_clip_z: float = ranged(0.01, 0.0, 0.1)
    translational_clip_neg_x: float = ranged(0.01, 0.0, 0.1)
    translational_clip_neg_y: float = ranged(0.01, 0.0, 0.1)
    translational_clip_neg_z: float = ranged(0.01, 0.0, 0.1)
    rotational_clip_x: float = ranged(0.05, 0.0, 0.1)
    rotational_clip_y: float = ranged(0.05, 0.0, 0.1)
    rotational_clip_z: float = ranged(0.05, 0.0, 0.1)
    rotational_clip_neg_x: float = ranged(0.05, 0.0, 0.1)
    rotational_clip_neg_y: float = ranged(0.05, 0.0, 0.1)
    rotational_clip_neg_z: float = ranged(0.05, 0.0, 0.1)
    translational_Ki: float = ranged(0.0, 0.0, 100.0)
    rotational_Ki: float = ranged(0.0, 0.0, 100.0)

    def __post_init__(self) -> None:
        check_fields(self)
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, float(getattr(self, field.name)))

    @property
    def clip(self) -> np.ndarray:
        """Upper bounds (6,) of the error, translation then rotation."""
        return self._six("translational_clip_{}", "rotational_clip_{}")

    @property
    def clip_neg(self) -> np.ndarray:
        """Magnitudes (6,) of the lower bounds of the error."""
        return self._six("translational_clip_neg_{}", "rotational_clip_neg_{}")

    def _six(self, linear: str, angular: str) -> np.ndarray:
        names = [name.format(axis) for name in (linear, angular) for axis in _AXES]
        return np.array([getattr(self, name) for name in names])
