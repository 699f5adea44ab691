"""Frying pans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.poses import quat_multiply, rotvec_to_quat, xyzw_to_wxyz
from hilserl_envs.twin.props.looks import PLASTIC, STEEL
from hilserl_envs.twin.props.solids import BOX, CYLINDER, SEEN, SOLID

RIM_BOXES = 24  # around the rim: their corners stand 0.9 mm out of a round one of 100 mm


@dataclass(frozen=True)
class Pan:
    """A round pan with a straight handle. Its frame is on its floor's upper face, in the middle: z up, x away
    from the handle.

    Args:
        radius: of the floor inside [m].
        rim_height, rim_slope: of the rim [m], and how far it leans out [rad].
        wall: thickness of floor and rim [m].
        handle: how far its end is from the middle [m].
        handle_size: its width and thickness [m].
        mass, handle_mass: without the handle, and of it [kg]. The rim's is counted as the floor's.
    """

    radius: float
    rim_height: float
    rim_slope: float
    wall: float
    handle: float
    handle_size: tuple[float, float]
    mass: float
    handle_mass: float

    @property
    def outer_radius(self) -> float:
        """Of the rim's upper edge [m]."""
        return self.radius + self.rim_height * math.tan(self.rim_slope)

    @property
    def handle_middle(self) -> np.ndarray:
        """Middle (3,) of the handle, in the pan's frame [m]: level with the rim's edge."""
        x = -(self.outer_radius + self.handle) / 2
        return np.array([x, 0.0, self.rim_height - self.handle_size[1] / 2])

    @property
    def center_of_mass(self) -> np.ndarray:
        """(3,) in the pan's frame [m]."""
        dish = np.array([0.0, 0.0, -self.wall / 2])
        return np.average([dish, self.handle_middle], axis=0, weights=[self.mass, self.handle_mass])

    def holds(self, point_in_pan: np.ndarray) -> bool:
        """Whether a point (3,) in the pan's frame is between its rim, and not above it."""
        within = np.hypot(*point_in_pan[:2]) <= self.outer_radius
        return bool(within and 0.0 <= point_in_pan[2] <= self.rim_height)


def add_pan(spec: mujoco.MjSpec, name: str, pan: Pan) -> mujoco.MjsBody:
    """A free pan: fix it to a hand with `weld_to_hand`."""
    body = spec.worldbody.add_body(name=name, pos=[0.6, 0, 0.5])
    body.add_freejoint(name=name)
    half_wall = pan.wall / 2
    body.add_geom(
        name=f"{name}_floor", type=CYLINDER, pos=[0, 0, -half_wall],
        size=[pan.radius + pan.wall, half_wall, 0], mass=pan.mass, rgba=STEEL, **SOLID,
    )  # fmt: skip
    slant = pan.rim_height / math.cos(pan.rim_slope)
    width = pan.outer_radius * math.tan(math.pi / RIM_BOXES)
    middle = np.array([(pan.radius + pan.outer_radius) / 2, 0.0, pan.rim_height / 2])
    tilt = rotvec_to_quat(np.array([0.0, pan.rim_slope, 0.0]))
    outwards = half_wall * np.array([math.cos(pan.rim_slope), 0.0, -math.sin(pan.rim_slope)])
    for angle in np.arange(RIM_BOXES) * 2 * math.pi / RIM_BOXES:
        around = rotvec_to_quat(np.array([0.0, 0.0, angle]))
        x, _, z = middle + outwards
        body.add_geom(
            type=BOX, pos=[x * math.cos(angle), x * math.sin(angle), z],
            quat=xyzw_to_wxyz(quat_multiply(around, tilt)), size=[half_wall, width, slant / 2],
            mass=0, rgba=STEEL, **SOLID,
        )  # fmt: skip
    length = pan.handle - pan.outer_radius
    width, thickness = pan.handle_size
    body.add_geom(
        type=BOX, pos=pan.handle_middle, size=[length / 2, width / 2, thickness / 2], rgba=PLASTIC,
        **{**SEEN, "mass": pan.handle_mass},
    )  # fmt: skip
    return body
