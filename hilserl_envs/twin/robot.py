"""`TwinRobot`: the `Robot` protocol over a MuJoCo scene in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hilserl_envs import impedance
from hilserl_envs.errors import ConfigError, RobotError, check_array, check_name
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import ARM_MODELS
from hilserl_envs.poses import rotate
from hilserl_envs.robot import ANY_STRIDE, WRENCH_TIMEOUT, ArmCommand, ArmState, RobotState
from hilserl_envs.twin.hand import FINGER_TRAVEL
from hilserl_envs.twin.loop import JOINT_RESET_SPEED
from hilserl_envs.twin.rendering import Renderer
from hilserl_envs.twin.scene import Scene

if TYPE_CHECKING:
    import mujoco

    from hilserl_envs.tasks.task import Task

WRENCH_TIMEOUT_TICKS = round(WRENCH_TIMEOUT * impedance.LAW_HZ)
TIMESTEP = 0.001  # of the physics [s]
JOINT_SETTLE_TIME = 1.0  # after the joints' setpoints have arrived [s]
JOINT_TOLERANCE = 0.05  # of a joint reset [rad]


class TwinRobot:
    """The arms of a task in simulation, as fast as the CPU steps them.

    Args:
        task: whose world to build.
        timestep: of the physics [s]; the law always runs at 1 kHz.
        image_size: (height, width) of every camera's images.
        grain: contrast of textures that surfaces can be given, see `add_grains`; 0 for none.

    Raises:
        ConfigError: a timestep that does not fit the law's.
    """

    def __init__(
        self,
        task: Task,
        timestep: float = TIMESTEP,
        image_size: tuple[int, int] = (128, 128),
        grain: float = 0.0,
    ):
        self.scene: Scene | None = Scene(task, float(check_array(timestep, (), "timestep [s]")), grain)
        self.max_stride = ANY_STRIDE
        self.arms = self.scene.arms
        self._geometry = ARM_MODELS[task.arm_model]
        self.cameras = {name: tuple(image_size) for name in task.cameras}
        self._renderer: Renderer | None = None

    def _number(self, arm: str) -> int:
        return self.arms.index(check_name(arm, self.arms, "arm"))

    def read(self) -> RobotState:
        physics = self.scene.physics
        states = {}
        for number, name in enumerate(self.arms):
            pose, velocity, wrench = physics.sense(number)
            arm = physics.arms[number]
            opening = float(arm.fingers[0] + arm.fingers[1]) / (2 * FINGER_TRAVEL)
            states[name] = ArmState(
                tcp_pose=pose,
                tcp_vel=velocity,
                tcp_force=wrench[:3],
                tcp_torque=wrench[3:],
                q=arm.q.copy(),
                dq=arm.dq.copy(),
                jacobian=arm.jacobian.copy(),
                gripper_pose=min(max(opening, 0.0), 1.0),
            )
        return RobotState(self.scene.data.time, states)

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        arms = {self._number(name): command for name, command in commands.items()}
        for number, command in arms.items():
            arm = self.scene.physics.arms[number]
            if command.pose is not None:
                impedance.set_target(arm.memory, command.pose[:3], command.pose[3:])
            if command.wrench is not None:
                arm.memory.wrench[:] = command.wrench
                arm.wrench_ticks[:] = WRENCH_TIMEOUT_TICKS
            if command.gripper is not None:
                self.scene.drive_gripper(number, command.gripper)

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        for name, values in compliance.items():
            impedance.set_compliance(self.scene.physics.arms[self._number(name)].parameters, values)

    def drive_by(self, motions: Mapping[str, str]) -> None:
        """Nothing: one law takes poses and wrenches."""

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Compensate a payload's weight, as libfranka's setLoad does, until the world is reset.

        The inertia is checked but unused: the twin's law compensates no load dynamics.
        """
        center = check_array(center, (3,), "the load's centre")
        check_array(inertia, (3, 3), "the load's inertia")
        mass = float(check_array(mass, (), "the load's mass"))
        if mass < 0:
            raise ConfigError(f"a load has a mass of at least 0 kg, got {mass}")
        half = self._geometry.hand_yaw / 2
        in_hand = rotate(np.array([0.0, 0.0, -np.sin(half), np.cos(half)]), center)
        in_tcp = in_hand - [0, 0, self._geometry.tcp_offset]
        self.scene.physics.arms[self._number(arm)].payload[:] = [mass, *in_tcp]

    def recover(self) -> None:
        for number in range(len(self.arms)):
            self.scene.physics.hold(number)

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        """Drive the joints by position control, then restart the impedance law there.

        Raises:
            RobotError: an arm is blocked on the way.
        """
        physics = self.scene.physics
        goals = {
            self._number(name): check_array(goal, (7,), f"joint positions of {name!r}")
            for name, goal in q.items()
        }
        if not goals:
            return
        farthest = max(np.abs(self.read().arms[self.arms[n]].q - goal).max() for n, goal in goals.items())
        for number, goal in goals.items():
            physics.drive_joints(number, goal)
        self.wait(round(farthest / JOINT_RESET_SPEED + JOINT_SETTLE_TIME, 1))
        state = self.read()
        for number, goal in goals.items():
            physics.hold(number)
            missing = np.abs(state.arms[self.arms[number]].q - goal).max()
            if missing > JOINT_TOLERANCE:
                raise RobotError(
                    f"arm {self.arms[number]!r} stopped {missing:.2f} rad from its joint positions: "
                    "something blocks it; free it, then try again"
                )

    def capture(self) -> dict[str, np.ndarray]:
        return self._draw(self.scene.data)

    def _draw(self, data: mujoco.MjData) -> dict[str, np.ndarray]:
        """What the cameras see of that state."""
        if not self.cameras:
            return {}
        if self._renderer is None:
            self._renderer = Renderer(self.scene.model, *next(iter(self.cameras.values())))
        return self._renderer.render_all(data, self.cameras)

    def wait(self, seconds: float) -> None:
        self.scene.physics.advance(seconds)

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.scene.close()
