"""Circuit boards."""

from __future__ import annotations

import mujoco

from hilserl_envs.twin.props.looks import BOARD_GREEN, CHIP, IVORY, METAL
from hilserl_envs.twin.props.solids import BOX, SOLID


def add_board(spec: mujoco.MjSpec, name: str, half_size: tuple, pos: tuple) -> None:
    """A circuit board lying on the table, its upper face at pos[2] + half_size[2].

    Parts stand along its long sides; two thirds of its width, in the middle, are free.
    """
    half_x, half_y, half_z = half_size
    spec.worldbody.add_geom(name=name, type=BOX, pos=pos, size=half_size, rgba=BOARD_GREEN, **SOLID)
    for x, y, size, rgba in (
        (0.45, 0.82, (0.016, 0.013, 0.0020), METAL),
        (-0.15, 0.84, (0.005, 0.005, 0.0030), CHIP),
        (-0.30, 0.84, (0.005, 0.005, 0.0030), CHIP),
        (-0.45, 0.84, (0.005, 0.005, 0.0030), CHIP),
        (-0.75, 0.80, (0.012, 0.010, 0.0012), CHIP),
        (0.70, -0.82, (0.009, 0.012, 0.0012), CHIP),
        (-0.55, -0.84, (0.030, 0.005, 0.0040), IVORY),
    ):
        place = [pos[0] + x * half_x, pos[1] + y * half_y, pos[2] + half_z + size[2]]
        spec.worldbody.add_geom(type=BOX, pos=place, size=size, rgba=rgba, **SOLID)
