"""`RosArm`: an arm under the Cartesian controllers of serl_franka_controllers."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RobotError, check_array
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmState
from robot_servers.backends.ros_controllers import (
    IMPEDANCE,
    STANDSTILL_TIMEOUT,
    WRENCH,
    Controller,
    ControllerNodes,
)
from robot_servers.backends.ros_install import message_class
from robot_servers.backends.ros_messages import fill
from robot_servers.backends.ros_node import RosNode
from robot_servers.backends.ros_topics import wait_until

ADOPTION_TIMEOUT = 1.5  # for a controller that runs already to be heard [s]
_INPUTS = {"pose": ("equilibrium_pose", "PoseStamped"), "wrench": ("wrench_target", "WrenchStamped")}


class RosArm:
    """One arm as a `robot_servers.parts.Arm`; see `ros.open_station` for the arguments.

    A controller that runs already is taken over, and left running by `close`. Else the first of
    the controllers is launched; `start` exchanges it for another.

    Raises:
        RobotError: the controller does not come up.
    """

    def __init__(
        self,
        node: RosNode,
        robot_ip: str,
        controllers: Sequence[Controller] = (IMPEDANCE, WRENCH),
        load_gripper: bool = False,
    ):
        self._node, self._controllers = node, tuple(controllers)
        arguments = {"robot_ip": robot_ip, "load_gripper": "true" if load_gripper else "false"}
        self._nodes = ControllerNodes(node, controllers, arguments)
        self._inputs = {
            (controller, motion): node.publisher(f"/{controller.name}/{topic}", "geometry_msgs", kind)
            for controller in controllers
            for motion, (topic, kind) in _INPUTS.items()
            if motion in controller.takes
        }
        self._compliance: Compliance | None = None
        self._changing = threading.Lock()  # held while controllers are exchanged, which takes long
        self._closed = False
        try:
            if wait_until(self._adopted, ADOPTION_TIMEOUT):
                self._nodes.check_wrench_timeout()
            else:
                self._launch(controllers[0], self._nodes.stops)
        except BaseException:
            with contextlib.suppress(RobotError):  # that it does not come up is what must be said
                self.close()
            raise

    @property
    def takes(self) -> tuple[str, ...]:
        """See `Arm.takes`."""
        return self._nodes.controller.takes

    def read(self) -> ArmState:
        if self._nodes.silence() is not None:
            raise RobotError(f"no state of the arm: {self.error()}")
        return self._nodes.state()

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        with self._nodes.lock:
            trouble = self.error()
            if trouble is not None:
                raise RobotError(f"the arm takes no commands: {trouble}")
            for motion, given in (("pose", pose), ("wrench", wrench)):
                if given is not None and motion not in self.takes:
                    raise RobotError(f"{self._nodes.controller.name}, which runs, takes no {motion}")
            self._send(pose, wrench)

    def configure(self, compliance: Compliance) -> None:
        """See `Arm.configure`. A wrench controller has gains of its own.

        What was set is set again whenever a controller that takes poses is launched.

        Raises:
            RobotError: the controller does not answer, or took other values, as it does where
                its ranges are narrower than those of `Compliance`.
        """
        name = self._nodes.controller.name
        if "pose" not in self.takes:
            self._compliance = compliance
            return
        wanted = dataclasses.asdict(compliance)
        double = message_class("dynamic_reconfigure", "DoubleParameter")
        config = message_class("dynamic_reconfigure", "Config")()
        config.doubles = [double(name, value) for name, value in wanted.items()]
        # The controller's name with a word stuck to it: there is no slash in between.
        server = f"/{name}dynamic_reconfigure_compliance_param_node"
        answer = self._node.call(f"{server}/set_parameters", "dynamic_reconfigure", "Reconfigure", config)
        taken = {value.name: value.value for value in answer.config.doubles}
        other = [
            f"{parameter} {taken.get(parameter, 'not at all')} for {value:g}"
            for parameter, value in wanted.items()
            if abs(taken.get(parameter, np.inf) - value) > 1e-9
        ]
        if other:
            raise RobotError(
                f"{name} took {', '.join(other)}: its cfg file has other ranges or "
                "parameters than the public one; ask for values that it takes"
            )
        self._compliance = compliance

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """See `Arm.load`. An arm takes a load only while no controller moves it.

        One that carries just that already, by its own account, is told nothing.

        Raises:
            RobotError: the arm refuses; it says what to do.
        """
        mass = float(check_array(mass, (), "the load's mass"))
        center = check_array(center, (3,), "the load's centre")
        inertia = check_array(inertia, (3, 3), "the load's inertia")
        if mass < 0:
            raise ConfigError(f"a load has a mass of at least 0 kg, got {mass}")
        columns = inertia.T.ravel().tolist()
        if self._nodes.silence() is None and self._nodes.carries(mass, center.tolist(), columns):
            return
        answer = self._node.call(
            "/franka_control/set_load", "franka_msgs", "SetLoad", mass, center.tolist(), columns
        )
        if not answer.success:
            raise RobotError(
                f"the arm refused the load: {answer.error}. It takes one only while no controller moves it: "
                "press its activation device, set the load, release the device, then recover"
            )

    def start(self, motion: str | None = None) -> None:
        """See `Arm.start`. If another controller does not come up, the one before does again.

        Raises:
            RobotError: none takes that, it does not come up or does not move the arm.
        """
        with self._changing:
            before, stops = self._nodes.controller, self._nodes.stops
            wanted = before if motion is None or motion in before.takes else self._that_takes(motion)
            try:
                self._ensure_running(wanted, stops)
            except RobotError:
                if wanted is not before and self._nodes.controller is wanted:
                    with contextlib.suppress(RobotError):  # what was wanted is what must be said
                        self._launch(before, stops)
                raise
            if not self._moves():
                raise RobotError(f"the controller runs, but does not move the arm: {self.error()}")

    def stop(self) -> None:
        self._nodes.stop(self._hold)

    def recover(self) -> None:
        with self._changing:
            stops = self._nodes.stops
            self._ensure_running(self._nodes.controller, stops)
            self._nodes.clear_errors()
            if not self._moves():
                raise RobotError(f"not recovered: {self.error()}")
            with self._nodes.lock:
                self._nodes.check_not_overruled(stops)
                self._hold()

    def reset_joints(self, q: np.ndarray) -> None:
        """See `Arm.reset_joints`. Controllers are exchanged twice: about 25 s on a real arm.

        Raises:
            ConfigError: not seven numbers.
            RobotError: it does not get there, or there is no launch file. The controller runs
                again all the same, unless `stop` overruled this.
        """
        q = check_array(q, (7,), "joint positions")
        with self._changing:
            stops = self._nodes.stops
            self._nodes.check_joint_reset()
            try:
                self._nodes.move_joints(q, stops)
            finally:
                self._launch(self._nodes.controller, stops)

    def error(self) -> str | None:
        return "closed" if self._closed else self._nodes.error()

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._nodes.ours():
                self.stop()
            elif self.error() is None:
                self._hold()
        finally:
            self._closed = True
            self._nodes.close()
            for publisher in self._inputs.values():
                publisher.unregister()

    def _runs(self, controller: Controller) -> bool:
        """Whether a controller is heard and hears us."""
        inputs = [self._inputs[controller, motion] for motion in controller.takes]
        return self._nodes.heard(controller) and all(to.get_num_connections() > 0 for to in inputs)

    def _adopted(self) -> bool:
        """Whether one of the controllers runs already; it is ours from now on."""
        for controller in self._controllers:
            if self._runs(controller):
                self._nodes.controller = controller
                return True
        return False

    def _that_takes(self, motion: str) -> Controller:
        for controller in self._controllers:
            if motion in controller.takes:
                return controller
        raise RobotError(
            f"none of this server's controllers takes a {motion}: they are "
            f"{', '.join(controller.name for controller in self._controllers)}"
        )

    def _moves(self) -> bool:
        return wait_until(lambda: self.error() is None, STANDSTILL_TIMEOUT)

    def _ensure_running(self, controller: Controller, stops: int) -> None:
        if self._nodes.stopped or not self._runs(controller):
            self._launch(controller, stops)

    def _launch(self, controller: Controller, stops: int) -> None:
        self._nodes.launch(controller, stops)
        if not wait_until(lambda: self._runs(controller), STANDSTILL_TIMEOUT):
            raise RobotError(
                f"{controller.name} runs, but does not hear this server: check ROS_HOSTNAME and ROS_IP"
            )
        if self._compliance is not None:
            self.configure(self._compliance)

    def _hold(self) -> None:
        """Send the measured pose, or no force."""
        pose = self._nodes.state().tcp_pose
        self._send(pose if "pose" in self.takes else None, np.zeros(6) if "wrench" in self.takes else None)

    def _send(self, pose: np.ndarray | None, wrench: np.ndarray | None) -> None:
        if pose is not None:
            publisher, message = self._message("pose")
            fill(message.pose.position, pose[:3])
            fill(message.pose.orientation, pose[3:])
            publisher.publish(message)
        if wrench is not None:
            publisher, message = self._message("wrench")
            fill(message.wrench.force, wrench[:3])
            fill(message.wrench.torque, wrench[3:])
            publisher.publish(message)

    def _message(self, motion: str) -> tuple[Any, Any]:
        """The publisher for what the controller takes, and a new message for it."""
        publisher = self._inputs[self._nodes.controller, motion]
        message = publisher.data_class()
        message.header.stamp, message.header.frame_id = self._node.rospy.Time.now(), "0"
        return publisher, message
