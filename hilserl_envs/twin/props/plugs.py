"""Plugs to pick up, and the ports they go into.

All sizes are in metres. The frame of a plug is in the middle of its body: x along its width,
y through its thickness, z backwards, out of the port.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.twin.props.looks import CASE, CHIP, GOLD, METAL, PLASTIC, STICK
from hilserl_envs.twin.props.sockets import WALL, Socket, add_socket
from hilserl_envs.twin.props.solids import BOX, CAPSULE, FIRM_GRIP, GRIPPABLE, PART, SEEN, SOLID, UNSEEN
from hilserl_envs.twin.shapes import ARM_BITS, STIFF_CONTACT

TAB_RADIUS, TAB_TRAVEL = 0.002, 0.0006  # [m]
TAB_INERTIA = 0.02  # [kg]: heavier than it is, or its spring would need a finer timestep


@dataclass(frozen=True)
class Plug:
    """A plug on the stick that it is held by.

    Args:
        width, thickness, length: of the shell, which goes into the port.
        body: width, thickness and length of the stick behind it.
        mass: [kg].
    """

    width: float
    thickness: float
    length: float
    body: tuple[float, float, float]
    mass: float

    @property
    def reach(self) -> float:
        """From the middle of the body to the shell's tip."""
        return self.body[2] / 2 + self.length


@dataclass(frozen=True)
class Port(Socket):
    """The socket of a plug, with a sprung tab above and below the shell; see `Socket`.

    Args:
        tab_force: of a tab on the shell [N].
        tab_stiffness: of its spring [N/m].
        tab_reach: how far a free tab stands into the opening.
    """

    tab_force: float = 8.0
    tab_stiffness: float = 3000.0
    tab_reach: float = 0.00035


def add_plug(spec: mujoco.MjSpec, name: str, plug: Plug) -> mujoco.MjsBody:
    """A free plug; sites `{name}_edge_left` and `_right` are the sides of its tip."""
    half_width, half_thickness, half_length = np.array(plug.body) / 2
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, 0.3])
    body.add_freejoint(name=name)
    half_size = [half_width, half_thickness, half_length]
    gripped = {"contype": 0, "conaffinity": sum(ARM_BITS), "priority": 1, **GRIPPABLE, **FIRM_GRIP}
    body.add_geom(type=BOX, size=half_size, mass=0.8 * plug.mass, group=UNSEEN, **gripped)
    body.add_geom(type=BOX, size=half_size, rgba=STICK, mass=0, **PART)
    shell = [plug.width / 2, plug.thickness / 2, plug.length / 2]
    ahead = -half_length - plug.length / 2
    body.add_geom(type=BOX, pos=[0, 0, ahead], size=shell, rgba=METAL, mass=0.2 * plug.mass, **SOLID)
    for side in (-1, 1):  # the two windows in the shell, and a label
        window = [side * 0.22 * plug.width, plug.thickness / 2, ahead]
        body.add_geom(type=BOX, pos=window, size=[0.0012, 0.0001, 0.0012], rgba=CHIP, **SEEN)
    label = [0.55 * half_width, 0.0001, 0.6 * half_length]
    body.add_geom(type=BOX, pos=[0, half_thickness, 0.1 * half_length], size=label, rgba=GOLD, **SEEN)
    for side, sign in (("left", -1), ("right", 1)):
        tip = [sign * plug.width / 2, 0, -plug.reach]
        body.add_site(name=f"{name}_edge_{side}", pos=tip, size=[0.001, 0, 0], group=4)
    return body


def add_port(
    spec: mujoco.MjSpec, name: str, plug: Plug, port: Port, case: tuple, pose_in_world: np.ndarray
) -> mujoco.MjsBody:
    """The port of `plug`, in the face of a case that `scene.place` can put elsewhere.

    Args:
        case: half-width, how far the case reaches below and above the port's middle, its depth.
        pose_in_world: (7,) of the port, see `sockets`.
    """
    size = (plug.width, plug.thickness)
    body = add_socket(spec, name, size, port, pose_in_world, (METAL, METAL))
    body.mocap = True
    half_width, below, above, depth = case
    outer = np.array(size) / 2 + np.array([port.end_clearance, port.clearance]) / 2 + WALL
    face = port.floor + port.depth - 0.0005

    def block(low, high):
        low, high = np.array(low), np.array(high)
        body.add_geom(type=BOX, pos=(low + high) / 2, size=(high - low) / 2, rgba=CASE, **SOLID)

    block((-half_width, -below, -depth), (half_width, above, 0))
    block((-half_width, -below, 0), (half_width, -outer[1], face))
    block((-half_width, outer[1], 0), (half_width, above, face))
    for sign in (-1, 1):
        side = sorted((sign * outer[0], sign * half_width))
        block((side[0], -outer[1], 0), (side[1], outer[1], face))
    for side, sign in (("lower", -1), ("upper", 1)):
        _add_tab(spec, body, f"{name}_tab_{side}", size, port, sign)
    tongue = np.array([0.4 * plug.width, 0.2 * plug.thickness, 0.35 * port.depth])
    place = [0, 0.15 * plug.thickness, port.floor + tongue[2]]
    body.add_geom(type=BOX, pos=place, size=tongue, rgba=PLASTIC, **SEEN)
    return body


def _add_tab(spec, port_body, name, size, port, sign) -> None:
    """A rounded bump that the shell lifts by sliding under it; joint 0 is the tab at rest on its stop."""
    half_gap = (size[1] + port.clearance) / 2
    lift = port.tab_reach - port.clearance / 2  # by a shell in the middle
    rest = lift - port.tab_force / port.tab_stiffness
    middle = sign * (half_gap + TAB_RADIUS - port.tab_reach)
    tab = port_body.add_body(name=name, pos=[0, middle, port.floor + 0.6 * port.depth])
    tab.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, sign, 0], range=[0, TAB_TRAVEL], limited=True,
        stiffness=[port.tab_stiffness, 0, 0], springref=rest, armature=TAB_INERTIA,
        damping=[1.4 * np.sqrt(port.tab_stiffness * TAB_INERTIA), 0, 0],
        solref_limit=STIFF_CONTACT["solref"], solimp_limit=STIFF_CONTACT["solimp"],
    )  # fmt: skip
    half_width = 0.2 * size[0]
    tab.add_geom(
        type=CAPSULE, fromto=[-half_width, 0, 0, half_width, 0, 0], size=[TAB_RADIUS, 0, 0], rgba=METAL,
        mass=0.0005, **port.contact,
    )  # fmt: skip
    spec.add_exclude(bodyname1=port_body.name, bodyname2=name)
