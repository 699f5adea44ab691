"""Sockets: a walled opening with clearance, lead-in chamfers and a floor. Slots and ports are made of one.

All sizes are in metres. A socket's frame is on what carries it, in the middle: x along the
opening, y across it, z out of it, which is also how the frame of a seated part lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from hilserl_envs.poses import xyzw_to_wxyz
from hilserl_envs.twin.props.solids import BOX, SOLID, beside_gap

WALL = 0.003  # thickness of a socket's walls [m]


@dataclass(frozen=True)
class Socket:
    """How a part fits in.

    Args:
        clearance: of the opening over the part's thickness.
        end_clearance: over the part's length.
        depth: how deep the part goes in.
        floor: height of the socket's floor above what carries it.
        lead_in: how far beside the opening an edge may come down and be guided in.
        tower_height: of both ends above the walls; they guide the part's ends.
        end_lead_in: how far off along the opening a part may come down and be guided in.
        friction: sliding friction of the walls.
    """

    clearance: float
    end_clearance: float
    depth: float
    floor: float = 0.002
    lead_in: float = 0.0009
    tower_height: float = 0.0025
    end_lead_in: float = 0.0008
    friction: float = 0.3

    @property
    def contact(self) -> dict:
        """Of its geoms. By its priority the socket's friction counts, not the larger one of both."""
        return {**SOLID, "friction": [self.friction, 0.005, 0.0001], "priority": 1}


class Ridge(NamedTuple):
    """A key across the opening: its middle along x, its width, its height over the floor."""

    offset: float
    width: float
    height: float


def add_socket(
    spec: mujoco.MjSpec,
    name: str,
    size: tuple[float, float],
    socket: Socket,
    pose_in_world: np.ndarray,
    colors: tuple,
    key: Ridge | None = None,
) -> mujoco.MjsBody:
    """A socket fixed in the world.

    The site `{name}_seat` is in the middle of its floor; the geom of a key is `{name}_key`.

    Args:
        size: length and thickness of the part that goes in.
        pose_in_world: (7,).
        colors: of walls and ends.
    """
    wall_color, end_color = colors
    body = spec.worldbody.add_body(name=name, pos=pose_in_world[:3], quat=xyzw_to_wxyz(pose_in_world[3:]))
    half_length, half_gap = (size[0] + socket.end_clearance) / 2, (size[1] + socket.clearance) / 2
    top = socket.floor + socket.depth
    tower_top, tower_width = top + socket.tower_height, half_gap + 1.1 * WALL

    def box(x, y, half_x, half_y, low, high, rgba, **settings):
        half_size = [half_x, half_y, (high - low) / 2]
        body.add_geom(
            type=BOX,
            pos=[x, y, (low + high) / 2],
            size=half_size,
            rgba=rgba,
            **{**socket.contact, **settings},
        )

    box(0, 0, half_length, half_gap, 0, socket.floor, wall_color)
    if key is not None:
        key_top = socket.floor + key.height
        box(key.offset, 0, key.width / 2, half_gap, socket.floor, key_top, wall_color, name=f"{name}_key")
    for sign in (-1, 1):
        # Walls end inside the towers: faces in one plane would flicker.
        long = half_length + WALL / 2
        wall = {**socket.contact, **beside_gap(y=sign * socket.clearance / 2)}
        box(0, sign * (half_gap + WALL / 2), long, WALL / 2, 0, top, wall_color, **wall)
        lead_in = (40, socket.lead_in, 0.001)
        _add_chamfer(body, lead_in, half_gap, top, long, sign, "y", wall_color, wall)
        end = {**socket.contact, **beside_gap(x=sign * socket.end_clearance / 2)}
        box(sign * (half_length + WALL / 2), 0, WALL / 2, tower_width, 0, tower_top, end_color, **end)
        lead_in = (30, socket.end_lead_in, 0.0015)
        _add_chamfer(body, lead_in, half_length, tower_top, tower_width, sign, "x", end_color, end)
    body.add_site(name=f"{name}_seat", pos=[0, 0, socket.floor], size=[0.001, 0, 0], group=4)
    return body


def _add_chamfer(body, lead_in, inside, top, half_width, sign, axis, rgba, contact) -> None:
    """A sloped lead-in that starts at a wall's inner upper edge and leans outwards.

    `lead_in` is its lean from upright [deg], how far it reaches outwards, and its thickness.
    """
    degrees, reach, thickness = lead_in
    lean = math.radians(degrees)
    length = reach / math.sin(lean)
    along = np.array([math.sin(lean), math.cos(lean)])  # outwards, up
    inward = np.array([-math.cos(lean), math.sin(lean)])
    out, up = np.array([inside, top]) + along * length / 2 - inward * thickness / 2
    cos, sin = math.cos(lean / 2), sign * math.sin(lean / 2)
    if axis == "y":
        pos, size, quat = [0, sign * out, up], [half_width, thickness / 2, length / 2], [cos, -sin, 0, 0]
    else:
        pos, size, quat = [sign * out, 0, up], [thickness / 2, half_width, length / 2], [cos, 0, sin, 0]
    body.add_geom(type=BOX, pos=pos, size=size, quat=quat, rgba=rgba, **contact)
