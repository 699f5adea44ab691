"""Boxes to grasp."""

from __future__ import annotations

import mujoco

from hilserl_envs.twin.props.solids import BLOCK_FRICTION, BOX, SOLID


def add_block(spec: mujoco.MjSpec, name: str, half_size: tuple, mass: float, rgba: tuple) -> mujoco.MjsBody:
    """A free box that fingers can hold."""
    body = spec.worldbody.add_body(name=name, pos=[0.5, 0, half_size[2]])
    body.add_freejoint(name=name)
    body.add_geom(name=name, type=BOX, size=half_size, mass=mass, rgba=rgba, friction=BLOCK_FRICTION, **SOLID)
    return body
