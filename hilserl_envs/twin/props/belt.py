"""A timing belt: a closed chain of links that bends, folds, slips and catches.

All sizes are in metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.twin.props.looks import RUBBER
from hilserl_envs.twin.props.solids import BOX, CAPSULE, GRIPPABLE, SEEN, UNSEEN
from hilserl_envs.twin.shapes import ARM_BITS, SCENE_BIT, STIFF_CONTACT

# Inertia of the hinges [kg m^2]. The links weigh less than a gram: without it neither
# contacts nor the closure of the chain could be stiff at a timestep of 1 ms.
HINGE_INERTIA = 1e-5
TEETH_PER_LINK = 2
# Edgewise a belt is stiff: a hinge at every other link is enough, and each one costs time.
EDGE_EVERY = 2
BELT_BIT = 16  # collision group of belts: they meet props, scene and each other; fingers meet the boxes
# A belt that slips between fingers while it is pulled at both ends chatters against anything stiffer.
LIGHT_GRIP = {"solref": (0.004, 1.0), "solimp": (0.95, 0.99, 0.0005, 0.5, 2.0)}


@dataclass(frozen=True)
class Belt:
    """A toothed belt.

    Its frame is in the middle of link 0: x along the belt, counter-clockwise seen from
    above, y into the loop, z up. At rest it is an oval: two straight spans, link 0 in the
    middle of one, and two half circles.

    Args:
        length: around, along the middle of its thickness.
        end_radius: of the half circles of the oval, likewise.
        thickness: teeth included; links are round, so it is also what the flanges guide.
        width: that it is drawn with, and by which fingers hold it.
        mass: [kg].
        links: how many; even.
        bending, edge_bending: stiffness [N m^2] about the pulleys' axes, and across.
        damping: of both, as a time [s] times the stiffness.
        friction: sliding, on pulleys and flanges.
    """

    length: float
    end_radius: float
    thickness: float
    width: float
    mass: float
    links: int
    bending: float
    edge_bending: float
    damping: float = 0.1
    friction: float = 0.8

    def outline(self) -> np.ndarray:
        """Nodes (links, 2) of the oval in the belt's frame; link i goes from node i to i + 1."""
        straight = self.length / 2 - math.pi * self.end_radius
        pitch = self.length / self.links
        along = (np.arange(self.links) - 0.5) * pitch
        return np.array([_on_oval(s % self.length, straight, self.end_radius) for s in along])


def _on_oval(s: float, straight: float, radius: float) -> tuple[float, float]:
    """Point at distance `s` along an oval, from the middle of its lower span."""
    bend, half = math.pi * radius, straight / 2
    if s < half:
        return s, 0.0
    if s < half + bend:
        angle = (s - half) / radius
        return half + radius * math.sin(angle), radius * (1 - math.cos(angle))
    if s < half + bend + straight:
        return half - (s - half - bend), 2 * radius
    if s < half + 2 * bend + straight:
        angle = (s - half - bend - straight) / radius
        return -half - radius * math.sin(angle), radius * (1 + math.cos(angle))
    return s - 2 * (straight + bend), 0.0


def add_belt(spec: mujoco.MjSpec, name: str, belt: Belt) -> mujoco.MjsBody:
    """A free belt; bodies `{name}_0` to `{name}_{links - 1}` are its links, in order.

    The chain grows from link 0 in two branches, which keeps it shallow and so stable, and is
    closed where they meet. The body `{name}_0` has the belt's free joint, `{name}`; the
    hinges `{name}_bend_{i}` and `{name}_edge_{i}` are 0 at rest. Sites `{name}_at_{i}` are
    in the links' middles.
    """
    nodes = belt.outline()
    edges = np.roll(nodes, -1, axis=0) - nodes
    lengths, headings = np.linalg.norm(edges, axis=1), np.arctan2(edges[:, 1], edges[:, 0])
    body = spec.worldbody.add_body(name=f"{name}_0", pos=[0.4, 0, 0.3])
    body.add_freejoint(name=name)
    _add_link(body, name, 0, belt, lengths[0], 0.0)
    bodies = {0: body}
    half = belt.links // 2
    # A link's frame is at the hinge towards link 0, its x along the belt.
    for i in range(1, half + 1):
        start = lengths[0] / 2 if i == 1 else lengths[i - 1]
        bodies[i] = _hinged(bodies[i - 1], name, i, start, headings[i] - headings[i - 1], belt, lengths[i])
        _add_link(bodies[i], name, i, belt, lengths[i], lengths[i] / 2)
    for i in range(belt.links - 1, half, -1):
        after = (i + 1) % belt.links
        start = -lengths[0] / 2 if after == 0 else -lengths[after]
        turn = headings[i] - headings[after]
        bodies[i] = _hinged(bodies[after], name, i, start, turn, belt, lengths[i])
        _add_link(bodies[i], name, i, belt, lengths[i], -lengths[i] / 2)
    last, first = bodies[half], bodies[half + 1]
    spec.add_exclude(bodyname1=last.name, bodyname2=first.name)
    for height in (-belt.width / 2, belt.width / 2):
        closure = spec.add_equality(
            name=f"{name}_closure_{'low' if height < 0 else 'high'}", type=mujoco.mjtEq.mjEQ_CONNECT,
            objtype=mujoco.mjtObj.mjOBJ_BODY, name1=last.name, name2=first.name, **STIFF_CONTACT,
        )  # fmt: skip
        closure.data[:3] = [lengths[half], 0, height]
    return bodies[0]


