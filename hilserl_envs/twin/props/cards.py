"""Cards with an edge connector and the slots they go into.

All sizes are in metres. Working surfaces have the stiff contacts of `shapes.STIFF_CONTACT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from hilserl_envs.twin.props.looks import CHIP, CIRCUIT_GREEN, GOLD, IVORY, PLASTIC
from hilserl_envs.twin.props.sockets import Ridge, Socket, add_socket
from hilserl_envs.twin.props.solids import BOX, CAPSULE, FIRM, FIRM_GRIP, GRIPPABLE, PART, SEEN, UNSEEN
from hilserl_envs.twin.shapes import ARM_BITS

LATCH_OPEN = 0.5  # [rad]
FOOT_RADIUS = 0.0008  # of a latch's foot [m]


class Notch(NamedTuple):
    """The cut-outs in both ends of a card that latches hook into.

    `height` of their lower edge above the card's, `size` upwards, `depth` inwards.
    """

    height: float
    size: float
    depth: float


@dataclass(frozen=True)
class Card:
    """A circuit card with an edge connector: a memory module, a solid state drive.

    Its frame is in its middle: x along the edge, y through its thickness, z up.

    Args:
        length, height, thickness: of the card.
        mass: [kg].
        edge_height: of the edge below the shoulders, or below the notches.
        contact_height: of the gold strip along the edge.
        key_offset, key_width: of the cut in the edge, from the middle along x.
        shoulder: how much shorter than the card its edge is, at each end.
        notch: for latches, if the card is held by any.
        chips: seen on both faces: middle x and z, half-sizes in x and z.
    """

    length: float
    height: float
    thickness: float
    mass: float
    edge_height: float
    contact_height: float
    key_offset: float
    key_width: float
    shoulder: float = 0.0
    notch: Notch | None = None
    chips: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def edge_length(self) -> float:
        """Of the part that goes into the slot."""
        return self.length - 2 * self.shoulder


@dataclass(frozen=True)
class Slot(Socket):
    """The socket of a card; see `Socket`.

    Args:
        key_width, key_height: of the ridge that the card's cut goes over.
        latch_friction: torque [Nm] that holds the latches where they are.
    """

    key_width: float = 0.0020
    key_height: float = 0.0050
    latch_friction: float = 0.006


def add_card(spec: mujoco.MjSpec, name: str, card: Card) -> mujoco.MjsBody:
    """A free card; sites `{name}_edge_left` and `_right` are the ends of its lower edge.

    Fingers meet one plain box as large as the card, everything else meets the two blocks
    beside the key and the part above them: where two boxes abut under a pad or inside a
    slot, their contacts could push along the card instead of across it.
    """
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, 0.3])
    body.add_freejoint(name=name)
    half_length, half_edge, bottom = card.length / 2, card.edge_length / 2, -card.height / 2
    gripped = {"contype": 0, "conaffinity": sum(ARM_BITS), "priority": 1, **GRIPPABLE, **FIRM_GRIP}
    solid = {**PART, "mass": 0}

    def plate(low_x, high_x, low_z, high_z, half_thickness=card.thickness / 2, **settings):
        middle = [(low_x + high_x) / 2, 0, (low_z + high_z) / 2]
        half_size = [(high_x - low_x) / 2, half_thickness, (high_z - low_z) / 2]
        body.add_geom(type=BOX, pos=middle, size=half_size, **settings)

    plate(-half_length, half_length, bottom, -bottom, mass=card.mass, group=UNSEEN, **gripped)
    edge_top, strip = bottom + card.edge_height, bottom + card.contact_height
    upper = edge_top if card.notch is None else edge_top + card.notch.size
    for low, high in (
        (-half_edge, card.key_offset - card.key_width / 2),
        (card.key_offset + card.key_width / 2, half_edge),
    ):
        plate(low, high, bottom, edge_top, group=UNSEEN, **solid)
        plate(low, high, bottom, strip, rgba=GOLD, **SEEN)
    plate(-half_length, half_length, upper, -bottom, rgba=CIRCUIT_GREEN, **solid)
    if card.notch is not None:
        inner = half_length - card.notch.depth
        plate(-inner, inner, edge_top, upper, rgba=CIRCUIT_GREEN, **SEEN)
    plate(-half_edge, half_edge, strip, edge_top, rgba=CIRCUIT_GREEN, **SEEN)
    for x, z, half_x, half_z in card.chips:
        thick = card.thickness / 2 + 0.0004
        plate(x - half_x, x + half_x, z - half_z, z + half_z, thick, rgba=CHIP, **SEEN)
    for side, sign in (("left", -1), ("right", 1)):
        end = [sign * half_edge, 0, bottom]
        body.add_site(name=f"{name}_edge_{side}", pos=end, size=[0.001, 0, 0], group=4)
    return body


def add_slot(
    spec: mujoco.MjSpec, name: str, card: Card, slot: Slot, pose_in_world: np.ndarray
) -> mujoco.MjsBody:
    """The socket of `card`, fixed in the world, with a key ridge, and latches where the card has notches.

    The latches `{name}_latch_left` and `_right` have to be put at LATCH_OPEN before a card
    goes in, as by hand; the card's edge shuts them. The site `{name}_seat` is where the
    middle of a seated card's edge is.
    """
    size = (card.edge_length, card.thickness)
    key = Ridge(card.key_offset, slot.key_width, slot.key_height)
    body = add_socket(spec, name, size, slot, pose_in_world, (PLASTIC, IVORY), key)
    if card.notch is not None:
        half_length = (card.edge_length + slot.end_clearance) / 2
        for sign, side in ((-1, "left"), (1, "right")):
            _add_latch(spec, body, f"{name}_latch_{side}", card, slot, half_length, sign)
    return body


def _add_latch(spec, socket, name, card, slot, half_length, sign) -> None:
    """A lever beside the socket: the card's edge presses its foot, its hook swings into the notch.

    Joint 0 is shut, LATCH_OPEN as far out as it goes; friction holds it where it is.
    """
    hinge_height, hinge_out, foot_in = 0.006, 0.006, 0.003
    hook_radius = 0.8 * card.notch.depth
    reach = slot.floor + card.edge_height + card.notch.size / 2 - hinge_height
    lever = socket.add_body(name=name, pos=[sign * (half_length + hinge_out), 0, hinge_height])
    lever.add_joint(
        name=name, axis=[0, sign, 0], range=[0, LATCH_OPEN], limited=True, frictionloss=slot.latch_friction,
        damping=[1e-4, 0, 0], armature=1e-6, solref_limit=FIRM["solref"], solimp_limit=FIRM["solimp"],
        solref_friction=FIRM["solref"], solimp_friction=FIRM["solimp"],
    )  # fmt: skip
    # Shut, the foot is flush with the floor: a seated card keeps it down.
    foot = [-sign * (hinge_out + foot_in), 0, slot.floor - FOOT_RADIUS - hinge_height]
    hook_in = hinge_out + (half_length - card.length / 2) - hook_radius + 0.7 * card.notch.depth
    hook = [-sign * hook_in, 0, reach]
    half_width = card.thickness / 2
    for (x, _, z), radius in ((foot, FOOT_RADIUS), (hook, hook_radius)):
        lever.add_geom(
            type=CAPSULE, fromto=[x, -half_width, z, x, half_width, z], size=[radius, 0, 0], rgba=IVORY,
            mass=0.0005, **slot.contact,
        )  # fmt: skip
    for pos, size in (
        ([0, 0, reach / 2], [0.0015, 0.0035, reach / 2 + 0.003]),
        ([-sign * hook_in / 2, 0, reach + 0.001], [hook_in / 2, 0.0025, hook_radius]),
    ):
        lever.add_geom(type=BOX, pos=pos, size=size, rgba=IVORY, **{**SEEN, "mass": 0.0005})
    spec.add_exclude(bodyname1=socket.name, bodyname2=name)
