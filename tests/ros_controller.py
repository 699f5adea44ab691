"""Stands in for franka_control, one of the public controllers and franka_gripper, as one ROS node.

The arm is the twin's, in real time: `python -m tests.ros_controller CONTROLLER LOAD_GRIPPER`, as
the launch files in `ros_messages` have it. Where the arm stands outlives the node, in the file
STAND_IN_STATE. Tests do things to it by words on the topic /stand_in, and see what it was told
in parameters under /stand_in.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np

from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import quat_to_matrix
from hilserl_envs.robot import ArmCommand
from hilserl_envs.tasks import make_task
from hilserl_envs.twin.robot import TwinRobot
from robot_servers.backends.ros_install import import_rospy, message_class

PERIOD = 0.01  # [s]
SUCCEEDED, ABORTED = 3, 4
LIMP = Compliance(
    translational_stiffness=0,
    translational_damping=20,
    rotational_stiffness=0,
    rotational_damping=2,
    nullspace_stiffness=0,
)
rospy = import_rospy()


class StandIn:
    """The arm, what drives it, and all topics, services and actions of theirs that the backend uses."""

    def __init__(self, controller: str, load_gripper: bool):
        self.controller, self.lock = controller, threading.RLock()
        self.robot = TwinRobot(make_task("PickCube"))
        self.arm = self.robot.scene.physics.arms[0]
        file = Path(os.environ["STAND_IN_STATE"])
        if file.exists():
            self.arm.q[:] = np.fromfile(file)
            self.robot.scene.refresh()
        else:
            self.arm.q.tofile(file)
        self.kept_q = np.memmap(file, mode="r+", shape=7, dtype=float)  # whole whenever the node is killed
        self.robot.recover()
        self.kind = message_class("franka_msgs", "FrankaState")
        self.mode, self.reflex, self.published = self.kind.ROBOT_MODE_MOVE, False, True
        self.carried = 0.0, [0.0] * 3, [0.0] * 9
        self.hand, self.stopping = threading.Lock(), threading.Event()
        rospy.init_node("franka_control")
        rospy.set_param("/stand_in/pid", os.getpid())
        self.states = self.publisher("/franka_state_controller/franka_states", "franka_msgs", "FrankaState")
        self.subscribe("/stand_in", "std_msgs", "String", lambda message: getattr(self, message.data)())
        self.serve_action("/franka_control/error_recovery", "franka_msgs", "ErrorRecovery", self.recover)
        rospy.Service("/franka_control/set_load", message_class("franka_msgs", "SetLoad", "srv"), self.load)
        if load_gripper:
            self.fingers = self.publisher("/franka_gripper/joint_states", "sensor_msgs", "JointState")
            for name in ("move", "grasp", "stop", "homing"):
                action = getattr(self, name)
                self.serve_action(f"/franka_gripper/{name}", "franka_gripper", name.capitalize(), action)
        else:
            self.fingers = None
        getattr(self, controller)()

    # The controllers.

    def cartesian_impedance_controller(self) -> None:
        from dynamic_reconfigure.server import Server

        # As the C++ one: the controller's name with a word stuck to it.
        Server(
            _compliance_type(),
            self.reconfigure,
            f"/{self.controller}dynamic_reconfigure_compliance_param_node",
        )
        self.subscribe(f"/{self.controller}/equilibrium_pose", "geometry_msgs", "PoseStamped", self.pose)
        self.open_jacobians()

    def cartesian_wrench_controller(self) -> None:
        self.robot.configure({"arm": LIMP})
        self.subscribe(f"/{self.controller}/wrench_target", "geometry_msgs", "WrenchStamped", self.wrench)
        self.open_jacobians()

    def joint_position_controller(self) -> None:
        self.jacobians = None
        if not rospy.get_param("/stand_in/blocked", False):
            self.robot.scene.physics.drive_joints(0, np.array(rospy.get_param("/target_joint_positions")))

    def open_jacobians(self) -> None:
        topic, wrench = f"/{self.controller}/franka_jacobian", "cartesian_wrench_controller"
        package = "egg_flip_controller" if self.controller == wrench else "serl_franka_controllers"
        self.jacobians = self.publisher(topic, package, "ZeroJacobian")

    def reconfigure(self, config, level: int):
        names = [field.name for field in dataclasses.fields(Compliance)]
        with self.lock:
            self.robot.configure({"arm": Compliance(**{name: config[name] for name in names})})
        return config

    def pose(self, message) -> None:
        p, o = message.pose.position, message.pose.orientation
        self.command(ArmCommand(pose=np.array([p.x, p.y, p.z, o.x, o.y, o.z, o.w])))

    def wrench(self, message) -> None:
        f, t = message.wrench.force, message.wrench.torque
        self.command(ArmCommand(wrench=np.array([f.x, f.y, f.z, t.x, t.y, t.z])))

    def command(self, command: ArmCommand) -> None:
        with self.lock:
            self.robot.command({"arm": command})

    # The driver.

    def recover(self, goal) -> str:
        with self.lock:
            if self.mode == self.kind.ROBOT_MODE_USER_STOPPED:
                return "command rejected: the robot is user stopped"
            if self.mode != self.kind.ROBOT_MODE_MOVE:
                self.mode, self.reflex = self.kind.ROBOT_MODE_MOVE, False
                if self.controller != "joint_position_controller":
                    self.robot.recover()
        return ""

    def load(self, request):
        if self.mode == self.kind.ROBOT_MODE_MOVE:
            return False, "command rejected due to activated control"
        self.carried = request.mass, request.F_x_center_load, request.load_inertia
        return True, ""

    # What tests do to the arm.

    def collide(self) -> None:
        self.mode, self.reflex = self.kind.ROBOT_MODE_REFLEX, True

    def press(self) -> None:
        self.mode = self.kind.ROBOT_MODE_USER_STOPPED

    def release(self) -> None:
        self.mode = self.kind.ROBOT_MODE_IDLE

    def silence(self) -> None:
        self.published = not self.published

    # The hand. It does one thing at a time, as the real one does, until it is stopped.

    def move(self, goal) -> str:
        return self.drive_fingers(goal.width / 0.08)

    def grasp(self, goal) -> str:
        rospy.set_param("/stand_in/grip_force", goal.force)
        return self.drive_fingers(0.0)

    def homing(self, goal) -> str:
        rospy.set_param("/stand_in/homed", rospy.get_param("/stand_in/homed", 0) + 1)
        return self.drive_fingers(1.0)

    def stop(self, goal) -> str:
        self.stopping.set()
        with self.hand:
            self.stopping.clear()
        return ""

    def drive_fingers(self, opening: float) -> str:
        with self.hand:
            if rospy.get_param("/stand_in/hand_broken", False):
                return "libfranka gripper: connection lost"
            with self.lock:
                self.robot.command({"arm": ArmCommand(gripper=opening)})
            rospy.set_param("/stand_in/grips", [*rospy.get_param("/stand_in/grips", []), opening])
            if not self.stopping.wait(0.2):
                while np.abs(self.arm.finger_speeds).max() > 1e-3 and not self.stopping.wait(0.01):
                    pass
            if self.stopping.is_set():
                with self.lock:
                    self.robot.command({"arm": ArmCommand(gripper=max(self.opening(), 0.01))})
        return ""

    def opening(self) -> float:
        return float(np.clip(self.arm.fingers.sum() / 0.08, 0, 1))

    # ROS.

    def publisher(self, name: str, package: str, kind: str):
        return rospy.Publisher(name, message_class(package, kind), queue_size=1, tcp_nodelay=True)

    def subscribe(self, name: str, package: str, kind: str, callback) -> None:
        rospy.Subscriber(name, message_class(package, kind), callback, queue_size=20, tcp_nodelay=True)

    def serve_action(self, name: str, package: str, action: str, run) -> None:
        """`run` takes a goal, and returns what went wrong."""
        results = self.publisher(f"{name}/result", package, f"{action}ActionResult")
        result_class = message_class(package, f"{action}ActionResult")

        def serve(message) -> None:
            error, result = run(message.goal), result_class()
            result.status.goal_id = message.goal_id
            result.status.status, result.status.text = (ABORTED, error) if error else (SUCCEEDED, "")
            if hasattr(result.result, "success"):
                result.result.success, result.result.error = not error, error
            results.publish(result)

        self.subscribe(f"{name}/goal", package, f"{action}ActionGoal", serve)

    def publish(self) -> None:
        state = self.robot.read().arms["arm"]
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = quat_to_matrix(state.tcp_pose[3:]), state.tcp_pose[:3]
        message = self.kind(q=state.q, dq=state.dq, O_T_EE=frame.T.ravel(), robot_mode=self.mode)
        message.K_F_ext_hat_K = [*state.tcp_force, *state.tcp_torque]
        message.m_load, message.F_x_Cload, message.I_load = self.carried
        message.current_errors.cartesian_reflex = self.reflex
        self.states.publish(message)
        if self.jacobians is not None:
            kind = self.jacobians.data_class
            self.jacobians.publish(kind(zero_jacobian=state.jacobian.T.ravel()))
        if self.fingers is not None:
            self.fingers.publish(self.fingers.data_class(position=[self.opening() * 0.04] * 2))
        self.kept_q[:] = state.q

    def run(self) -> None:
        due = time.monotonic()
        while not rospy.is_shutdown():
            due += PERIOD
            time.sleep(max(0.0, due - time.monotonic()))
            with self.lock:
                if self.mode == self.kind.ROBOT_MODE_MOVE:  # else its brakes hold it
                    self.robot.wait(PERIOD)
                if self.published:
                    self.publish()


def _compliance_type() -> types.SimpleNamespace:
    """What a cfg file becomes, for `dynamic_reconfigure.server.Server`; ranges are those of `Compliance`."""
    narrow = rospy.get_param("/stand_in/narrow", {})
    parameters = [
        {
            "name": field.name,
            "type": "double",
            "default": field.default,
            "min": field.metadata["low"],
            "max": narrow.get(field.name, field.metadata["high"]),
            "level": 0,
            "description": "",
            "edit_method": "",
        }
        for field in dataclasses.fields(Compliance)
    ]
    group = {"name": "Default", "type": "", "state": True, "id": 0, "parent": 0, "groups": []}
    names = {"defaults": "default", "min": "min", "max": "max", "level": "level", "type": "type"}
    tables = {table: {p["name"]: p[key] for p in parameters} for table, key in names.items()}
    return types.SimpleNamespace(config_description=group | {"parameters": parameters}, **tables)


if __name__ == "__main__":
    StandIn(sys.argv[1], sys.argv[2] == "true").run()
