"""`Matter`: friction, masses and clearances, drawn anew for an episode."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import mujoco
import numpy as np

from hilserl_envs.tasks.randomisation import Randomisation

# What MuJoCo derives from masses when it compiles.
_OF_MASSES = (
    "body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_M0", "dof_invweight0",
    "tendon_invweight0", "actuator_acc0",
)  # fmt: skip


class Matter:
    """Changes what a model is made of; every draw starts from what it was at first.

    A thing is a prop with all its parts, an arm, or all that is fixed in the world.

    Args:
        model: of a scene.
        ranges: how far.
    """

    def __init__(self, model: mujoco.MjModel, ranges: Randomisation):
        self._model, self._ranges = model, ranges
        self._things = np.unique(model.body_rootid)
        self._thing_of_geom = model.body_rootid[model.geom_bodyid]
        free = model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
        self._free = np.unique(model.body_rootid[free])
        # How each geom moves where a gap gets twice as wide, see `props.solids.beside_gap`.
        self._gap = model.geom_user if model.nuser_geom == 3 else np.zeros((model.ngeom, 3))
        self._sockets = np.unique(model.geom_bodyid[self._gap.any(axis=1)])
        names = ("geom_friction", "geom_pos", "body_mass", "body_inertia")
        self._nominal = {name: getattr(model, name).copy() for name in names}
        self._scratch = copy.copy(model)
        self._scratch_data = mujoco.MjData(model)
        self._make_room()

    def draw(self, rng: np.random.Generator) -> None:
        """Make the matter of another episode."""
        model, ranges, nominal = self._model, self._ranges, self._nominal
        for thing, factor in _factors(rng, ranges.friction, self._things):
            geoms = self._thing_of_geom == thing
            model.geom_friction[geoms, :2] = nominal["geom_friction"][geoms, :2] * factor
        self._weigh(_factors(rng, ranges.mass, self._free))
        for socket, factor in _factors(rng, ranges.clearance, self._sockets):
            geoms = model.geom_bodyid == socket
            model.geom_pos[geoms] = nominal["geom_pos"][geoms] + (factor - 1) * self._gap[geoms]

    def _weigh(self, factors: Iterable[tuple[int, float]]) -> None:
        model, scratch, nominal = self._model, self._scratch, self._nominal
        for thing, factor in factors:
            parts = model.body_rootid == thing
            scratch.body_mass[parts] = nominal["body_mass"][parts] * factor
            scratch.body_inertia[parts] = nominal["body_inertia"][parts] * factor
        # It changes more than what follows from masses, so not on the model itself.
        mujoco.mj_setConst(scratch, self._scratch_data)
        for name in _OF_MASSES:
            getattr(model, name)[:] = getattr(scratch, name)
        model.stat.meaninertia = scratch.stat.meaninertia

    def _make_room(self) -> None:
        """Let geoms be found where they may move: the bounding boxes of bodies were fitted to nominal."""
        model = self._model
        for socket in self._sockets:
            first, number = model.body_bvhadr[socket], model.body_bvhnum[socket]
            reach = np.abs(self._gap[model.geom_bodyid == socket]).max()
            model.bvh_aabb[first : first + number, 3:] += self._ranges.clearance * reach


def _factors(rng: np.random.Generator, half_width: float, things: np.ndarray) -> Iterable[tuple[int, float]]:
    """Each with a factor about 1."""
    return zip(things, 1 + half_width * rng.uniform(-1, 1, len(things)), strict=True)
