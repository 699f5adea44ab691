"""`LibfrankaArm`: an FR3 with no ROS, under the impedance law of this package."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np

from hilserl_envs import impedance
from hilserl_envs.errors import ConfigError, RobotError, check_array
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import FR3
from hilserl_envs.robot import MOTIONS, ArmCommand, ArmState
from robot_servers.backends import libfranka_law as law
from robot_servers.backends.libfranka_loop import Collision, LibfrankaLoop

JOINT_SPEED = 0.5  # highest in a joint reset [rad/s]: a bystander can step away from it
JOINT_SETTLE_TIME = 2.0  # that the joints may take to arrive after the motion [s]
JOINT_ARRIVED = 0.005  # nobody waits for less [rad]
JOINT_TOLERANCE = 0.05  # of a joint reset [rad]
_POLL = 0.02  # of a joint reset [s]


class LibfrankaArm:
    """An FR3 as a `robot_servers.parts.Arm`. Its controller runs from the start, if the robot lets it.

    Args:
        host: address of the control box.
        collision: when the robot stops itself.
        max_model_error: how far [m] the TCP that the robot reports may be from where the model
            has it at the same joint positions; more means another arm than an FR3.

    Raises:
        ConfigError: aiofranka or pylibfranka is missing.
        RobotError: the robot cannot be reached, or is another.
    """

    takes = MOTIONS

    def __init__(self, host: str, collision: Collision | None = None, max_model_error: float = 0.005):
        self._host = host
        self._lifecycle = threading.RLock()  # connecting, starting, stopping
        self._connection = host, self._lifecycle, collision or Collision(), max_model_error
        self._sending = threading.Lock()
        self._numbers = dict.fromkeys(("session", "equilibrium", "feedforward", "joint_motion"), 0)
        self._parameters = impedance.new_parameters()
        self._load: tuple[float, np.ndarray, np.ndarray] | None = None
        self._trouble: str | None = None
        self._closed = self._resetting = False
        self._connect()
        with contextlib.suppress(RobotError):  # `error` says it; `start` and `recover` try again
            self._start()

    def _connect(self) -> None:
        self._loop = LibfrankaLoop(*self._connection)
        self._loop.set("compliance", law.packed(self._parameters))
        if self._load is not None:
            self._loop.set_load(*self._load)

    def read(self) -> ArmState:
        self._check_open()
        raw, state = self._loop.newest(), self._loop.arm_state()
        position, quat_xyzw, jacobian = np.empty(3), np.empty(4), np.empty((6, 7))
        law.measure(state["ee"], state["jac"], self._loop.tool, position, quat_xyzw, jacobian)
        wrench = np.array(raw.K_F_ext_hat_K)
        return ArmState(
            tcp_pose=np.concatenate((position, quat_xyzw)),
            tcp_vel=jacobian @ state["qvel"],
            tcp_force=wrench[:3],
            tcp_torque=wrench[3:],
            q=state["qpos"],
            dq=state["qvel"],
            jacobian=jacobian,
            gripper_pose=1.0,
        )

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        checked = ArmCommand(pose=pose, wrench=wrench)
        self._require_running()
        if self._resetting:
            raise RobotError(f"robot {self._host}: a joint reset is under way; command it afterwards")
        if checked.wrench is not None:
            self._send("feedforward", checked.wrench)
        if checked.pose is not None:
            self._send("equilibrium", checked.pose)

    def configure(self, compliance: Compliance) -> None:
        with self._sending:
            impedance.set_compliance(self._parameters, compliance)
            self._loop.set("compliance", law.packed(self._parameters))

    def error(self) -> str | None:
        if self._closed:
            return f"robot {self._host}: closed"
        if self._trouble is None and not self._loop.running:
            self._trouble = self._loop.failure()
        if self._trouble is not None:
            return self._trouble
        try:
            self._loop.newest()
        except RobotError as error:
            return str(error)
        return None

    def _require_running(self) -> None:
        if (trouble := self.error()) is not None:
            raise RobotError(trouble)

    def _check_open(self) -> None:
        if self._closed:
            raise RobotError(f"robot {self._host}: closed")

    def _send(self, name: str, values: np.ndarray) -> None:
        """Set a parameter of the law that has a number, to the next one."""
        with self._sending:
            self._numbers[name] += 1
            self._loop.set(name, np.array([self._numbers[name], *values]))

    def _move_joints(self, duration: float, goal: np.ndarray) -> int:
        """Start a joint motion, or by no duration end one and hold; returns its number."""
        with self._sending:
            numbers = self._numbers
            numbers["joint_motion"] += 1
            before = numbers["equilibrium"], numbers["feedforward"]
            self._loop.set("joint_motion", np.array([numbers["joint_motion"], duration, *goal, *before]))
            return numbers["joint_motion"]

    def _hold(self) -> None:
        """Go on by the law, with the measured pose as its target."""
        self._move_joints(0.0, np.zeros(7))

    def start(self, motion: str | None = None) -> None:
        """See `Arm.start`: one controller takes all motions."""
        with self._lifecycle:
            self._check_open()
            if not self._loop.running or self._trouble is not None:
                self._start()

    def _start(self) -> None:
        """Start the loop where the arm is; `_lifecycle` is held."""
        self._numbers["session"] += 1
        try:
            self._loop.start(np.array([self._numbers["session"]]))
        except RobotError as error:
            self._trouble = str(error)
            raise
        self._trouble = None

    def stop(self) -> None:
        if self._closed:
            return
        stopped = f"robot {self._host}: stopped; start its controller to go on"
        self._trouble = stopped  # refuses commands from now on, before the lock is there
        with self._lifecycle:
            try:
                self._loop.stop()
            except RobotError as error:
                self._trouble = str(error)
                raise
            self._trouble = stopped

    def recover(self) -> None:
        with self._lifecycle:
            self._check_open()
            if self.error() is None:
                self._hold()
                return
            with contextlib.suppress(RobotError):  # what failed may fail to stop
                self._loop.stop()
            try:
                if not self._loop.clear_errors():
                    self._connect()
            except RobotError as error:
                self._trouble = str(error)
                raise
            self._start()

    def reset_joints(self, q: np.ndarray) -> None:
        goal = check_array(q, (7,), "joint positions [rad]")
        low, high = np.array(FR3.joint_limits).T
        if ((goal < low) | (goal > high)).any():
            joint = int(np.argmax(np.maximum(low - goal, goal - high)))
            raise ConfigError(
                f"joint {joint + 1} would go to {goal[joint]:.3f} rad, its limits are {low[joint]} and "
                f"{high[joint]}; nothing moves"
            )
        with self._lifecycle:
            self._require_running()
            if self._resetting:
                raise RobotError(f"robot {self._host}: another joint reset is under way")
            state = self._loop.newest()
            # The polynomial's highest speed is 15/8 of the mean.
            duration = max(15 / 8 * np.abs(goal - state.q).max() / JOINT_SPEED, 0.1)
            self._resetting = True
            motion = self._move_joints(duration, goal)
        try:
            self._await_joints(goal, motion, state.time.to_sec() + duration)
        finally:
            if self._numbers["joint_motion"] == motion:
                self._hold()
            self._resetting = False

    def _await_joints(self, goal: np.ndarray, motion: int, end: float) -> None:
        while True:
            self._require_running()
            state = self._loop.newest()
            missing, now = np.abs(goal - state.q), state.time.to_sec()
            if self._numbers["joint_motion"] != motion:
                raise RobotError(f"robot {self._host}: the joint reset was interrupted")
            if not self._loop.has_joint_motion(motion):
                raise RobotError(
                    f"robot {self._host}: the joint reset ended on its way, as the loop missed more than "
                    f"{1000 * law.LONGEST_GAP:.0f} ms: the computer or the network is too slow"
                )
            if now > end and (missing.max() < JOINT_ARRIVED or now > end + JOINT_SETTLE_TIME):
                break
            time.sleep(_POLL)
        if missing.max() > JOINT_TOLERANCE:
            raise RobotError(
                f"robot {self._host}: joint {np.argmax(missing) + 1} stopped {missing.max():.2f} rad from "
                "where it was sent: something blocks it; free it, then try again"
            )

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """See `Robot.load`. The controller stops for it and starts again, which takes a second.

        Raises:
            ConfigError: a mass below 0, or one that has no inertia, which the robot refuses.
            RobotError: the robot refuses it, or does not start again.
        """
        mass = float(check_array(mass, (), "the load's mass"))
        center = check_array(center, (3,), "the load's centre")
        inertia = check_array(inertia, (3, 3), "the load's inertia")
        if mass < 0:
            raise ConfigError(f"a load has a mass of at least 0 kg, got {mass}")
        if mass > 0 and (np.linalg.eigvalsh((inertia + inertia.T) / 2) <= 0).any():
            raise ConfigError(
                f"the robot takes no load without inertia: give its tensor [kg m^2], got {inertia.tolist()}"
            )
        with self._lifecycle:
            self._check_open()
            running = self._loop.running and self._trouble is None
            if running:
                self.stop()
            try:
                self._loop.set_load(mass, center, inertia)
                self._load = mass, center, inertia
            finally:
                if running:
                    self._start()

    def close(self) -> None:
        with self._lifecycle:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(Exception):  # a robot that is gone is closed too
                self._loop.close()
