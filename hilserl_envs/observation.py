"""What `FrankaEnv` observes of a robot: its space, and an observation at a time."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from hilserl_envs.images import fit_image
from hilserl_envs.robot import ArmState, Robot, RobotState, key_prefix
from hilserl_envs.tasks.setup import STATE_SIZES, ArmSetup
from hilserl_envs.tasks.task import Task

OBSERVATIONS = ("pixels", "state", "both")


class ObservationView:
    """Observations of a task; what is in them is said at `FrankaEnv`.

    Args:
        task: whose state keys, objects, measures and cameras to look at.
        robot: that is looked at.
        mode: one of OBSERVATIONS.
        image_size: height and width of the images.

    Attributes:
        space: of the observations.
    """

    def __init__(self, task: Task, robot: Robot, mode: str, image_size: int):
        self._task, self._robot = task, robot
        self._image_size = (image_size, image_size)
        self._prefixes = {name: key_prefix(name, task.arms) for name in task.arms}
        self._privileged, self._pictures = mode != "pixels", mode != "state"
        self.space = self._make_space()

    def _make_space(self) -> spaces.Dict:
        prefixes, task = self._prefixes.values(), self._task
        sizes = {f"{p}{key}": STATE_SIZES[key] for p in prefixes for key in task.state_keys}
        if self._privileged:
            sizes |= {f"{p}{name}_pose": 7 for p in prefixes for name in task.objects} | task.measures
        state = {
            key: spaces.Box(0.0, 1.0, (1,), np.float32)
            if key.rpartition("/")[2] == "gripper_pose"
            else spaces.Box(-np.inf, np.inf, (size,), np.float32)
            for key, size in sizes.items()
        }
        space = {"state": spaces.Dict(state)}
        if self._pictures:
            image = spaces.Box(0, 255, (*self._image_size, 3), np.uint8)
            space["images"] = spaces.Dict({name: image for name in task.cameras})
        return spaces.Dict(space)

    def read(self, robot_state: RobotState) -> dict:
        """The observation of a state, and of what the cameras see now; arrays are fresh."""
        task, state = self._task, {}
        for name, prefix in self._prefixes.items():
            for key in task.state_keys:
                state[prefix + key] = _state_value(robot_state.arms[name], key, task.arms[name])
        if self._privileged:
            scene = self._robot.scene
            for name, prefix in self._prefixes.items():
                for thing in task.objects:
                    state[f"{prefix}{thing}_pose"] = scene.pose_in_base(thing, name).astype(np.float32)
            state |= {key: np.array(value, np.float32) for key, value in task.measure(scene).items()}
        return {"state": state, "images": self.images()} if self._pictures else {"state": state}

    def images(self) -> dict[str, np.ndarray]:
        """What the task's cameras see, (height, width, 3) uint8 by name."""
        captured = self._robot.capture()
        return {name: fit_image(captured[name], self._image_size) for name in self._task.cameras}


def _state_value(arm: ArmState, key: str, setup: ArmSetup) -> np.ndarray:
    """Observation of one key, float32.

    Of a pose's two quaternions, the one nearer to that of the reset pose: it jumps only
    half a turn away from there, where the box does not reach.
    """
    value = np.array(getattr(arm, key), dtype=np.float32, ndmin=1)
    if key == "tcp_pose" and np.dot(value[3:], setup.reset_pose[3:]) < 0:
        value[3:] *= -1
    return value
