"""`ControllerNodes`: an arm's driver and its controller, as ROS nodes that launch files start and stop.

There is one controller at a time. Names of topics and parameters are those of
rail-berkeley/serl_franka_controllers, of the egg_flip_controller in rail-berkeley/hil-serl, and of
frankaemika/franka_ros.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hilserl_envs.errors import RobotError
from hilserl_envs.robot import WRENCH_TIMEOUT, ArmState
from robot_servers.backends.ros_launch import Launch, check_launch_file
from robot_servers.backends.ros_messages import arm_state, standstill
from robot_servers.backends.ros_node import RosNode
from robot_servers.backends.ros_topics import Topic, wait_until

STATES = "/franka_state_controller/franka_states"
JOINT_LAUNCH = "joint.launch"
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
        takes: "pose": equilibrium poses, and compliance by dynamic_reconfigure; "wrench":
            feed-forward wrenches that lapse after its parameter max_duration_between_commands.
        package: ROS package of the launch file and of the ZeroJacobian that it publishes.
    """

    name: str
    launch: str
    takes: tuple[str, ...]
    package: str


IMPEDANCE = Controller(
    "cartesian_impedance_controller", "impedance.launch", ("pose",), "serl_franka_controllers"
)
WRENCH = Controller("cartesian_wrench_controller", "wrench.launch", ("wrench",), "egg_flip_controller")


class ControllerNodes:
    """What runs on the arm's computer, and what is heard of it.

    Starting and joint motions take long: their caller sees to it that only one is under way, and
    passes the `stops` that it began with. `stop` overrules them from any thread.

    Args:
        node: of this process.
        controllers: those that there may be. Packages of all but the first may be missing; the
            package of the one that takes poses has the joint controller's launch file too.
        arguments: of the launch files.

    Attributes:
        controller: that runs, or ran last.
        states: their topic.
        lock: nothing is launched without it; who sends commands takes it too, so that none
            follows a stop.
        stops: how often `stop` was called.
        stopped: and nothing was launched since.
    """

    def __init__(self, node: RosNode, controllers: Sequence[Controller], arguments: Mapping[str, str]):
        self._node, self._arguments = node, arguments
        by_pose = [controller for controller in controllers if "pose" in controller.takes]
        self._joint_package = (by_pose or controllers)[0].package
        self.controller = controllers[0]
        self.states = node.topic(STATES, "franka_msgs", "FrankaState")
        self._jacobians: dict[str, Topic] = {}
        self._listen(controllers[0])
        for controller in controllers[1:]:
            with contextlib.suppress(RobotError):  # said when it is asked for
                self._listen(controller)
        self._recovery = node.action("/franka_control/error_recovery", "franka_msgs", "ErrorRecovery")
        self.lock = threading.RLock()
        self.stops, self.stopped = 0, False
        self._launch: Launch | None = None
        self._doing: str | None = None

    def heard(self, controller: Controller) -> bool:
        """Whether the driver and this controller run, whatever the arm makes of it."""
        jacobians = self._jacobians.get(controller.name)
        return self.states.age < STALE and jacobians is not None and jacobians.age < STALE

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
        jacobians = self._jacobians[self.controller.name]
        return arm_state(self.states.message, jacobians.message if jacobians.age < STALE else None)

    def carries(self, mass: float, center: Sequence[float], inertia: Sequence[float]) -> bool:
        """Whether the arm says that it carries this load, its inertia column by column."""
        state = self.states.message
        told = [state.m_load, *state.F_x_Cload, *state.I_load]
        return bool(np.allclose(told, [mass, *center, *inertia], rtol=0, atol=1e-9))

    def error(self) -> str | None:
        """What keeps the arm from following its controller, None where nothing does."""
        if self.stopped:
            return "stopped"
        ended = None if self._launch is None else self._launch.ended()
        trouble = self._doing or ended or self._standstill()
        jacobians = self._jacobians[self.controller.name]
        if trouble is None and jacobians.age > STALE:
            trouble = f"{self.controller.name} does not run: nothing on {jacobians.name}; start it"
        return trouble

    def ours(self) -> bool:
        """Whether the controller was launched here."""
        return self._launch is not None

    def launch(self, controller: Controller, stops: int) -> None:
        """End what runs, and launch a controller.

        Raises:
            RobotError: it is missing, and what runs goes on; or it does not come up, or `stop`
                overruled this.
        """
        self.check_not_overruled(stops)
        self._node.check_master()
        check_launch_file(controller.package, controller.launch)
        self._listen(controller)
        self._doing = "its controller is being started"
        try:
            self._end()
            self.controller = controller
            self._begin(controller.package, controller.launch, stops)
            complaint = f"{controller.name} does not come up"
            self._wait(lambda: self.heard(controller), START_TIMEOUT, complaint, stops)
        finally:
            self._doing = None
        self.check_wrench_timeout()

    def check_wrench_timeout(self) -> None:
        """Raise RobotError if wrenches would not lapse when they should."""
        if "wrench" not in self.controller.takes:
            return
        name = f"/{self.controller.name}/max_duration_between_commands"
        timeout = self._node.parameter(name)
        if timeout is None or abs(timeout - WRENCH_TIMEOUT) > 1e-6:
            raise RobotError(
                f"the parameter {name} is {timeout}, but a wrench must lapse after {WRENCH_TIMEOUT} s: "
                "set it in the controller's yaml file, and start again"
            )

    def check_joint_reset(self) -> None:
        """Raise RobotError if the joint position controller could not be launched, while all goes on."""
        self._node.check_master()
        check_launch_file(self._joint_package, JOINT_LAUNCH)

    def move_joints(self, q: np.ndarray, stops: int) -> None:
        """Have the joint position controller move the arm; nothing holds it afterwards but `launch`.

        Raises:
            RobotError: it does not get there, or `stop` overruled this.
        """
        self._doing = "its joints are being reset"
        try:
            self._end()
            self._node.set_parameter("/target_joint_positions", q.tolist())
            self._begin(self._joint_package, JOINT_LAUNCH, stops)
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
        for part in (self.states, *self._jacobians.values(), self._recovery):
            part.close()

    def _listen(self, controller: Controller) -> None:
        """Hear a controller's Jacobians, which it publishes while it runs."""
        if controller.name not in self._jacobians:
            topic = f"/{controller.name}/franka_jacobian"
            self._jacobians[controller.name] = self._node.topic(topic, controller.package, "ZeroJacobian")

    def _standstill(self) -> str | None:
        return self.silence() or standstill(self.states.message)

    def _begin(self, package: str, file: str, stops: int) -> None:
        with self.lock:
            self.check_not_overruled(stops)
            self._launch = Launch(package, file, self._arguments)
            self.stopped = False

    def _end(self) -> None:
        with self.lock:
            launch = self._launch
        if launch is not None:
            launch.stop()
        elif self.states.age < STALE:
            self._node.shut_down("/franka_control")  # the public launch files end when it does
        topics = (self.states, *self._jacobians.values())
        if not wait_until(lambda: min(topic.age for topic in topics) > STALE, STANDSTILL_TIMEOUT):
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
