"""Twins with some ranges of randomisation alone, and draws that are known beforehand."""

import dataclasses

import numpy as np

from hilserl_envs.tasks import make_task
from hilserl_envs.tasks.pick_cube import HALF_SIZE
from hilserl_envs.tasks.randomisation import Randomisation
from hilserl_envs.twin.randomised import RandomisedTwin
from hilserl_envs.twin.robot import TwinRobot

PICK = make_task("PickCube")
NOTHING = {field.name: 0.0 for field in dataclasses.fields(Randomisation)}


class Draws:
    """In the place of a generator: every uniform draw comes out at the same place, -1 to 1."""

    def __init__(self, place: float):
        self._place = place
        self._rng = np.random.default_rng(0)

    def uniform(self, low, high, size=None):
        value = (low + high) / 2 + self._place * (high - low) / 2
        return value if size is None else np.full(size, value)

    def integers(self, low, high, endpoint):
        return high if self._place > 0 else low

    def choice(self, values):
        return values[-1] if self._place > 0 else values[0]

    def standard_normal(self, size):
        return self._rng.standard_normal(size)


def twin(task: str = "PickCube", timestep: float = 0.001, **ranges: float) -> RandomisedTwin:
    """With those ranges and no others; the cube lies in the middle."""
    made = make_task(task, {"randomisation": NOTHING | ranges})
    robot = RandomisedTwin(made, timestep)
    if task == "PickCube":
        put_cube(robot)
    return robot


def put_cube(robot: TwinRobot) -> None:
    scene, arm = robot.scene, PICK.arms["arm"]
    scene.reset()
    scene.teleport({"arm": np.array(arm.reset_pose)}, {"arm": 1.0})
    scene.place("cube", np.array([0.5, 0.0, HALF_SIZE, 0, 0, 0, 1.0]))
    scene.refresh()
    robot.configure({"arm": arm.compliance})
