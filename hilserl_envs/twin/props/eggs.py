"""Fried eggs, of silicone as in a toy kitchen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco

from hilserl_envs.twin.props.looks import BROWNED, EGG_WHITE, YOLK
from hilserl_envs.twin.props.solids import CYLINDER, SEEN, UNSEEN, skinned

EDGE_SPHERES = 12  # around the white
SKIN = 0.002  # of it 0.6 mm are left where the egg lies [m]
RESISTANCE = (0.002, 0.001)  # to spinning and, of the yolk, to rolling, as arms of the contact's force [m]


@dataclass(frozen=True)
class Egg:
    """A disc, the white, with a dome on one of its faces, the yolk. Its frame is in the white's middle: z out
    of the yolk.

    Args:
        radius, thickness: of the white [m].
        yolk_radius, yolk_height: of the dome, and over the white [m].
        mass: [kg].
        friction: sliding, on anything.
    """

    radius: float
    thickness: float
    yolk_radius: float
    yolk_height: float
    mass: float
    friction: float


def add_egg(spec: mujoco.MjSpec, name: str, egg: Egg) -> mujoco.MjsBody:
    """A free egg, white and yellow on one side and browned on the other.

    A ring of spheres lies on what is flat and rolls over what is not, in fewer and better
    contacts than a cylinder; inside of it a disc, a little thinner, meets what pokes.
    """
    ellipsoid, sphere = mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_SPHERE
    body = spec.worldbody.add_body(name=name, pos=[0.6, 0, 0.6])
    body.add_freejoint(name=name)
    half = egg.thickness / 2
    ring, recess = egg.radius - half, SKIN / 2
    soft = {"friction": [egg.friction, *RESISTANCE], **skinned(SKIN)}
    for i in range(EDGE_SPHERES):
        angle = 2 * math.pi * i / EDGE_SPHERES
        pos = [ring * math.cos(angle), ring * math.sin(angle), 0]
        body.add_geom(type=sphere, pos=pos, size=[half, 0, 0], mass=0, group=UNSEEN, **soft)
    body.add_geom(
        type=CYLINDER, size=[ring, half - recess, 0], mass=egg.mass, group=UNSEEN, **(soft | skinned(recess))
    )
    dome = [egg.yolk_radius, egg.yolk_radius, egg.yolk_height]
    # Without resistance to rolling it would wobble round on the dome for ever, as a coin does on its edge.
    body.add_geom(type=ellipsoid, pos=[0, 0, half], size=dome, mass=0, rgba=YOLK, condim=6, **soft)
    for face, thickness, rgba in ((1, 4 * half / 3, EGG_WHITE), (-1, 2 * half / 3, BROWNED)):
        pos, size = [0, 0, face * (half - thickness / 2)], [egg.radius, thickness / 2, 0]
        body.add_geom(type=CYLINDER, pos=pos, size=size, rgba=rgba, **SEEN)
    return body
