"""A whip: a stick with a thin cord and a heavy ball of rubber at its end."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.twin.props.looks import CASE, RUBBER, SIGNAL_ORANGE
from hilserl_envs.twin.props.solids import CAPSULE, SEEN, UNSEEN, skinned
from hilserl_envs.twin.shapes import SCENE_BIT

SPHERE = mujoco.mjtGeom.mjGEOM_SPHERE
_MEETS = {"contype": 0, "conaffinity": SCENE_BIT}  # the scene, but neither itself nor the arm
_BEND = 1.0  # of a joint, at most [rad]: tighter, its two axes would near each other
# Of a joint [kg m^2]. A link has next to no inertia about its own axis; without, and with less
# than a damping of 5e-4 Nms/rad, a cord that is thrown about wildly gains energy from nowhere.
_ARMATURE = 5e-6
_CORD_SKIN = 0.003  # around its middle: it moves by 2.5 mm between two looks at it [m]
_BEHIND_HAND = 0.03  # how far the stick reaches behind where it is held [m]


@dataclass(frozen=True)
class Whip:
    """Sizes in metres, masses in kilograms.

    Args:
        stick: its length, from where it is held to where the cord hangs.
        stick_radius, stick_mass: of the stick.
        cord: length of the cord, from the stick to the middle of the ball.
        links: so many stiff parts that the cord is made of.
        cord_radius, cord_mass: of the cord.
        stiffness, damping: of each of its joints, in both directions [Nm/rad], [Nms/rad].
        radius, mass: of the ball.
        skin: how far it can be pressed in; what is within is hard.
        impact_time, impact_damping: of the skin, time constant [s] and damping ratio: an impact
            takes pi times their product, and should take half a dozen timesteps. In fewer, the
            speed after it depends on where in a timestep it began.
        friction: of cord and ball.
    """

    stick: float
    stick_radius: float
    stick_mass: float
    cord: float
    links: int
    cord_radius: float
    cord_mass: float
    stiffness: float
    damping: float
    radius: float
    mass: float
    skin: float
    impact_time: float
    impact_damping: float
    friction: float

    @property
    def total_mass(self) -> float:
        """All that whoever holds it carries [kg]."""
        return self.stick_mass + self.cord_mass + self.mass

    @property
    def balance(self) -> float:
        """How far in front of where it is held its weight acts while the cord hangs [m]."""
        hanging = self.cord_mass + self.mass
        middle = (self.stick - _BEHIND_HAND) / 2
        return (self.stick_mass * middle + hanging * self.stick) / self.total_mass


def add_whip(spec: mujoco.MjSpec, name: str, whip: Whip) -> mujoco.MjsBody:
    """Add a free stick, along its x from where it is held, whose cord hangs along its z.

    Bodies: `{name}`, the stick; `{name}_0` and so on, the cord's links; `{name}_tip`, the ball.
    """
    stick = spec.worldbody.add_body(name=name, pos=[0.3, 0.3, 0.5])
    stick.add_freejoint(name=name)
    stick.add_geom(
        type=CAPSULE, fromto=[-_BEHIND_HAND, 0, 0, whip.stick, 0, 0], size=[whip.stick_radius, 0, 0],
        rgba=CASE, **SEEN | {"mass": whip.stick_mass},
    )  # fmt: skip
    contact = {"friction": [whip.friction, 0.005, 0.0001], "condim": 3, **_MEETS}
    pitch, link = whip.cord / whip.links, stick
    for number in range(whip.links):
        link = link.add_body(
            name=f"{name}_{number}", pos=[whip.stick, 0, 0] if number == 0 else [0, 0, pitch]
        )
        for joint, axis in zip(_joints(name, number), ([1, 0, 0], [0, 1, 0]), strict=True):
            link.add_joint(
                name=joint, axis=axis, stiffness=[whip.stiffness, 0, 0], damping=[whip.damping, 0, 0],
                armature=_ARMATURE, limited=True, range=[-_BEND, _BEND],
            )  # fmt: skip
        link.add_geom(
            type=CAPSULE, fromto=[0, 0, 0, 0, 0, pitch], size=[whip.cord_radius / 2, 0, 0], group=UNSEEN,
            mass=whip.cord_mass / whip.links, **skinned(_CORD_SKIN) | contact,
        )  # fmt: skip
        link.add_geom(
            type=CAPSULE, fromto=[0, 0, 0, 0, 0, pitch], size=[whip.cord_radius, 0, 0], rgba=RUBBER, **SEEN
        )
    tip = link.add_body(name=f"{name}_tip", pos=[0, 0, pitch])
    tip.add_geom(
        name=f"{name}_tip", type=SPHERE, size=[whip.radius - whip.skin, 0, 0], margin=whip.skin,
        mass=whip.mass, rgba=CASE, priority=1, solref=[whip.impact_time, whip.impact_damping],
        solimp=[0.95, 0.95, 0.001, 0.5, 2.0], **contact,
    )  # fmt: skip
    tip.add_geom(type=SPHERE, size=[whip.radius, 0, 0], rgba=SIGNAL_ORANGE, **SEEN)
    return stick


def hang_whip(scene, name: str, whip: Whip, pose: np.ndarray) -> None:
    """Hold the stick at a pose (7,) in the world, its cord hanging still. Call `scene.refresh` after."""
    scene.place(name, pose)
    for number in range(whip.links):
        for joint in _joints(name, number):
            scene.set_joint(joint, 0.0)


def whip_motion(scene, name: str, whip: Whip) -> np.ndarray:
    """Position and velocity in the world of the ball, then of the cord's middle (12,) [m], [m/s]."""
    bodies = (scene.model.body(part).id for part in (f"{name}_tip", f"{name}_{whip.links // 2}"))
    return np.concatenate(
        [part for body in bodies for part in (scene.data.xpos[body], _velocity(scene, body))]
    )


def _velocity(scene, body: int) -> np.ndarray:
    six = np.empty(6)  # turning, then moving
    mujoco.mj_objectVelocity(scene.model, scene.data, mujoco.mjtObj.mjOBJ_XBODY, body, six, 0)
    return six[3:]


def _joints(name: str, number: int) -> tuple[str, str]:
    """The names of a link's two hinges."""
    return f"{name}_{number}_x", f"{name}_{number}_y"
