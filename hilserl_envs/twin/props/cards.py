"""Cards with an edge connector and the slots they go into.

All sizes are in metres. Working surfaces have the stiff contacts of `shapes.STIFF_CONTACT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.poses import xyzw_to_wxyz
from hilserl_envs.twin.props.looks import CHIP, CIRCUIT_GREEN, GOLD, IVORY, PLASTIC
from hilserl_envs.twin.props.solids import BOX, CAPSULE, FIRM_GRIP, GRIPPABLE, SEEN, SOLID, UNSEEN, beside_gap
from hilserl_envs.twin.shapes import ARM_BITS, SCENE_BIT, STIFF_CONTACT

CARD_BIT = 8  # collision group of cards: they meet props, scene and each other, not the arms
LATCH_OPEN = 0.5  # [rad]
WALL = 0.003  # thickness of a socket's walls [m]
FOOT_RADIUS = 0.0008  # of a latch's foot [m]


@dataclass(frozen=True)
class Card:
    """A circuit card with an edge connector: a memory module, say.

    Its frame is in its middle: x along the edge, y through its thickness, z up.

    Args:
        length, height, thickness: of the card.
        mass: [kg].
        contact_height: of the gold strip along the edge.
        key_offset, key_width: of the cut in the edge, from the middle along x.
        notch_height, notch_size, notch_depth: of the cut-outs in both ends that latches
            hook into: height of their lower edge above the card's, length, depth.
        grip_half_width: of the part about the middle that has no chips, for fingers.
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
    grip_half_width: float = 0.012


@dataclass(frozen=True)
class Slot:
    """The socket of a card.

    Its frame is on the board, in the middle of the socket, with the card's axes.

    Args:
        clearance: of the slot over the card's thickness.
        end_clearance: over the card's length.
        depth: how deep the edge goes in.
        floor: height of the slot's floor above the board.
        lead_in: how far beside the slot an edge may come down and be guided in.
        tower_height: of both ends above the walls; they guide the card's ends.
        end_lead_in: how far off along the slot a card may come down and be guided in.
        key_width, key_height: of the ridge that the card's cut goes over.
        friction: sliding friction of the walls.
        latch_friction: torque [Nm] that holds the latches where they are.
    """

    clearance: float
    end_clearance: float
    depth: float
    floor: float = 0.002
    lead_in: float = 0.0009
    tower_height: float = 0.0025
    end_lead_in: float = 0.0008
    key_width: float = 0.0020
    key_height: float = 0.0050
    friction: float = 0.3
    latch_friction: float = 0.006


def add_card(spec: mujoco.MjSpec, name: str, card: Card) -> mujoco.MjsBody:
    """A free card; sites `{name}_edge_left` and `_right` are the ends of its lower edge.

    Fingers meet one plain box as large as the card, everything else meets the two blocks
    beside the key and the part above the notches: where two boxes abut under a pad or
    inside a slot, their contacts could push along the card instead of across it.
    """
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, 0.3])
    body.add_freejoint(name=name)
    half_length, bottom = card.length / 2, -card.height / 2
    gripped = {"contype": 0, "conaffinity": sum(ARM_BITS), "priority": 1, **GRIPPABLE, **FIRM_GRIP}
    solid = {"contype": CARD_BIT, "conaffinity": SCENE_BIT | CARD_BIT, "mass": 0, **STIFF_CONTACT}

    def plate(low_x, high_x, low_z, high_z, half_thickness=card.thickness / 2, **settings):
        middle = [(low_x + high_x) / 2, 0, (low_z + high_z) / 2]
        half_size = [(high_x - low_x) / 2, half_thickness, (high_z - low_z) / 2]
        body.add_geom(type=BOX, pos=middle, size=half_size, **settings)

    plate(-half_length, half_length, bottom, -bottom, mass=card.mass, group=UNSEEN, **gripped)
    notch_low, notch_high = bottom + card.notch_height, bottom + card.notch_height + card.notch_size
    strip, inner = bottom + card.contact_height, half_length - card.notch_depth
    for low, high in (
        (-half_length, card.key_offset - card.key_width / 2),
        (card.key_offset + card.key_width / 2, half_length),
    ):
        plate(low, high, bottom, notch_low, group=UNSEEN, **solid)
        plate(low, high, bottom, strip, rgba=GOLD, **SEEN)
    plate(-half_length, half_length, notch_high, -bottom, rgba=CIRCUIT_GREEN, **solid)
    plate(-inner, inner, notch_low, notch_high, rgba=CIRCUIT_GREEN, **SEEN)
    plate(-half_length, half_length, strip, notch_low, rgba=CIRCUIT_GREEN, **SEEN)
    half_chip, low, high = 0.035 * card.length, -0.05 * card.height, 0.3 * card.height
    for x in np.linspace(-0.4, 0.4, 6) * card.length:
        if abs(x) > card.grip_half_width:
            plate(x - half_chip, x + half_chip, low, high, card.thickness / 2 + 0.0004, rgba=CHIP, **SEEN)
    for side, sign in (("left", -1), ("right", 1)):
        end = [sign * half_length, 0, bottom]
        body.add_site(name=f"{name}_edge_{side}", pos=end, size=[0.001, 0, 0], group=4)
    return body


