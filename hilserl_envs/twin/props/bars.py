"""Bars that two hands can hold at once."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from hilserl_envs.twin.props.solids import BOX, FIRM_GRIP, GRIPPABLE, SEEN, UNSEEN
from hilserl_envs.twin.shapes import ARM_BITS, SCENE_BIT, STIFF_CONTACT

BAR_BIT = 16  # collision group of bars: they meet props, scene and each other


@dataclass(frozen=True)
class Bar:
    """A straight bar of square section with a grip at each end, the same seen from either end.

    Its frame is in its middle: x along it.

    Args:
        length, thickness: [m].
        mass: [kg].
        grip_length: of the grip at either end [m].
    """

    length: float
    thickness: float
    mass: float
    grip_length: float


def add_bar(spec: mujoco.MjSpec, name: str, bar: Bar, rgba: tuple, grip_rgba: tuple) -> mujoco.MjsBody:
    """A free bar. Its geom `{name}_gripped` meets nothing but the arms.

    Everything else meets a second box of the same size: what fingers hold creeps unless
    its contacts are firmer than those it should lie on.
    """
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, bar.thickness / 2])
    body.add_freejoint(name=name)
    half = bar.thickness / 2
    size = [bar.length / 2, half, half]
    gripped = {"contype": 0, "conaffinity": sum(ARM_BITS), "priority": 1, **GRIPPABLE, **FIRM_GRIP}
    laid = {"contype": BAR_BIT, "conaffinity": SCENE_BIT | BAR_BIT, "mass": 0, **STIFF_CONTACT}
    body.add_geom(name=f"{name}_gripped", type=BOX, size=size, mass=bar.mass, group=UNSEEN, **gripped)
    body.add_geom(name=name, type=BOX, size=size, group=UNSEEN, **laid)
    middle = bar.length / 2 - bar.grip_length
    body.add_geom(type=BOX, size=[middle, half, half], rgba=rgba, **SEEN)
    for sign in (-1, 1):
        pos = [sign * (bar.length - bar.grip_length) / 2, 0, 0]
        body.add_geom(type=BOX, pos=pos, size=[bar.grip_length / 2, half, half], rgba=grip_rgba, **SEEN)
    return body
