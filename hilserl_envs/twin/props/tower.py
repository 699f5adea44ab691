"""A tower of wooden blocks, three to a level, each level across the one below."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hilserl_envs.poses import compose, rotvec_to_quat
from hilserl_envs.twin.props.solids import BOX, SOLID

# Softer than that of parts which have to fit, and overdamped: blocks sink 0.11 mm into each
# other under the whole tower, and one that was hit is at rest again after 0.2 s. Stiffer, or
# damped less, more contacts open and close at every step, and those cost the most to compute.
# The price: while something keeps a tower awake its blocks creep, by 7 um a second.
WOOD_CONTACT = {"solref": (0.004, 1.5), "solimp": (0.7, 0.7, 0.001, 0.5, 2.0)}
ASLEEP = 1e-3  # speed [m/s] below which blocks that touch fall asleep together
WOODS = ((0.86, 0.70, 0.48, 1), (0.80, 0.63, 0.41, 1), (0.90, 0.76, 0.55, 1))


@dataclass(frozen=True)
class Tower:
    """Sizes in metres.

    Args:
        levels: of three blocks each. Those of even number, counted from 0 at the bottom, lie
            along the tower's x, the others along its y.
        block: length, width and height of a block.
        mass: of a block [kg].
        gap: between neighbours in a level.
        friction: of wood on wood.
    """

    levels: int
    block: tuple[float, float, float]
    mass: float
    gap: float
    friction: float

    ACROSS = 3

    @property
    def places(self) -> list[tuple[int, int]]:
        """Level and column, 0 to 2, of each block."""
        return [(level, column) for level in range(self.levels) for column in range(self.ACROSS)]

    def place(self, level: int, column: int) -> np.ndarray:
        """Pose (7,) of a block's middle in the tower's frame, on the table under the tower's middle."""
        aside = (column - (self.ACROSS - 1) / 2) * (self.block[1] + self.gap)
        turned = level % 2
        xy = (-aside, 0.0) if turned else (0.0, aside)
        quat = rotvec_to_quat(np.array([0, 0, turned * np.pi / 2]))
        return np.array([*xy, (level + 0.5) * self.block[2], *quat])


def add_tower(spec: mujoco.MjSpec, name: str, tower: Tower, painted: str, paint: tuple) -> None:
    """Add its blocks: one of that name and colour, the others plain, see `block_names`.

    A tower that stands falls asleep: it costs nothing until something touches it. With friction
    pyramids it does so sooner than with cones.
    """
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_PYRAMIDAL, 1.0
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    spec.option.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
    spec.option.sleep_tolerance = ASLEEP
    for number, block in enumerate(block_names(name, tower, painted)):
        body = spec.worldbody.add_body(name=block, pos=tower.place(*tower.places[number])[:3])
        body.add_freejoint(name=block)
        body.add_geom(
            name=block, type=BOX, size=np.array(tower.block) / 2, mass=tower.mass,
            rgba=WOODS[number % len(WOODS)] if number else paint,
            **SOLID | {"friction": (tower.friction, 0.005, 0.0001), **WOOD_CONTACT},
        )  # fmt: skip


def block_names(name: str, tower: Tower, painted: str) -> list[str]:
    """The names of the bodies, the painted one's first."""
    return [painted, *(f"{name}_{number}" for number in range(1, len(tower.places)))]


def stacked(tower: Tower, painted_at: tuple[int, int]) -> list[tuple[int, int]]:
    """Level and column of each block, in the order of their names, with the painted one at its own."""
    return [painted_at, *(place for place in tower.places if place != painted_at)]


def stack_tower(
    scene,
    names: list[str],
    tower: Tower,
    pose: np.ndarray,
    painted_at: tuple[int, int],
    untidiness: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Stack the blocks anew, the painted one at a level and column. Call `scene.refresh` when done.

    Args:
        scene: with the blocks of those names.
        pose: of the tower (7,) in the world.
        untidiness: half-widths of how far blocks are shifted along their length [m] and turned [rad].
    """
    for name, place in zip(names, stacked(tower, painted_at), strict=True):
        shift, turn = rng.uniform(-1, 1, 2) * untidiness
        askew = np.array([shift, 0.0, 0.0, *rotvec_to_quat(np.array([0, 0, turn]))])
        scene.place(name, compose(pose, compose(tower.place(*place), askew)))
