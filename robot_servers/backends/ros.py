"""The `ros` backend: a Franka under serl_franka_controllers and franka_ros on ROS 1.

One server drives one arm; two arms are two servers, each with a ROS master of its own, as the
topics' names are the same for both. How to bring an arm up: docs/backend_ros.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from hilserl_envs.cameras import Camera
from hilserl_envs.errors import ConfigError, check_name
from robot_servers.backends import BackendSettings
from robot_servers.backends.ros_arm import RosArm
from robot_servers.backends.ros_controllers import IMPEDANCE, WRENCH, Controller
from robot_servers.backends.ros_hand import RosHand
from robot_servers.backends.ros_node import RosNode
from robot_servers.cameras import open_cameras, read_cameras
from robot_servers.grippers import make_grippers
from robot_servers.parts import Gripper
from robot_servers.station import Station

FRANKA = "franka"


def make_station(settings: BackendSettings) -> Station:
    """The station of a server: see `open_station`.

    Raises:
        ConfigError: not one arm, or the settings of a gripper or camera are wrong.
        RobotError: something is missing or does not answer.
    """
    if len(settings.robot_ip) != 1:
        raise ConfigError(
            "on ROS a server drives one arm: give its address as in --robot-ip 172.16.0.2 (two arms are two "
            f"servers, each with its own ROS_MASTER_URI), got {list(settings.robot_ip)}"
        )
    with contextlib.ExitStack() as unless_all:
        cameras = {} if settings.cameras is None else open_cameras(read_cameras(settings.cameras))
        for camera in cameras.values():
            unless_all.callback(camera.close)
        gripper = FRANKA
        if settings.gripper != FRANKA:
            grippers = make_grippers(settings.gripper, settings.gripper_address, ["arm"])
            gripper = grippers.get("arm")
        if isinstance(gripper, Gripper):
            unless_all.callback(gripper.close)
        controllers = [
            dataclasses.replace(IMPEDANCE, package=settings.ros_package),
            dataclasses.replace(WRENCH, package=settings.wrench_package),
        ]
        if settings.controller == "wrench":
            controllers.reverse()
        station = open_station(settings.robot_ip[0], controllers, gripper, cameras)
        unless_all.pop_all()
    return station


def open_station(
    robot_ip: str,
    controllers: Sequence[Controller] = (IMPEDANCE, WRENCH),
    gripper: Gripper | str | None = FRANKA,
    cameras: Mapping[str, Camera] | None = None,
) -> Station:
    """One arm on the ROS master at ROS_MASTER_URI; its controller is launched unless one runs already.

    Args:
        robot_ip: of the arm's control box, for the launch files.
        controllers: the first is launched, the others when something is asked for that it does not
            take. A lab's own may take both poses and wrenches.
        gripper: "franka" for the Franka hand, one that needs no ROS, or None.
        cameras: by name.

    Raises:
        ConfigError: an unknown gripper.
        RobotError: ROS, a package, the master or the controller is missing; it says what to start.
    """
    if isinstance(gripper, str):
        check_name(gripper, [FRANKA], "gripper on ROS")
    node = RosNode()
    with contextlib.ExitStack() as unless_all:
        hand = gripper == FRANKA
        if hand:
            gripper = RosHand(node)
            unless_all.callback(gripper.close)
        arm = RosArm(node, robot_ip, controllers, hand)
        unless_all.callback(arm.close)
        station = Station({"arm": arm}, {} if gripper is None else {"arm": gripper}, cameras)
        unless_all.pop_all()
    return station
