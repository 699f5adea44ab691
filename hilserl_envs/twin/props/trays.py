"""Trays: a floor with a rim around it, standing on the table."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.twin.props.solids import BOX, SOLID


@dataclass(frozen=True)
class Tray:
    """A rectangular tray. Its frame is on the table, in its middle: z up.

    Args:
        half_size: of the floor between the rims, along x and y [m].
        floor: height of the floor's upper face [m].
        rim_height: of the rims' upper edge [m].
        wall: thickness of the rims [m].
    """

    half_size: tuple[float, float]
    floor: float = 0.004
    rim_height: float = 0.022
    wall: float = 0.004

    def surrounds(self, point_in_tray: np.ndarray) -> bool:
        """Whether a point (3,) in the tray's frame is between its rims, and not above them."""
        inside = bool((np.abs(point_in_tray[:2]) <= self.half_size).all())
        return inside and bool(0.0 <= point_in_tray[2] <= self.rim_height)


def add_tray(
    spec: mujoco.MjSpec, name: str, tray: Tray, position: tuple[float, float], rgba: tuple
) -> mujoco.MjsBody:
    """A tray that does not move, its middle at `position` (x, y) [m] on the table."""
    body = spec.worldbody.add_body(name=name, pos=[*position, 0.0])
    (half_x, half_y), half_wall = tray.half_size, tray.wall / 2
    body.add_geom(
        type=BOX, pos=[0, 0, tray.floor / 2], size=[half_x, half_y, tray.floor / 2], rgba=rgba, **SOLID
    )
    edge = tuple(0.8 * part for part in rgba[:3])
    half_height = tray.rim_height / 2
    for sign in (-1, 1):
        for pos, size in (
            ([0, sign * (half_y + half_wall), half_height], [half_x + tray.wall, half_wall, half_height]),
            ([sign * (half_x + half_wall), 0, half_height], [half_wall, half_y, half_height]),
        ):
            body.add_geom(type=BOX, pos=pos, size=size, rgba=(*edge, rgba[3]), **SOLID)
    return body
