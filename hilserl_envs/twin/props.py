"""Props that tasks compose: blocks, cards and the slots they go into.

All sizes are in metres. Working surfaces have the stiff contacts of `arm.STIFF_CONTACT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.twin.arm import SCENE_BIT, STIFF_CONTACT

_BOX, _CAPSULE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE
_SOLID = {"contype": SCENE_BIT, "conaffinity": SCENE_BIT, **STIFF_CONTACT}
_SEEN = {"contype": 0, "conaffinity": 0, "mass": 0}
_GRIPPABLE = {"friction": [1.0, 0.01, 0.0002], "condim": 4}

LATCH_OPEN = 0.35  # [rad]
FOOT_RADIUS = 0.001  # of a latch's foot [m]

PLASTIC, IVORY, GOLD = (0.10, 0.10, 0.12, 1), (0.88, 0.87, 0.82, 1), (0.85, 0.70, 0.25, 1)
CIRCUIT_GREEN, BOARD_GREEN, CHIP = (0.10, 0.42, 0.20, 1), (0.06, 0.28, 0.16, 1), (0.08, 0.08, 0.09, 1)


def add_block(spec: mujoco.MjSpec, name: str, half_size: tuple, mass: float, rgba: tuple) -> mujoco.MjsBody:
    """A free box that fingers can hold."""
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, half_size[2]])
    body.add_freejoint(name=name)
    body.add_geom(name=name, type=_BOX, size=half_size, mass=mass, rgba=rgba, **_SOLID, **_GRIPPABLE)
    return body


@dataclass(frozen=True)
class Card:
    """A circuit card with an edge connector: a memory module, say.

    Its frame is in its middle: x along the edge, y through its thickness, z up.

    Args:
        length, height, thickness: of the card.
        mass: [kg].
        contact_height: of the strip that goes into the slot.
        key_offset, key_width: of the notch in the edge, from the middle along x.
        notch_height, notch_size, notch_depth: of the cut-outs in both ends that latches
            hook into: height of their lower edge above the card's, length, depth.
    """

    length: float
    height: float
    thickness: float
    mass: float
    contact_height: float
    key_offset: float
    key_width: float
    notch_height: float
    notch_size: float
    notch_depth: float


@dataclass(frozen=True)
class Slot:
    """The socket of a card.

    Its frame is on the board, in the middle of the socket, with the card's axes.

    Args:
        clearance: of the slot over the card's thickness.
        end_clearance: over the card's length.
        depth: how deep the edge goes in.
        floor: height of the slot's floor above the board.
        key_width: of the ridge that the card's notch goes over.
        friction: sliding friction of the walls.
        latch_friction: torque [Nm] that holds the latches where they are.
    """

    clearance: float
    end_clearance: float
    depth: float
    floor: float = 0.002
    key_width: float = 0.0020
    friction: float = 0.3
    latch_friction: float = 0.006


def add_card(spec: mujoco.MjSpec, name: str, card: Card) -> mujoco.MjsBody:
    """A free card; sites `{name}_edge_left` and `_right` are the ends of its lower edge."""
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, 0.3])
    body.add_freejoint(name=name)
    half_length, bottom = card.length / 2, -card.height / 2
    half_thickness, volume = card.thickness / 2, card.length * card.height

    def plate(low_x, high_x, low_z, high_z, rgba, **contact):
        size = [(high_x - low_x) / 2, half_thickness, (high_z - low_z) / 2]
        mass = card.mass * (high_x - low_x) * (high_z - low_z) / volume
        body.add_geom(
            type=_BOX, pos=[(low_x + high_x) / 2, 0, (low_z + high_z) / 2], size=size, rgba=rgba, mass=mass, **_SOLID, **contact
        )

    strip = bottom + card.contact_height
    for low, high in (
        (-half_length, card.key_offset - card.key_width / 2),
        (card.key_offset + card.key_width / 2, half_length),
    ):
        plate(low, high, bottom, strip, GOLD)
    notch_low, notch_high = bottom + card.notch_height, bottom + card.notch_height + card.notch_size
    inner = half_length - card.notch_depth
    plate(-half_length, half_length, strip, notch_low, CIRCUIT_GREEN)
    plate(-inner, inner, notch_low, notch_high, CIRCUIT_GREEN, **_GRIPPABLE)
    plate(-half_length, half_length, notch_high, -bottom, CIRCUIT_GREEN, **_GRIPPABLE)
    for x in np.linspace(-0.4, 0.4, 6) * card.length:
        if abs(x) > 0.012:  # where the fingers hold it
            for side in (-1, 1):
                body.add_geom(
                    type=_BOX, pos=[x, side * half_thickness, 0.12 * card.height],
                    size=[0.035 * card.length, 0.0004, 0.17 * card.height], rgba=CHIP, **_SEEN,
                )  # fmt: skip
    for side, sign in (("left", -1), ("right", 1)):
        body.add_site(name=f"{name}_edge_{side}", pos=[sign * half_length, 0, bottom], size=[0.001, 0, 0], group=4)
    return body


def add_slot(spec: mujoco.MjSpec, name: str, card: Card, slot: Slot, pose_in_world: np.ndarray) -> mujoco.MjsBody:
    """The socket of `card`, fixed in the world, with lead-in chamfers, key ridge and latches.

    The latches `{name}_latch_left` and `_right` have to be put at LATCH_OPEN before a card
    goes in, as by hand; the card's edge shuts them. The site `{name}_seat` is where the
    middle of a seated card's edge is.
    """
    body = spec.worldbody.add_body(name=name, pos=pose_in_world[:3], quat=np.roll(pose_in_world[3:], 1))
    contact = {**_SOLID, "friction": [slot.friction, 0.005, 0.0001]}
    half_gap, half_length = (card.thickness + slot.clearance) / 2, (card.length + slot.end_clearance) / 2
    wall, top = 0.003, slot.floor + slot.depth
    rise = 0.0008  # of the socket's walls where the chamfers start below their top
    body.add_geom(type=_BOX, pos=[0, 0, slot.floor / 2], size=[half_length, half_gap, slot.floor / 2], rgba=PLASTIC, **contact)
    for sign in (-1, 1):
        body.add_geom(
            type=_BOX, pos=[0, sign * (half_gap + wall / 2), top / 2], size=[half_length + wall, wall / 2, top / 2],
            rgba=PLASTIC, **contact,
        )  # fmt: skip
        _add_chamfer(body, 35, 0.003, 0.001, half_gap, top, half_length + wall, sign, "y", PLASTIC, contact)
        body.add_geom(
            type=_BOX, pos=[sign * (half_length + wall / 2), 0, top / 2], size=[wall / 2, half_gap + wall, top / 2],
            rgba=IVORY, **contact,
        )  # fmt: skip
        _add_chamfer(body, 30, 0.006, 0.002, half_length, top, half_gap + wall, sign, "x", IVORY, contact)
        _add_latch(spec, body, f"{name}_latch_{'right' if sign > 0 else 'left'}", card, slot, half_length, sign, contact)
    ridge = (slot.depth - rise) / 2
    body.add_geom(
        name=f"{name}_key", type=_BOX, pos=[card.key_offset, 0, slot.floor + ridge],
        size=[slot.key_width / 2, half_gap, ridge], rgba=PLASTIC, **contact,
    )  # fmt: skip
    body.add_site(name=f"{name}_seat", pos=[0, 0, slot.floor], size=[0.001, 0, 0], group=4)
    return body


def _add_chamfer(body, degrees, length, thickness, inside, top, half_width, sign, axis, rgba, contact) -> None:
    """A sloped lead-in that starts at the wall's inner upper edge and leans outwards."""
    lean = math.radians(degrees)
    along = np.array([math.sin(lean), math.cos(lean)])  # outwards, up
    inward = np.array([-math.cos(lean), math.sin(lean)])
    out, up = np.array([inside, top]) + along * length / 2 - inward * thickness / 2
    half = sign * lean / 2
    if axis == "y":
        pos, size, quat = [0, sign * out, up], [half_width, thickness / 2, length / 2], [math.cos(half), -math.sin(half), 0, 0]
    else:
        pos, size, quat = [sign * out, 0, up], [thickness / 2, half_width, length / 2], [math.cos(half), 0, math.sin(half), 0]
    body.add_geom(type=_BOX, pos=pos, size=size, quat=quat, rgba=rgba, **contact)


