"""A belt drive: two flanged pulleys on a plate, one of them on a sprung tensioner with a handle.

All sizes are in metres. Working surfaces have the stiff contacts of `shapes.STIFF_CONTACT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.poses import xyzw_to_wxyz
from hilserl_envs.twin.props.looks import ALUMINIUM, ANODISED, CHIP, METAL, PLASTIC, SIGNAL_ORANGE
from hilserl_envs.twin.props.solids import BOX, CYLINDER, FIRM, SEEN, SOLID
from hilserl_envs.twin.shapes import STIFF_CONTACT

PLATE_HALF_SIZE = (0.135, 0.07, 0.005)
TEETH = 20  # that a pulley is drawn with
RAIL_HALF_HEIGHT = 0.003


@dataclass(frozen=True)
class Pulley:
    """A pulley between two flanges.

    Args:
        radius: that the belt runs on.
        groove: height between the flanges.
        flange_radius, flange_thickness: of both flanges.
        mass: [kg].
        bearing: damping of its bearing [Nms/rad].
    """

    radius: float
    groove: float
    flange_radius: float
    flange_thickness: float = 0.0015
    mass: float = 0.05
    bearing: float = 1e-3


@dataclass(frozen=True)
class Drive:
    """Two equal pulleys, upright, and the spring that pulls one away from the other.

    Its frame is on the table, in the middle between the pulleys when the tensioner is at
    0; x points from the fixed pulley to the sprung one, z up.

    Args:
        distance: between the pulleys' axes, with the tensioner at 0.
        height: of the middle of the grooves.
        travel: how far in (negative) and out the tensioner goes.
        stiffness: of its spring [N/m].
        spring_at_rest: how far out the spring alone would push the tensioner, without a stop.
        handle_offset: of the handle's outer face from the sprung pulley's axis, along x.
        handle_half_width, handle_top: of the handle's plate.
    """

    distance: float
    height: float
    travel: tuple[float, float]
    stiffness: float
    spring_at_rest: float
    handle_offset: float = 0.062
    handle_half_width: float = 0.018
    handle_top: float = 0.070

    def spring_force(self, position: float) -> float:
        """Force [N] of the spring on the tensioner at a position."""
        return self.stiffness * (self.spring_at_rest - position)


def add_drive(
    spec: mujoco.MjSpec, name: str, pulley: Pulley, drive: Drive, pose_in_world: np.ndarray
) -> mujoco.MjsBody:
    """A belt drive, fixed in the world.

    Bodies `{name}_fixed` and `{name}_sprung` are the pulleys, their frames in the middle of
    the groove, z along the axis. The joint `{name}_tension` is the tensioner's, 0 where a
    belt of the right length is taut; the site `{name}_handle` is on the middle of the
    handle's outer face.
    """
    base = spec.worldbody.add_body(
        name=name, pos=pose_in_world[:3], quat=xyzw_to_wxyz(np.asarray(pose_in_world[3:]))
    )
    half_x, half_y, half_z = PLATE_HALF_SIZE
    plate_x = drive.handle_offset / 2
    base.add_geom(type=BOX, pos=[plate_x, 0, half_z], size=PLATE_HALF_SIZE, rgba=ANODISED, **SOLID)
    for x in (-0.9, 0.9):
        for y in (-0.8, 0.8):
            head = [plate_x + x * half_x, y * half_y, 2 * half_z]
            base.add_geom(type=CYLINDER, pos=head, size=[0.004, 0.0015, 0], rgba=CHIP, **SEEN)
    rail_top = 2 * half_z + 2 * RAIL_HALF_HEIGHT
    fixed = base.add_body(name=f"{name}_stand", pos=[-drive.distance / 2, 0, 0])
    _add_post(fixed, 2 * half_z, drive.height)
    _add_pulley(fixed, f"{name}_fixed", pulley, drive.height)
    inner, outer = drive.distance / 2 + drive.travel[0] - 0.012, drive.distance / 2 + drive.handle_offset
    rail = {"pos": [(inner + outer) / 2, 0, 2 * half_z + RAIL_HALF_HEIGHT], "rgba": PLASTIC}
    base.add_geom(type=BOX, size=[(outer - inner) / 2, 0.012, RAIL_HALF_HEIGHT], **rail, **SOLID)
    slider = base.add_body(name=f"{name}_tensioner", pos=[drive.distance / 2, 0, 0])
    joint = slider.add_joint(
        name=f"{name}_tension", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], range=drive.travel,
        limited=True, springref=drive.spring_at_rest, solref_limit=STIFF_CONTACT["solref"],
        solimp_limit=STIFF_CONTACT["solimp"],
    )  # fmt: skip
    joint.stiffness, joint.damping = [drive.stiffness, 0, 0], [20.0, 0, 0]
    _add_post(slider, rail_top, drive.height)
    _add_pulley(slider, f"{name}_sprung", pulley, drive.height)
    _add_handle(slider, name, drive, rail_top)
    spec.add_exclude(bodyname1=name, bodyname2=slider.name)
    return base


def _add_post(body: mujoco.MjsBody, low: float, high: float) -> None:
    half = (high - low) / 2
    body.add_geom(
        type=CYLINDER, pos=[0, 0, low + half], size=[0.007, half, 0], rgba=METAL, **{**SEEN, "mass": 0.02}
    )


def _add_pulley(parent: mujoco.MjsBody, name: str, pulley: Pulley, height: float) -> None:
    body = parent.add_body(name=name, pos=[0, 0, height])
    body.add_joint(name=name, axis=[0, 0, 1], damping=[pulley.bearing, 0, 0])
    half = pulley.groove / 2
    body.add_geom(
        type=CYLINDER, size=[pulley.radius, half, 0], rgba=METAL, mass=pulley.mass, **SOLID,
    )  # fmt: skip
    for sign in (-1, 1):
        body.add_geom(
            type=CYLINDER, pos=[0, 0, sign * (half + pulley.flange_thickness / 2)], rgba=ALUMINIUM,
            size=[pulley.flange_radius, pulley.flange_thickness / 2, 0], mass=0.1 * pulley.mass, **SOLID,
        )  # fmt: skip
    hub = half + pulley.flange_thickness
    body.add_geom(type=CYLINDER, pos=[0, 0, hub], size=[0.35 * pulley.radius, 0.002, 0], rgba=CHIP, **SEEN)
    # A line across shows how far it has turned.
    mark = [0.7 * pulley.flange_radius, 0.0009, 0.0002]
    body.add_geom(type=BOX, pos=[0, 0, hub], size=mark, rgba=CHIP, **SEEN)
    for angle in np.arange(TEETH) * 2 * math.pi / TEETH:
        across = [math.cos(angle), math.sin(angle)]
        body.add_geom(
            type=BOX, pos=[pulley.radius * across[0], pulley.radius * across[1], 0],
            size=[0.0002, 0.0014, 0.97 * half], quat=[math.cos(angle / 2), 0, 0, math.sin(angle / 2)],
            rgba=PLASTIC, **SEEN,
        )  # fmt: skip


def _add_handle(slider: mujoco.MjsBody, name: str, drive: Drive, low: float) -> None:
    """An upright plate, on a bar that passes below the belt; fingers push its outer face."""
    half_thickness, bar = 0.003, 0.003
    middle = drive.handle_offset - half_thickness
    half_height = (drive.handle_top - low) / 2
    slider.add_geom(
        type=BOX, pos=[middle / 2, 0, low + bar], size=[middle / 2, 0.008, bar], mass=0.03, rgba=ALUMINIUM,
        **SOLID,
    )  # fmt: skip
    slider.add_geom(
        name=f"{name}_handle", type=BOX, pos=[middle, 0, low + half_height], rgba=SIGNAL_ORANGE, mass=0.04,
        size=[half_thickness, drive.handle_half_width, half_height], **SOLID | FIRM, priority=1,
    )  # fmt: skip
    slider.add_site(
        name=f"{name}_handle", pos=[drive.handle_offset, 0, (low + drive.handle_top) / 2],
        size=[0.001, 0, 0], group=4,
    )  # fmt: skip
