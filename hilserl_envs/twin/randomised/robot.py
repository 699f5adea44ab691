"""`RandomisedTwin`: a `TwinRobot` whose world and senses differ from episode to episode."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from hilserl_envs.impedance import LAW_HZ
from hilserl_envs.robot import ArmCommand, RobotState
from hilserl_envs.twin.randomised.looks import Looks
from hilserl_envs.twin.randomised.matter import Matter
from hilserl_envs.twin.robot import TIMESTEP, TwinRobot

if TYPE_CHECKING:
    from hilserl_envs.tasks.task import Task

# What images are made from.
_SEEN = int(
    mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT
)


class RandomisedTwin(TwinRobot):
    """The arms of a task in a world that `randomise` draws from `task.randomisation`.

    Nominal until then, and where all ranges are 0. Commands reach the law late and images
    show what was, by whole milliseconds; measured wrenches are off and noisy.

    Args:
        task, timestep, image_size: see `TwinRobot`.

    Attributes:
        command_latency, camera_latency: of this episode [s].
    """

    def __init__(self, task: Task, timestep: float = TIMESTEP, image_size: tuple[int, int] = (128, 128)):
        ranges = task.randomisation
        super().__init__(task, timestep, image_size, ranges.grain)
        model = self.scene.model
        self._ranges = ranges
        self._looks, self._matter = Looks(model, self.cameras, ranges), Matter(model, ranges)
        self._then = mujoco.MjData(model)
        self._tick = max(1, round(timestep * LAW_HZ))  # of the physics [law ticks]
        self._rng: np.random.Generator | None = None
        self._offsets: dict[str, np.ndarray] = {}
        self._now = self._command_ticks = self._camera_ticks = 0
        self._sent: deque[tuple[int, Mapping[str, ArmCommand]]] = deque()
        self._frames: deque[tuple[int, np.ndarray]] = deque()

    @property
    def command_latency(self) -> float:
        return self._command_ticks / LAW_HZ

    @property
    def camera_latency(self) -> float:
        return self._camera_ticks / LAW_HZ

    def randomise(self, rng: np.random.Generator) -> None:
        """Begin an episode in another world.

        Args:
            rng: the episode's own for this, kept for the noise.
        """
        ranges = self._ranges
        self._deliver(self._now + self._command_ticks)
        self._frames.clear()
        self._looks.draw(rng)
        self._matter.draw(rng)
        self._command_ticks = self._draw_ticks(rng, ranges.command_latency)
        self._camera_ticks = self._draw_ticks(rng, ranges.camera_latency)
        widths = np.repeat([ranges.force_offset, ranges.torque_offset], 3)
        self._offsets = {name: widths * rng.uniform(-1, 1, 6) for name in self.arms}
        self._rng = rng
        self.scene.refresh()

    def _draw_ticks(self, rng: np.random.Generator, seconds: float) -> int:
        most = int(seconds * LAW_HZ / self._tick + 1e-9)
        return self._tick * int(rng.integers(0, most, endpoint=True))

    def read(self) -> RobotState:
        state = super().read()
        if self._rng is None:
            return state
        deviation = np.repeat([self._ranges.force_noise, self._ranges.torque_noise], 3)
        arms = {}
        for name, arm in state.arms.items():
            error = self._offsets[name] + deviation * self._rng.standard_normal(6)
            arms[name] = dataclasses.replace(
                arm, tcp_force=arm.tcp_force + error[:3], tcp_torque=arm.tcp_torque + error[3:]
            )
        return dataclasses.replace(state, arms=arms)

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        self._sent.append((self._now + self._command_ticks, commands))
        self._deliver(self._now)

    def _deliver(self, until: int) -> None:
        """Hand on what has arrived by that tick."""
        while self._sent and self._sent[0][0] <= until:
            super().command(self._sent.popleft()[1])

    def wait(self, seconds: float) -> None:
        ticks = round(seconds * LAW_HZ)
        end = self._now + ticks
        stops = {due for due, _ in self._sent if due < end}
        exposure = None
        if self._camera_ticks and ticks > 0:
            # Every wait is taken to be as long as the last: then each ends when a frame is due.
            exposure = end - self._camera_ticks % ticks
            stops.add(exposure)
            if not self._frames:
                self._expose()
        for stop in sorted(stops - {end}):
            super().wait((stop - self._now) / LAW_HZ)
            self._now = stop
            self._deliver(stop)
            if stop == exposure:
                self._expose()
        super().wait(seconds - (self._now - (end - ticks)) / LAW_HZ)
        self._now = end
        self._deliver(end)
        if exposure == end:
            self._expose()
        while len(self._frames) > 1 and self._frames[1][0] <= end - self._camera_ticks:
            self._frames.popleft()

    def _expose(self) -> None:
        """Keep what the cameras see now, until it arrives."""
        model = self.scene.model
        seen = np.empty(mujoco.mj_stateSize(model, _SEEN))
        mujoco.mj_getState(model, self.scene.data, seen, _SEEN)
        self._frames.append((self._now, seen))

    def capture(self) -> dict[str, np.ndarray]:
        if not self._frames:
            return super().capture()
        mujoco.mj_setState(self.scene.model, self._then, self._frames[0][1], _SEEN)
        mujoco.mj_fwdKinematics(self.scene.model, self._then)
        return self._draw(self._then)
