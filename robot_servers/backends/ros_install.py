"""rospy and the message classes of this machine's ROS 1 installation."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType

from hilserl_envs.errors import RobotError

# Where Debian's packages (python3-rospy) put what they install, out of a virtual environment's sight.
DEBIAN_PACKAGES = Path("/usr/lib/python3/dist-packages")


def import_rospy() -> ModuleType:
    """The machine's rospy, from Debian's packages too if this is a virtual environment.

    Raises:
        RobotError: there is none, or one of its own requirements is missing.
    """
    logger_class = logging.getLoggerClass()
    try:
        try:
            return importlib.import_module("rospy")
        except ModuleNotFoundError as missing:
            # Last on the path, so that the environment's own numpy and all the rest come first.
            if missing.name != "rospy" or not (DEBIAN_PACKAGES / "rospy").is_dir():
                raise
            sys.path.append(str(DEBIAN_PACKAGES))
            return importlib.import_module("rospy")
    except ModuleNotFoundError as missing:
        if missing.name == "rospy":
            raise RobotError(
                "ROS 1 is not within reach: there is no module rospy. Before starting the server, source "
                "ROS's setup.bash (`source /opt/ros/noetic/setup.bash`) and your catkin workspace's. Or, on "
                "Debian: apt-get install python3-rospy python3-roslaunch python3-dynamic-reconfigure"
            ) from None
        raise RobotError(
            f"rospy needs the module {missing.name!r}, which this Python lacks: "
            f"{sys.executable} -m pip install rospkg pyyaml defusedxml netifaces"
        ) from None
    finally:
        logging.setLoggerClass(logger_class)  # rospy would have every later logger be one of its own


def message_class(package: str, name: str, kind: str = "msg") -> type:
    """The class of a message ("msg") or service ("srv") of the ROS installation.

    Raises:
        RobotError: the package is not within reach, or has no such message.
    """
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except ModuleNotFoundError:
        raise RobotError(
            f"no Python module {package}.{kind}: the ROS package {package!r} is missing. Install it, or "
            "build it in your catkin workspace, and source the workspace's devel/setup.bash before starting "
            "the server"
        ) from None
    except AttributeError:
        raise RobotError(
            f"the ROS package {package!r} has no {kind} {name!r}: update it; this backend was written for "
            "franka_ros 0.10 and the serl_franka_controllers of 2024"
        ) from None