def add_slot(
    spec: mujoco.MjSpec, name: str, card: Card, slot: Slot, pose_in_world: np.ndarray
) -> mujoco.MjsBody:
    """The socket of `card`, fixed in the world, with lead-in chamfers, key ridge and latches.

    The latches `{name}_latch_left` and `_right` have to be put at LATCH_OPEN before a card
    goes in, as by hand; the card's edge shuts them. The site `{name}_seat` is where the
    middle of a seated card's edge is.
    """
    body = spec.worldbody.add_body(name=name, pos=pose_in_world[:3], quat=xyzw_to_wxyz(pose_in_world[3:]))
    # By its priority the slot's friction counts, not the larger one of slot and card.
    contact = {**SOLID, "friction": [slot.friction, 0.005, 0.0001], "priority": 1}
    half_gap, half_length = (card.thickness + slot.clearance) / 2, (card.length + slot.end_clearance) / 2
    top = slot.floor + slot.depth
    tower_top, tower_width = top + slot.tower_height, half_gap + 1.1 * WALL

    def box(x, y, half_x, half_y, low, high, rgba, **settings):
        size = [half_x, half_y, (high - low) / 2]
        body.add_geom(type=BOX, pos=[x, y, (low + high) / 2], size=size, rgba=rgba, **{**contact, **settings})

    box(0, 0, half_length, half_gap, 0, slot.floor, PLASTIC)
    key_top = slot.floor + slot.key_height
    box(card.key_offset, 0, slot.key_width / 2, half_gap, slot.floor, key_top, PLASTIC, name=f"{name}_key")
    for sign, side in ((-1, "left"), (1, "right")):
        # Walls end inside the towers: faces in one plane would flicker.
        long = half_length + WALL / 2
        wall = {**contact, **beside_gap(y=sign * slot.clearance / 2)}
        box(0, sign * (half_gap + WALL / 2), long, WALL / 2, 0, top, PLASTIC, **wall)
        _add_chamfer(body, 40, slot.lead_in, 0.001, half_gap, top, long, sign, "y", PLASTIC, wall)
        end = {**contact, **beside_gap(x=sign * slot.end_clearance / 2)}
        box(sign * (half_length + WALL / 2), 0, WALL / 2, tower_width, 0, tower_top, IVORY, **end)
        _add_chamfer(
            body, 30, slot.end_lead_in, 0.0015, half_length, tower_top, tower_width, sign, "x", IVORY, end
        )
        _add_latch(spec, body, f"{name}_latch_{side}", card, slot, half_length, sign, contact)
    body.add_site(name=f"{name}_seat", pos=[0, 0, slot.floor], size=[0.001, 0, 0], group=4)
    return body


def _add_chamfer(
    body, degrees, lead_in, thickness, inside, top, half_width, sign, axis, rgba, contact
) -> None:
    """A sloped lead-in that starts at a wall's inner upper edge and leans outwards by `lead_in`."""
    lean = math.radians(degrees)
    length = lead_in / math.sin(lean)
    along = np.array([math.sin(lean), math.cos(lean)])  # outwards, up
    inward = np.array([-math.cos(lean), math.sin(lean)])
    out, up = np.array([inside, top]) + along * length / 2 - inward * thickness / 2
    cos, sin = math.cos(lean / 2), sign * math.sin(lean / 2)
    if axis == "y":
        pos, size, quat = [0, sign * out, up], [half_width, thickness / 2, length / 2], [cos, -sin, 0, 0]
    else:
        pos, size, quat = [sign * out, 0, up], [thickness / 2, half_width, length / 2], [cos, 0, sin, 0]
    body.add_geom(type=BOX, pos=pos, size=size, quat=quat, rgba=rgba, **contact)


def _add_latch(spec, socket, name, card, slot, half_length, sign, contact) -> None:
    """A lever beside the socket: the card's edge presses its foot, its hook swings into the notch.

    Joint 0 is shut, LATCH_OPEN as far out as it goes; friction holds it where it is.
    """
    hinge_height, hinge_out, foot_in = 0.006, 0.006, 0.003
    hook_radius = 0.8 * card.notch_depth
    reach = slot.floor + card.notch_height + card.notch_size / 2 - hinge_height
    firm = {"solref": STIFF_CONTACT["solref"], "solimp": FIRM_GRIP["solimp"]}  # or it sinks by its own weight
    lever = socket.add_body(name=name, pos=[sign * (half_length + hinge_out), 0, hinge_height])
    lever.add_joint(
        name=name, axis=[0, sign, 0], range=[0, LATCH_OPEN], limited=True, frictionloss=slot.latch_friction,
        damping=[1e-4, 0, 0], armature=1e-6, solref_limit=firm["solref"], solimp_limit=firm["solimp"],
        solref_friction=firm["solref"], solimp_friction=firm["solimp"],
    )  # fmt: skip
    # Shut, the foot is flush with the floor: a seated card keeps it down.
    foot = [-sign * (hinge_out + foot_in), 0, slot.floor - FOOT_RADIUS - hinge_height]
    hook_in = hinge_out + (half_length - card.length / 2) - hook_radius + 0.7 * card.notch_depth
    hook = [-sign * hook_in, 0, reach]
    half_width = card.thickness / 2
    for (x, _, z), radius in ((foot, FOOT_RADIUS), (hook, hook_radius)):
        lever.add_geom(
            type=CAPSULE, fromto=[x, -half_width, z, x, half_width, z], size=[radius, 0, 0], rgba=IVORY,
            mass=0.0005, **contact,
        )  # fmt: skip
    for pos, size in (
        ([0, 0, reach / 2], [0.0015, 0.0035, reach / 2 + 0.003]),
        ([-sign * hook_in / 2, 0, reach + 0.001], [hook_in / 2, 0.0025, hook_radius]),
    ):
        lever.add_geom(type=BOX, pos=pos, size=size, rgba=IVORY, **{**SEEN, "mass": 0.0005})
    spec.add_exclude(bodyname1=socket.name, bodyname2=name)
