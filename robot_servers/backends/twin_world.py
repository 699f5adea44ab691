"""`TwinWorld`: a task's MuJoCo world, stepped in real time by a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import TypeVar

import numpy as np

from hilserl_envs.errors import DivergedError, RobotError
from hilserl_envs.safety import WorkspaceBox
from hilserl_envs.tasks.task import Task
from hilserl_envs.twin.loop import FINGER_SPEED
from hilserl_envs.twin.robot import TIMESTEP, TwinRobot

log = logging.getLogger("robot_servers")

CHUNK = 0.005  # simulated at a time [s]; all law schedules divide it
MAX_BEHIND = 0.05  # the twin does not catch up with more than this [s]: it has lost the time
MEASURED_OVER = 1.0  # the speed reached is measured over this long [s]
_PATIENCE = 30.0  # with the stepping thread, which answers within a millisecond [s]

T = TypeVar("T")


class TwinWorld:
    """Simulated arms whose time passes by itself; also the `Clock` of that time.

    One thread owns the physics. Between two chunks of simulation it does what others ask of
    it by `do`, so nobody sees half a step, and no lock is contended.

    Args:
        task: whose world to build and arrange.
        speed: times real time.
        image_size: (height, width) of the cameras' images.
        seed: of the first arrangement.

    Attributes:
        robot: touch it by `do` only.
        reached: speed over the last second, times real time.
        trouble: why it stands still, None while it runs.
    """

    def __init__(
        self, task: Task, speed: float = 1.0, image_size: tuple[int, int] = (128, 128), seed: int = 0
    ):
        self.task, self.speed = task, speed
        self.robot = TwinRobot(task, TIMESTEP, image_size)
        self.reached = speed
        self.trouble: str | None = None
        self._boxes = {
            name: WorkspaceBox(arm.limits, np.array(arm.reset_pose[3:])) for name, arm in task.arms.items()
        }
        # The world's own time starts again whenever it is arranged; the robot's does not.
        self._time = 0.0
        self._ticked = threading.Condition()
        self._jobs: queue.SimpleQueue[tuple[Callable, Future] | None] = queue.SimpleQueue()
        self._finger_goals: dict[int, tuple[float, float]] = {}  # of slow motions: [m], [m a chunk]
        self._closed = False
        self._arrange(seed)
        self.robot.wait(0.0)  # compiled before time starts to run
        self._thread = threading.Thread(target=self._run, name="twin", daemon=True)
        self._thread.start()

    def now(self) -> float:
        return self._time

    def wait_until(self, instant: float) -> None:
        """Return when `now` is that far.

        Raises:
            RobotError: it never will be: the world stands still.
        """
        with self._ticked:
            self._ticked.wait_for(lambda: self._time >= instant or self._stands_still())
            if self._time < instant:
                raise RobotError(self.trouble or "the twin is closed")

    def do(self, job: Callable[[], T]) -> T:
        """What `job` returns or raises, called between two chunks of simulation.

        Raises:
            RobotError: the twin is closed.
        """
        outcome: Future = Future()
        self._jobs.put((job, outcome))
        if self._closed:
            raise RobotError("the twin is closed")
        try:
            return outcome.result(timeout=_PATIENCE)
        except NotInTime:
            raise RobotError(f"the twin does not answer within {_PATIENCE:g} s") from None

    def arrange(self, seed: int | None) -> None:
        """Do what a person does between episodes: arms at reset poses, the task's things in place.

        Everything is as after `FrankaEnv.reset(seed=seed)` with a teleport.
        """

        def job() -> None:
            self._arrange(seed)
            self.trouble = None

        self.do(job)

    def succeeded(self) -> bool:
        """Whether the task is done, which only a simulated world knows for certain."""
        return self.do(lambda: self.task.succeeded(self.robot.read(), self.robot.scene))

    def move_fingers(self, number: int, opening: float, speed: float) -> None:
        """Drive an arm's fingers to an opening, at a share of their speed; call it by `do`."""
        scene, arm = self.robot.scene, self.robot.scene.physics.arms[number]
        self._finger_goals.pop(number, None)
        scene.drive_gripper(number, opening)
        if speed < 1:
            # The aim follows its target at full speed: the target itself goes slowly.
            self._finger_goals[number] = (float(arm.gripper_target[0]), speed * FINGER_SPEED * CHUNK)
            arm.gripper_target[:] = arm.gripper

    def close(self) -> None:
        """End the thread and release the world; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join(timeout=5)
            self.robot.close()

    def _arrange(self, seed: int | None) -> None:
        scene, arms, rng = self.robot.scene, self.task.arms, np.random.default_rng(seed)
        goals = {name: self._boxes[name].clip(arm.sample_reset_pose(rng)) for name, arm in arms.items()}
        self._finger_goals.clear()
        scene.reset()
        scene.teleport(goals, {name: arm.gripper_at_reset for name, arm in arms.items()})
        self.task.arrange(scene, rng, in_motion=False)

    def _stands_still(self) -> bool:
        return self._closed or self.trouble is not None

    def _run(self) -> None:
        due = measured_at = time.monotonic()
        measured_time = self._time
        while True:
            try:
                left = None if self.trouble is not None else max(0.0, due - time.monotonic())
                asked = self._jobs.get(timeout=left)
            except queue.Empty:
                self._advance()
                now = time.monotonic()
                # Time that was lost is not made up for: a burst would be faster than any robot.
                due = max(due + CHUNK / self.speed, now - MAX_BEHIND)
                if now - measured_at >= MEASURED_OVER:
                    self._measured((self._time - measured_time) / (now - measured_at))
                    measured_at, measured_time = now, self._time
                continue
            if asked is None:
                break
            job, outcome = asked
            try:
                outcome.set_result(job())
            except BaseException as error:  # for the one who asked
                outcome.set_exception(error)
        self._end()

    def _advance(self) -> None:
        physics = self.robot.scene.physics
        for number, (goal, step) in list(self._finger_goals.items()):
            target = physics.arms[number].gripper_target
            target += min(max(goal - target[0], -step), step)
            if target[0] == goal:
                del self._finger_goals[number]
        try:
            physics.advance(CHUNK)
        except DivergedError as error:
            self.trouble = f"{error}; POST /twin/rearrange starts over"
            log.error("%s", self.trouble)
        with self._ticked:
            if self.trouble is None:
                self._time = round(self._time + CHUNK, 6)
            self._ticked.notify_all()

    def _measured(self, reached: float) -> None:
        before, self.reached = self.reached, reached
        if reached < 0.9 * self.speed <= before:
            log.warning(
                "the twin runs at %.2f times real time, not the %g asked for: this machine is too slow or "
                "too busy",
                reached,
                self.speed,
            )

    def _end(self) -> None:
        """Nobody waits for what will not come."""
        with self._ticked:
            self._ticked.notify_all()
        while not self._jobs.empty():
            asked = self._jobs.get()
            if asked is not None:
                asked[1].set_exception(RobotError("the twin is closed"))
