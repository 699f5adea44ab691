"""`Station`: arms, grippers and cameras put together, as a `Robot` whose time passes by itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hilserl_envs.cameras import Camera, Frame
from hilserl_envs.errors import CameraError, ConfigError, RobotError, check_name
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ANY_STRIDE, ARM_NAMES, MOTIONS, ArmCommand, RobotState
from robot_servers.parts import Arm, Clock, Gripper, MonotonicClock


class Station:
    """A `Robot` of parts. Its methods may be called by several threads at once.

    Args:
        arms: by name: "arm", or "left" and "right".
        grippers: of those arms that have one.
        cameras: by name.
        clock: the robot's time.
        close: called last, for what the parts share.

    Raises:
        ConfigError: arms of other names, or a gripper without its arm.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        grippers: Mapping[str, Gripper] | None = None,
        cameras: Mapping[str, Camera] | None = None,
        clock: Clock | None = None,
        close: Callable[[], None] = lambda: None,
    ):
        if tuple(sorted(arms)) not in ARM_NAMES.values():
            raise ConfigError(f"one arm is named 'arm', two are 'left' and 'right'; got {sorted(arms)}")
        for name in grippers or {}:
            check_name(name, arms, "arm (of a gripper)")
        self.parts, self.grippers = dict(arms), dict(grippers or {})
        self.eyes, self.clock, self._close = dict(cameras or {}), clock or MonotonicClock(), close
        self.arms = tuple(sorted(arms))
        self.cameras = {name: camera.size for name, camera in self.eyes.items()}
        self.scene, self.max_stride = None, ANY_STRIDE

    def read(self) -> RobotState:
        return RobotState(self.clock.now(), {name: self._arm_state(name) for name in self.arms})

    def _arm_state(self, name: str):
        state, gripper = self.parts[name].read(), self.grippers.get(name)
        return state if gripper is None else dataclasses.replace(state, gripper_pose=gripper.opening())

    def command(self, commands: Mapping[str, ArmCommand]) -> None:
        for name, command in commands.items():
            arm = self._part(name)
            if command.pose is not None or command.wrench is not None:
                arm.command(command.pose, command.wrench)
            # Tasks whose gripper holds its object for good have none to drive.
            if command.gripper is not None and name in self.grippers:
                self.grippers[name].move(command.gripper)

    def configure(self, compliance: Mapping[str, Compliance]) -> None:
        for name, values in compliance.items():
            self._part(name).configure(values)

    def load(self, arm: str, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        self._part(arm).load(mass, center, inertia)

    def start(self, motions: Mapping[str, str] | None = None) -> None:
        """Start the controllers of all arms where they are; those named must take that."""
        for name, arm in self.parts.items():
            arm.start((motions or {}).get(name))

    def drive_by(self, motions: Mapping[str, str]) -> None:
        for name, motion in motions.items():
            if check_name(motion, MOTIONS, "motion") not in self._part(name).takes:
                self._part(name).start(motion)

    def stop(self) -> None:
        """Stop the controllers of all arms; every one is tried, whatever another does."""
        failed = []
        for name, arm in self.parts.items():
            try:
                arm.stop()
            except Exception as error:  # the others must stop all the same
                failed.append(f"{name}: {error}")
        if failed:
            raise RobotError(f"not stopped: {'; '.join(failed)}")

    def recover(self) -> None:
        for arm in self.parts.values():
            arm.recover()

    def reset_joints(self, q: Mapping[str, np.ndarray]) -> None:
        arms = {name: self._part(name) for name in q}
        with ThreadPoolExecutor(max_workers=max(1, len(arms))) as together:
            moves = [together.submit(arm.reset_joints, q[name]) for name, arm in arms.items()]
            for move in moves:
                move.result()

    def frame(self, camera: str) -> Frame:
        """The newest frame of a camera.

        Raises:
            CameraError: it has none that is fresh; the message names both camera and device.
        """
        try:
            return self.eyes[check_name(camera, self.eyes, "camera")].frame()
        except CameraError as error:
            raise CameraError(f"camera {camera!r}: {error}") from None

    def frames(self) -> dict[str, Frame]:
        """The newest frame of every camera.

        Raises:
            CameraError: one has none that is fresh.
        """
        return {name: self.frame(name) for name in self.eyes}

    def capture(self) -> dict[str, np.ndarray]:
        return {name: frame.image for name, frame in self.frames().items()}

    def errors(self) -> dict[str, str]:
        """What is wrong now, by arm, gripper ("arm gripper") and camera name."""
        parts = {
            **self.parts,
            **{f"{name} gripper": gripper for name, gripper in self.grippers.items()},
            **self.eyes,
        }
        found = {name: part.error() for name, part in parts.items()}
        return {name: error for name, error in found.items() if error is not None}

    def wait(self, seconds: float) -> None:
        self.clock.wait_until(self.clock.now() + seconds)

    def close(self) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(self._close)
            for part in (*self.eyes.values(), *self.grippers.values(), *self.parts.values()):
                closing.callback(part.close)

    def _part(self, name: str) -> Arm:
        return self.parts[check_name(name, self.arms, "arm")]
