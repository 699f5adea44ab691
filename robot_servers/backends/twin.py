"""The twin as a backend: a task's arms, grippers and cameras in simulation, in real time.

It needs no hardware, and behaves as the real station does: nobody sees where the task's
things are, and nobody but `POST /twin/rearrange`, the person's hand, puts them back.
"""

from __future__ import annotations

import dataclasses
import threading
import time

import mujoco
import numpy as np

from hilserl_envs.cameras import Frame
from hilserl_envs.errors import CameraError, ConfigError, RobotError, check_array
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import MOTIONS, ArmCommand, ArmState
from hilserl_envs.twin.hand import FINGER_TRAVEL
from hilserl_envs.twin.loop import JOINT_RESET_SPEED
from hilserl_envs.twin.rendering import Renderer
from hilserl_envs.twin.robot import JOINT_SETTLE_TIME, JOINT_TOLERANCE
from robot_servers.backends import BackendSettings
from robot_servers.backends.twin_world import TwinWorld
from robot_servers.station import Station

_SLICE = 0.05  # how long a stop during a joint reset may go unnoticed [s]


class TwinArm:
    """One arm of a twin as an `Arm`."""

    takes = MOTIONS

    def __init__(self, world: TwinWorld, name: str):
        self._world, self._name = world, name
        self._number = world.robot.arms.index(name)
        self._stopped = False

    def read(self) -> ArmState:
        state = self._world.do(self._world.robot.read).arms[self._name]
        return dataclasses.replace(state, gripper_pose=1.0)

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        def job() -> None:
            self._check_running()
            self._world.robot.command({self._name: ArmCommand(pose, wrench)})

        self._world.do(job)

    def configure(self, compliance: Compliance) -> None:
        self._world.do(lambda: self._world.robot.configure({self._name: compliance}))

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        self._world.do(lambda: self._world.robot.load(self._name, mass, center, inertia))

    def start(self, motion: str | None = None) -> None:
        """See `Arm.start`: one controller takes all motions."""

        def job() -> None:
            if self._stopped:
                self._physics.hold(self._number)
                self._stopped = False

        self._world.do(job)

    def stop(self) -> None:
        def job() -> None:
            self._stopped = True
            self._physics.drive_joints(self._number, self._physics.arms[self._number].q.copy())

        self._world.do(job)

    def recover(self) -> None:
        def job() -> None:
            self._stopped = False
            self._physics.hold(self._number)

        self._world.do(job)

    def reset_joints(self, q: np.ndarray) -> None:
        goal, world, physics = check_array(q, (7,), "joint positions"), self._world, self._physics

        def begin() -> float:
            self._check_running()
            physics.drive_joints(self._number, goal)
            return float(np.abs(physics.arms[self._number].q - goal).max())

        def end() -> float:
            self._check_running()
            physics.hold(self._number)
            return float(np.abs(physics.arms[self._number].q - goal).max())

        instant = world.now() + world.do(begin) / JOINT_RESET_SPEED + JOINT_SETTLE_TIME
        while world.now() < instant:
            world.wait_until(min(instant, world.now() + _SLICE))
            self._check_running()
        if (missing := world.do(end)) > JOINT_TOLERANCE:
            raise RobotError(
                f"arm {self._name!r} stopped {missing:.2f} rad from its joint positions: something blocks "
                "it; free it, then try again"
            )

    def error(self) -> str | None:
        return "stopped" if self._stopped else self._world.trouble

    def rearranged(self) -> None:
        """The world was put in order around the arm, which keeps still if it was stopped."""
        if self._stopped:
            self.stop()

    def close(self) -> None:
        self._stopped = True

    @property
    def _physics(self):
        return self._world.robot.scene.physics

    def _check_running(self) -> None:
        if (error := self.error()) is not None:
            raise RobotError(f"arm {self._name!r}: {error}")


class TwinGripper:
    """The hand of one arm of a twin as a `Gripper`."""

    def __init__(self, world: TwinWorld, arm: str):
        self._world, self._number = world, world.robot.arms.index(arm)

    def opening(self) -> float:
        # Two numbers that are written at once need no turn between two chunks.
        fingers = self._world.robot.scene.physics.arms[self._number].fingers
        return min(max(float(fingers[0] + fingers[1]) / (2 * FINGER_TRAVEL), 0.0), 1.0)

    def move(self, opening: float, speed: float = 1.0) -> None:
        self._world.do(lambda: self._world.move_fingers(self._number, opening, speed))

    def activate(self) -> None:
        """Nothing: it is always ready."""

    def reset(self) -> None:
        """Nothing: it has no faults."""

    def error(self) -> str | None:
        return None

    def close(self) -> None:
        """Nothing: the world closes."""


class TwinEyes:
    """What the cameras of a twin share: a renderer, and a copy of the newest state to draw."""

    def __init__(self, world: TwinWorld):
        scene = world.robot.scene
        self._world, self._data = world, mujoco.MjData(scene.model)
        self._renderer = Renderer(scene.model, *next(iter(world.robot.cameras.values())))
        self._lock = threading.Lock()

    def look(self, camera: str) -> tuple[np.ndarray, float]:
        """What a camera sees now, and when that is on `time.monotonic`'s clock."""
        scene = self._world.robot.scene

        def copy() -> float:
            mujoco.mj_copyData(self._data, scene.model, scene.data)
            return time.monotonic()

        # Drawing from a copy: the physics goes on meanwhile.
        with self._lock:
            instant = self._world.do(copy)
            return self._renderer.render(self._data, camera), instant

    def close(self) -> None:
        """Free the renderer; safe to call twice."""
        self._renderer.close()


class TwinCamera:
    """A camera of a twin as a `Camera`: it draws when it is asked."""

    def __init__(self, eyes: TwinEyes, name: str, size: tuple[int, int]):
        self.size = size
        self._eyes, self._name, self._number = eyes, name, 0
        self._closed = False

    def frame(self) -> Frame:
        if self._closed:
            raise CameraError(f"camera {self._name!r} is closed")
        image, instant = self._eyes.look(self._name)
        self._number += 1
        return Frame(image, instant, self._number)

    def error(self) -> str | None:
        return "closed" if self._closed else None

    def close(self) -> None:
        self._closed = True


class TwinStation(Station):
    """A station whose parts are simulated.

    Attributes:
        world: that they are in.
    """

    def __init__(self, world: TwinWorld):
        self.world = world
        cameras = world.robot.cameras
        eyes = TwinEyes(world) if cameras else None

        def close() -> None:
            if eyes is not None:
                eyes.close()
            world.close()

        super().__init__(
            arms={name: TwinArm(world, name) for name in world.robot.arms},
            grippers={name: TwinGripper(world, name) for name in world.robot.arms},
            cameras={name: TwinCamera(eyes, name, size) for name, size in cameras.items()},
            clock=world,
            close=close,
        )

    def rearrange(self, seed: int | None = None) -> None:
        """See `TwinWorld.arrange`; arms that were stopped stay so."""
        self.world.arrange(seed)
        for arm in self.parts.values():
            arm.rearranged()


def make_station(settings: BackendSettings) -> TwinStation:
    """The twin of a task.

    Raises:
        ConfigError: there is no task.
        RenderingError: this machine cannot draw what the cameras see.
    """
    if settings.task is None:
        raise ConfigError("the twin is the twin of a task: name one, as in --task RamInsertion")
    size = (settings.image_size, settings.image_size)
    return TwinStation(TwinWorld(settings.task, settings.speed, size, settings.seed))
