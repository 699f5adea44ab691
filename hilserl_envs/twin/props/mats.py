"""Mats of felt that lie on the table and catch what falls."""

from __future__ import annotations

import mujoco

from hilserl_envs.twin.props.looks import FELT
from hilserl_envs.twin.props.solids import BOX, SEEN, UNSEEN, skinned

_BACKING = 0.005  # what the felt is glued to: as thick, and as deep in the table [m]


def add_mat(
    spec: mujoco.MjSpec,
    name: str,
    low: tuple[float, float],
    high: tuple[float, float],
    hole: tuple[float, float, float],
    felt: float,
    wall: float,
) -> None:
    """A mat with a square hole in it, for what stands on the table, and a wall along its far edge.

    Args:
        low, high: its corners, x and y [m].
        hole: x and y of the hole's middle, and half its side [m].
        felt: thickness [m]; soft through and through.
        wall: height of the wall at `high` x [m], covered with the same felt.
    """
    x, y, half = hole
    for number, (near, far, top) in enumerate(
        (
            (low, (high[0], y - half), 0.0),
            ((low[0], y + half), high, 0.0),
            ((low[0], y - half), (x - half, y + half), 0.0),
            ((x + half, y - half), (high[0], y + half), 0.0),
            ((high[0], low[1]), (high[0] + _BACKING, high[1]), wall),
        )
    ):
        bottom = -_BACKING
        middle = [(near[0] + far[0]) / 2, (near[1] + far[1]) / 2, (bottom + top) / 2]
        size = [(far[0] - near[0]) / 2, (far[1] - near[1]) / 2, (top - bottom) / 2]
        backing = {"type": BOX, "pos": middle, "size": size, **skinned(felt)}
        spec.worldbody.add_geom(name=f"{name}_{number}", group=UNSEEN, **backing)
        seen = {"pos": [middle[0], middle[1], (top + felt) / 2], "size": [size[0], size[1], (top + felt) / 2]}
        spec.worldbody.add_geom(type=BOX, rgba=FELT, **seen, **SEEN)
