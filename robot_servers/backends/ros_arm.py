"""`RosArm`: an arm under the Cartesian controllers of serl_franka_controllers."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading

import numpy as np

from hilserl_envs.errors import ConfigError, RobotError, check_array
from hilserl_envs.impedance import Compliance
from hilserl_envs.robot import ArmState
from robot_servers.backends.ros_controllers import (
    IMPEDANCE,
    JOINT_LAUNCH,
    STANDSTILL_TIMEOUT,
    Controller,
    ControllerNodes,
)
from robot_servers.backends.ros_install import message_class
from robot_servers.backends.ros_launch import check_launch_file
from robot_servers.backends.ros_messages import fill
from robot_servers.backends.ros_node import RosNode
from robot_servers.backends.ros_topics import wait_until

PACKAGE = "serl_franka_controllers"
ADOPTION_TIMEOUT = 1.5  # for a controller that runs already to be heard [s]
log = logging.getLogger("robot_servers")


class RosArm:
    """One arm as a `robot_servers.parts.Arm`; see `ros.open_station` for the arguments.

    A controller that runs already is taken over, and left running by `close`.

    Raises:
        RobotError: the controller does not come up.
    """

    def __init__(
        self,
        node: RosNode,
        robot_ip: str,
        controller: Controller = IMPEDANCE,
        load_gripper: bool = False,
        package: str = PACKAGE,
    ):
        self._node, self._controller, self._package = node, controller, package
        self._pose_class = message_class("geometry_msgs", "PoseStamped")
        self._wrench_class = message_class("geometry_msgs", "WrenchStamped")
        self._poses = node.publisher(f"/{controller.name}/equilibrium_pose", "geometry_msgs", "PoseStamped")
        self._wrenches = node.publisher(f"/{controller.name}/wrench_target", "geometry_msgs", "WrenchStamped")
        arguments = {"robot_ip": robot_ip, "load_gripper": "true" if load_gripper else "false"}
        self._nodes = ControllerNodes(node, controller, package, arguments)
        self._compliance: Compliance | None = None
        self._changing = threading.Lock()  # held while controllers are exchanged, which takes long
        self._closed = False
        try:
            if wait_until(self._runs, ADOPTION_TIMEOUT):
                self._nodes.check_wrench_timeout()
            else:
                self._launch(self._nodes.stops)
        except BaseException:
            with contextlib.suppress(RobotError):  # that it does not come up is what must be said
                self.close()
            raise
        if not controller.poses:
            log.warning("%s has gains of its own; settings of the compliance have no effect", controller.name)

    def read(self) -> ArmState:
        if self._nodes.silence() is not None:
            raise RobotError(f"no state of the arm: {self.error()}")
        return self._nodes.state()

    def command(self, pose: np.ndarray | None = None, wrench: np.ndarray | None = None) -> None:
        for given, takes, kind in (
            (pose, self._controller.poses, "poses"),
            (wrench, self._controller.wrenches, "wrenches"),
        ):
            if given is not None and not takes:
                raise RobotError(
                    f"{self._controller.name} takes no {kind}: start the server with a controller that does"
                )
        with self._nodes.lock:
            trouble = self.error()
            if trouble is not None:
                raise RobotError(f"the arm takes no commands: {trouble}")
            self._send(pose, wrench)

    def configure(self, compliance: Compliance) -> None:
        """See `Arm.configure`. A wrench controller has no compliance, and nothing is done.

        What was set is set again whenever the controller is launched again.

        Raises:
            RobotError: the controller does not answer, or took other values, as it does where
                its ranges are narrower than those of `Compliance`.
        """
        if not self._controller.poses:
            return
        wanted = dataclasses.asdict(compliance)
        double = message_class("dynamic_reconfigure", "DoubleParameter")
        config = message_class("dynamic_reconfigure", "Config")()
        config.doubles = [double(name, value) for name, value in wanted.items()]
        # The controller's name with a word stuck to it: there is no slash in between.
        server = f"/{self._controller.name}dynamic_reconfigure_compliance_param_node"
        answer = self._node.call(f"{server}/set_parameters", "dynamic_reconfigure", "Reconfigure", config)
        taken = {value.name: value.value for value in answer.config.doubles}
        other = [
            f"{name} {taken.get(name, 'not at all')} for {value:g}"
            for name, value in wanted.items()
            if abs(taken.get(name, np.inf) - value) > 1e-9
        ]
        if other:
            raise RobotError(
                f"{self._controller.name} took {', '.join(other)}: its cfg file has other ranges or "
                "parameters than the public one; ask for values that it takes"
            )
        self._compliance = compliance

    def load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """See `Arm.load`. An arm takes a load only while no controller moves it.

        Raises:
            RobotError: the arm refuses; it says what to do.
        """
        mass = float(check_array(mass, (), "the load's mass"))
        center = check_array(center, (3,), "the load's centre")
        inertia = check_array(inertia, (3, 3), "the load's inertia")
        if mass < 0:
            raise ConfigError(f"a load has a mass of at least 0 kg, got {mass}")
        columns = inertia.T.ravel().tolist()
        answer = self._node.call(
            "/franka_control/set_load", "franka_msgs", "SetLoad", mass, center.tolist(), columns
        )
        if not answer.success:
            raise RobotError(
                f"the arm refused the load: {answer.error}. It takes one only while no controller moves it: "
                "press its activation device, set the load, release the device, then recover"
            )

    def start(self) -> None:
        with self._changing:
            self._ensure_running(self._nodes.stops)
            if not self._moves():
                raise RobotError(f"the controller runs, but does not move the arm: {self.error()}")

    def stop(self) -> None:
        self._nodes.stop(self._hold)

    def recover(self) -> None:
        with self._changing:
            stops = self._nodes.stops
            self._ensure_running(stops)
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
            self._node.check_master()  # before anything is stopped
            check_launch_file(self._package, JOINT_LAUNCH)
            stops = self._nodes.stops
            try:
                self._nodes.move_joints(q, stops)
            finally:
                self._launch(stops)

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
            self._poses.unregister()
            self._wrenches.unregister()

    def _runs(self) -> bool:
        """Whether the controller is heard and hears us."""
        inputs = ((self._controller.poses, self._poses), (self._controller.wrenches, self._wrenches))
        return self._nodes.heard() and all(to.get_num_connections() > 0 for takes, to in inputs if takes)

    def _moves(self) -> bool:
        return wait_until(lambda: self.error() is None, STANDSTILL_TIMEOUT)

    def _ensure_running(self, stops: int) -> None:
        if self._nodes.stopped or not self._runs():
            self._launch(stops)

    def _launch(self, stops: int) -> None:
        self._nodes.launch(stops)
        if not wait_until(self._runs, STANDSTILL_TIMEOUT):
            raise RobotError(
                f"{self._controller.name} runs, but does not hear this server: check ROS_HOSTNAME and ROS_IP"
            )
        if self._compliance is not None:
            self.configure(self._compliance)

    def _hold(self) -> None:
        """Send the measured pose, or no force."""
        pose = self._nodes.state().tcp_pose
        self._send(
            pose if self._controller.poses else None,
            np.zeros(6) if self._controller.wrenches else None,
        )

    def _send(self, pose: np.ndarray | None, wrench: np.ndarray | None) -> None:
        now = self._node.rospy.Time.now()
        if pose is not None:
            message = self._pose_class()
            message.header.stamp, message.header.frame_id = now, "0"
            fill(message.pose.position, pose[:3])
            fill(message.pose.orientation, pose[3:])
            self._poses.publish(message)
        if wrench is not None:
            message = self._wrench_class()
            message.header.stamp, message.header.frame_id = now, "0"
            fill(message.wrench.force, wrench[:3])
            fill(message.wrench.torque, wrench[3:])
            self._wrenches.publish(message)