def _add_latch(spec, socket, name, card, slot, half_length, sign, contact) -> None:
    """A lever beside the socket: the card's edge presses its foot, its hook swings into the notch.

    Joint 0 is shut, LATCH_OPEN as far out as it goes; friction holds it where it is.
    """
    hinge_height, hinge_out, foot_in = 0.006, 0.006, 0.003
    hook_radius = 0.8 * card.notch_depth
    reach = slot.floor + card.notch_height + card.notch_size / 2 - hinge_height
    lever = socket.add_body(name=name, pos=[sign * (half_length + hinge_out), 0, hinge_height])
    lever.add_joint(
        name=name, axis=[0, sign, 0], range=[0, LATCH_OPEN], limited=True, frictionloss=slot.latch_friction,
        damping=[1e-4, 0, 0], armature=1e-6,
    )  # fmt: skip
    foot = [-sign * (hinge_out + foot_in), 0, slot.floor - FOOT_RADIUS - hinge_height]
    hook_in = hinge_out + (half_length - card.length / 2) - hook_radius + 0.7 * card.notch_depth
    hook = [-sign * hook_in, 0, reach]
    for (x, _, z), radius in ((foot, FOOT_RADIUS), (hook, hook_radius)):
        half_width = card.thickness / 2
        lever.add_geom(
            type=_CAPSULE, fromto=[x, -half_width, z, x, half_width, z], size=[radius, 0, 0], rgba=IVORY, mass=0.0005, **contact
        )
    for pos, size in (
        ([0, 0, reach / 2], [0.0015, 0.0035, reach / 2 + 0.004]),
        ([-sign * hook_in / 2, 0, reach + 0.001], [hook_in / 2, 0.0025, hook_radius]),
    ):
        lever.add_geom(type=_BOX, pos=pos, size=size, rgba=IVORY, contype=0, conaffinity=0, mass=0.0005)
    spec.add_exclude(bodyname1=socket.name, bodyname2=name)


def add_board(spec: mujoco.MjSpec, name: str, half_size: tuple, pos: tuple) -> None:
    """A circuit board lying on the table, its upper face at pos[2] + half_size[2]."""
    spec.worldbody.add_geom(name=name, type=_BOX, pos=pos, size=half_size, rgba=BOARD_GREEN, **_SOLID)
