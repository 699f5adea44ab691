"""What arms and hands are built of: primitive shapes, inertia, contacts."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

BOX, CAPSULE, CYLINDER = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
)
WHITE = (0.92, 0.93, 0.94, 1.0)
GREY = (0.55, 0.57, 0.60, 1.0)
LIGHT_GREY = (0.74, 0.75, 0.77, 1.0)
DARK = (0.16, 0.17, 0.19, 1.0)
BLUE = (0.25, 0.55, 0.85, 1.0)

# Collision groups as bits: props and scene meet everything, the parts of one arm never
# meet each other, two arms do meet.
SCENE_BIT = 1
ARM_BITS = (2, 4)
SEEN_ONLY = {"contype": 0, "conaffinity": 0}

# Stiff contacts of the working surfaces (pads and props), found on the RAM insertion:
# 0.08 mm penetration there, where MuJoCo's defaults give 1.6 mm.
STIFF_CONTACT = {"solref": (0.002, 1.0), "solimp": (0.95, 0.99, 0.0005, 0.5, 2.0)}


@dataclass(frozen=True)
class ArmBody:
    """The links of a seven-joint arm, base to flange, in their DH frames.

    Args:
        inertia: of links 0 to 7: mass [kg], centre of mass [m], inertia about it [kg m^2]
            as xx yy zz xy xz yz.
        solid_shapes: of links 0 to 7, what collides and is seen: type, start, end, radius,
            colour (a box: centre, half-sizes, None, colour).
        seen_shapes: of links 0 to 7, what is only seen.
        armature: rotor inertia seen at every joint [kg m^2].
        damping: viscous friction of every joint [Nms/rad].
    """

    inertia: tuple
    solid_shapes: tuple
    seen_shapes: tuple
    armature: float
    damping: float


def add_inertia(body: mujoco.MjsBody, figures: tuple) -> None:
    """Give a body its mass, centre of mass and inertia."""
    body.mass, body.ipos, body.fullinertia, body.explicitinertial = *figures, True


def add_shapes(body: mujoco.MjsBody, shapes: tuple, contact: dict, mirror: int = 1) -> None:
    """Add massless shapes to a body; `mirror` -1 reflects boxes in y."""
    for kind, start, end, radius, color in shapes:
        if kind == BOX:
            place = {"pos": [start[0], mirror * start[1], start[2]], "size": end}
        else:
            place = {"fromto": [*start, *end], "size": [radius, 0, 0]}
        body.add_geom(type=kind, rgba=color, mass=0, group=1, **place, **contact)