def _hinged(parent, name, number, start, turn, belt, length) -> mujoco.MjsBody:
    turn = math.remainder(turn, 2 * math.pi)
    body = parent.add_body(
        name=f"{name}_{number}", pos=[start, 0, 0], quat=[math.cos(turn / 2), 0, 0, math.sin(turn / 2)]
    )
    hinges = [("bend", [0, 0, 1], belt.bending / length)]
    if number % EDGE_EVERY == 0:
        hinges.append(("edge", [0, 1, 0], belt.edge_bending / (EDGE_EVERY * length)))
    for kind, axis, stiffness in hinges:
        joint = body.add_joint(name=f"{name}_{kind}_{number}", axis=axis, armature=HINGE_INERTIA)
        joint.stiffness, joint.damping = [stiffness, 0, 0], [belt.damping * stiffness, 0, 0]
    return body


def _add_link(body, name, number, belt, length, middle) -> None:
    radius = belt.thickness / 2
    half_size = [length / 2, radius, belt.width / 2]
    body.add_geom(
        name=f"{name}_{number}", type=CAPSULE, fromto=[middle - length / 2, 0, 0, middle + length / 2, 0, 0],
        size=[radius, 0, 0], mass=belt.mass / belt.links, group=UNSEEN, contype=BELT_BIT,
        conaffinity=SCENE_BIT | BELT_BIT, friction=[belt.friction, 0.005, 0.0001], **STIFF_CONTACT,
    )  # fmt: skip
    body.add_geom(
        type=BOX, pos=[middle, 0, 0], size=half_size, mass=0, group=UNSEEN, contype=0,
        conaffinity=sum(ARM_BITS), priority=1, **GRIPPABLE, **LIGHT_GRIP,
    )  # fmt: skip
    backing = 0.4 * belt.thickness
    body.add_geom(
        type=BOX, pos=[middle, backing / 2 - radius, 0], size=[0.54 * length, backing / 2, belt.width / 2],
        rgba=RUBBER, **SEEN,
    )  # fmt: skip
    pitch = length / TEETH_PER_LINK
    for tooth in range(TEETH_PER_LINK):
        x = middle + (tooth - (TEETH_PER_LINK - 1) / 2) * pitch
        body.add_geom(
            type=BOX, pos=[x, backing / 2, 0], size=[0.27 * pitch, radius - backing / 2, 0.49 * belt.width],
            rgba=RUBBER, **SEEN,
        )  # fmt: skip
    body.add_site(name=f"{name}_at_{number}", pos=[middle, 0, 0], size=[0.001, 0, 0], group=4)


def lay_belt(scene, name: str, belt: Belt, pose: np.ndarray) -> None:
    """Put a belt into the scene in its shape at rest, its frame at `pose` (7,) in the world.

    Call `scene.refresh` when done.
    """
    scene.place(f"{name}_0", pose)
    for i in range(1, belt.links):
        scene.set_joint(f"{name}_bend_{i}", 0.0)
        if i % EDGE_EVERY == 0:
            scene.set_joint(f"{name}_edge_{i}", 0.0)


def winding(points: np.ndarray, axis: np.ndarray) -> int:
    """How often a closed polygon (n, 2) goes round a point (2,), counter-clockwise positive."""
    angles = np.arctan2(*(points - axis).T[::-1])
    steps = np.diff(np.append(angles, angles[0]))
    return round(float(np.sum((steps + np.pi) % (2 * np.pi) - np.pi) / (2 * np.pi)))
