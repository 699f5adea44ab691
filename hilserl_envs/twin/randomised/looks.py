"""`Looks`: light, colours, textures and the task's cameras, drawn anew for an episode."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np

from hilserl_envs.poses import quat_multiply, rotate, rotvec_to_quat, wxyz_to_xyzw, xyzw_to_wxyz
from hilserl_envs.tasks.randomisation import Randomisation
from hilserl_envs.twin.grain import PREFIX

_ARM = "link0"  # how the names of arms' first bodies end


class Looks:
    """Changes what a model looks like; every draw starts from what it was at first.

    Args:
        model: with the materials of `add_grains`.
        cameras: to move.
        ranges: how far.
    """

    def __init__(self, model: mujoco.MjModel, cameras: Iterable[str], ranges: Randomisation):
        self._model, self._ranges = model, ranges
        self._cameras = [model.camera(name).id for name in cameras]
        self._surfaces = _surfaces(model)
        grains = [n for n in range(model.nmat) if model.material(n).name.startswith(PREFIX)]
        self._grains = [-1, *grains]  # or none
        headlight = model.vis.headlight
        self._lights = [headlight.ambient, headlight.diffuse, *model.light_diffuse]
        self._nominal_lights = [light.copy() for light in self._lights]
        names = ("light_dir", "geom_rgba", "geom_matid", "cam_pos", "cam_quat", "cam_fovy")
        self._nominal = {name: getattr(model, name).copy() for name in names}

    def draw(self, rng: np.random.Generator) -> None:
        """Make the looks of another episode."""
        model, ranges, nominal = self._model, self._ranges, self._nominal
        tint = 1 + ranges.tint * rng.uniform(-1, 1, 3)
        for light, before in zip(self._lights, self._nominal_lights, strict=True):
            light[:] = before * tint * (1 + ranges.brightness * rng.uniform(-1, 1))
        for number in range(model.nlight):
            model.light_dir[number] = rotate(_turn(rng, ranges.light_angle), nominal["light_dir"][number])
        for geoms in self._surfaces:
            shifted = nominal["geom_rgba"][geoms, :3] + ranges.color * rng.uniform(-1, 1, 3)
            model.geom_rgba[geoms, :3] = np.clip(shifted, 0, 1)
            model.geom_matid[geoms] = rng.choice(self._grains)
        for number in self._cameras:
            shift = ranges.camera_shift * rng.uniform(-1, 1, 3)
            model.cam_pos[number] = nominal["cam_pos"][number] + shift
            straight = wxyz_to_xyzw(nominal["cam_quat"][number])
            turned = quat_multiply(straight, _turn(rng, ranges.camera_angle))
            model.cam_quat[number] = xyzw_to_wxyz(turned)
            wider = ranges.camera_fovy * rng.uniform(-1, 1)
            model.cam_fovy[number] = nominal["cam_fovy"][number] + wider


def _surfaces(model: mujoco.MjModel) -> list[list[int]]:
    """The geoms of each colour of each thing but the arms."""
    surfaces: dict[tuple, list[int]] = {}
    for geom in range(model.ngeom):
        root = model.body_rootid[model.geom_bodyid[geom]]
        if not model.body(root).name.endswith(_ARM) and model.geom_matid[geom] < 0:
            surfaces.setdefault((root, *model.geom_rgba[geom]), []).append(geom)
    return list(surfaces.values())


def _turn(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """A turn (4,) quat_xyzw about any axis, by at most that."""
    axis = rng.standard_normal(3)
    return rotvec_to_quat(np.radians(degrees) * rng.uniform(-1, 1) * axis / np.linalg.norm(axis))
