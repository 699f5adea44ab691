"""`ControllerNodes`: an arm's driver and its controller, as ROS nodes that launch files start and stop.

There is one controller at a time. Names of topics and parameters are those of
rail-berkeley/serl_franka_controllers and frankaemika/franka_ros.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import RobotError
from hilserl_envs.robot import ArmState
from robot_servers.backends.ros_launch import Launch, check_launch_file
from robot_servers.backends.ros_messages import arm_state, standstill
from robot_servers.backends.ros_node import RosNode
from robot_servers.backends.ros_topics import wait_until

STATES = "/franka_state_controller/franka_states"
JOINT_LAUNCH = "joint.launch"
WRENCH_TIMEOUT = 0.1  # [s]
STALE = 0.5  # states come at 30 Hz or more, but not in real time [s]
START_TIMEOUT = 30.0  # of a launch, until the controller is heard [s]
STANDSTILL_TIMEOUT = 3.0  # for an arm to be moved by its controller, or to fall silent [s]
RECOVERY_TIMEOUT = 15.0  # [s]
JOINT_TIMEOUT = 30.0  # the joint controller takes 10 s for any distance [s]
JOINT_TOLERANCE = 0.01  # [rad]


@dataclass(frozen=True)
class Controller:
    """A controller of the arm.

    Args:
        name: in controller_manager, and the namespace of its topics.
        launch: the file that starts it.
        poses: it takes equilibrium poses, and compliance by dynamic_reconfigure.
        wrenches: it takes feed-forward wrenches that lapse after its parameter
            max_duration_between_commands.
    """

    name: str
    launch: str
    poses: bool = False
    wrenches: bool = False


IMPEDANCE = Controller("cartesian_impedance_controller", "impedance.launch", poses=True)
WRENCH = Controller("cartesian_wrench_controller", "wrench.launch", wrenches=True)


class ControllerNodes:
    """What runs on the arm's computer, and what is heard of it.

    Starting and joint motions take long: their caller sees to it that only one is under way, and
    passes the `stops` that it began with. `stop` overrules them from any thread.

    Args:
        node: of this process.
        controller: that is to run.
        package: ROS package of the launch files.
        arguments: of the launch files.

    Attributes:
        states, jacobians: their topics.
        lock: nothing is launched without it; who sends commands takes it too, so that none
            follows a stop.
        stops: how often `stop` was called.
        stopped: and nothing was launched since.
    """

    def __init__(self, node: RosNode, controller: Controller, package: str, arguments: Mapping[str, str]):
        self._node, self._controller, self._package, self._arguments = node, controller, package, arguments
        self.states = node.topic(STATES, "franka_msgs", "FrankaState")
        self.jacobians = node.topic(f"/{controller.name}/franka_jacobian", package, "ZeroJacobian")
        self._recovery = node.action("/franka_control/error_recovery", "franka_msgs", "ErrorRecovery")
        self.lock = threading.RLock()
        self.stops, self.stopped = 0, False
        self._launch: Launch | None = None
        self._doing: str | None = None

    def heard(self) -> bool:
        """Whether driver and controller run, whatever the arm makes of it."""
        return self.states.age < STALE and self.jacobians.age < STALE

    def silence(self) -> str | None:
        """What to say if the driver is not heard."""
        if self.states.age < STALE:
            return None
        return (
            f"nothing on {STATES}: franka_control does not run or hangs, or its computer is out of reach "
            "(check ROS_HOSTNAME and ROS_IP on both); start or recover launches it"
        )

    def state(self) -> ArmState:
        """The newest state there was."""
        fresh = self.jacobians.age < STALE
        return arm_state(self.states.message, self.jacobians.message if fresh else None)

    def error(self) -> str | None:
        """What keeps the arm from following its controller, None where nothing does."""
        if self.stopped:
            return "stopped"
        ended = None if self._launch is None else self._launch.ended()
        trouble = self._doing or ended or self._standstill()
        if trouble is None and self.jacobians.age > STALE:
            trouble = f"{self._controller.name} does not run: nothing on {self.jacobians.name}; start it"
        return trouble

    def ours(self) -> bool:
        """Whether the controller was launched here."""
        return self._launch is not None

    def launch(self, stops: int) -> None:
        """End what runs, and launch the controller; it holds the arm where it is.

        Raises:
            RobotError: it does not come up, or `stop` overruled this.
        """
        self._doing = "its controller is being started"
        try:
            self.check_not_overruled(stops)
            self._end()
            self._begin(self._controller.launch, stops)
            self._wait(self.heard, START_TIMEOUT, f"{self._controller.name} does not come up", stops)
        finally:
            self._doing = None
        self.check_wrench_timeout()

    def check_wrench_timeout(self) -> None:
        """Raise RobotError if wrenches would not lapse when they should."""
        if not self._controller.wrenches:
            return
        name = f"/{self._controller.name}/max_duration_between_commands"
        timeout = self._node.parameter(name)
        if timeout is None or abs(timeout - WRENCH_TIMEOUT) > 1e-6:
            raise RobotError(
                f"the parameter {name} is {timeout}, but a wrench must lapse after {WRENCH_TIMEOUT} s: "
                "set it in the controller's yaml file, and start again"
            )

    def move_joints(self, q: np.ndarray, stops: int) -> None:
        """Have the joint position controller move the arm; nothing holds it afterwards but `launch`.

        Raises:
            RobotError: it does not get there, or `stop` overruled this.
        """
        self._doing = "its joints are being reset"
        try:
            self._end()
            self._node.set_parameter("/target_joint_positions", q.tolist())
            self._begin(JOINT_LAUNCH, stops)
            silent = "the joint position controller does not come up"
            self._wait(lambda: self.silence() is None, START_TIMEOUT, silent, stops)
            if not wait_until(lambda: self._standstill() is None, STANDSTILL_TIMEOUT):
                self.clear_errors()
                wait_until(lambda: self._standstill() is None, STANDSTILL_TIMEOUT)

            def there() -> bool:
                trouble = self._standstill()
                if trouble is not None:
                    raise RobotError(f"the arm stopped on its way to the joint positions: {trouble}")
                return bool(np.abs(np.array(self.states.message.q) - q).max() < JOINT_TOLERANCE)

            self._wait(there, JOINT_TIMEOUT, "the arm does not reach its joint positions", stops)
        finally:
            self._doing = None

    def clear_errors(self) -> None:
        """Run the arm's automatic error recovery.

        Raises:
            RobotError: it fails.
        """
        self._recovery.run(RECOVERY_TIMEOUT)

    def stop(self, hold: Callable[[], None]) -> None:
        """End the controller, whoever launched it, and its driver.

        Args:
            hold: tells the controller to hold the arm; it needs a while to end.

        Raises:
            RobotError: something drives the arm all the same.
        """
        with self.lock:
            self.stops += 1
            self.stopped = True
            if self.silence() is None:
                hold()
        self._end()

    def check_not_overruled(self, stops: int) -> None:
        """Raise RobotError if `stop` was called since `stops` was read."""
        if self.stops != stops:
            raise RobotError("stopped")

    def close(self) -> None:
        for part in (self.states, self.jacobians, self._recovery):
            part.close()

    def _standstill(self) -> str | None:
        return self.silence() or standstill(self.states.message)

    def _begin(self, file: str, stops: int) -> None:
        self._node.check_master()
        check_launch_file(self._package, file)
        with self.lock:
            self.check_not_overruled(stops)
            self._launch = Launch(self._package, file, self._arguments)
            self.stopped = False

    def _end(self) -> None:
        with self.lock:
            launch = self._launch
        if launch is not None:
            launch.stop()
        elif self.states.age < STALE:
            self._node.shut_down("/franka_control")  # the public launch files end when it does
        if not wait_until(lambda: min(self.states.age, self.jacobians.age) > STALE, STANDSTILL_TIMEOUT):
            raise RobotError(
                f"the controller does not stop: {STATES} goes on, so another franka_control runs. Stop it "
                "where it was started, or use the arm's own emergency stop"
            )

    def _wait(self, met: Callable[[], bool], seconds: float, complaint: str, stops: int) -> None:
        """Return when a condition holds.

        Raises:
            RobotError: it does not in time, the launch ended, or `stop` overruled this.
        """
        end = time.monotonic() + seconds
        while not met():
            self.check_not_overruled(stops)
            ended = self._launch.ended()
            if ended is not None or time.monotonic() > end:
                raise RobotError(f"{complaint}: {ended or self.silence() or f'waited {seconds:g} s'}")
            time.sleep(0.01)
