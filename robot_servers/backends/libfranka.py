"""The `libfranka` backend: FR3 arms with no ROS, the impedance law of this package in aiofranka's loop.

aiofranka runs its loop in C++, where Python cannot delay it; `libfranka_law` is what it calls
there. How to bring an arm up, and what each error means: docs/backend_libfranka.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from hilserl_envs.cameras import Camera
from hilserl_envs.errors import ConfigError
from hilserl_envs.robot import ARM_NAMES
from robot_servers.backends import BackendSettings
from robot_servers.backends.libfranka_arm import LibfrankaArm
from robot_servers.backends.libfranka_loop import Collision
from robot_servers.cameras import open_cameras, read_cameras
from robot_servers.grippers import make_grippers
from robot_servers.grippers.franka_hand import FrankaHand
from robot_servers.parts import Gripper
from robot_servers.station import Station


def make_station(settings: BackendSettings) -> Station:
    """The station of a server: see `open_station`.

    Raises:
        ConfigError: no address, too many, or wrong settings of grippers or cameras.
        RobotError: an arm, gripper or camera does not answer.
    """
    if len(settings.robot_ip) not in ARM_NAMES:
        raise ConfigError(
            f"the libfranka backend drives one arm or two, each by its address (--robot-ip), got "
            f"{list(settings.robot_ip)}"
        )
    names = ARM_NAMES[len(settings.robot_ip)]
    hosts = dict(zip(names, settings.robot_ip, strict=True))
    views = {} if settings.cameras is None else read_cameras(settings.cameras)
    with contextlib.ExitStack() as opened:
        if settings.gripper == "franka":
            grippers = {}
            for name, host in hosts.items():
                grippers[name] = FrankaHand(host)
                opened.callback(grippers[name].close)
        else:
            grippers = make_grippers(settings.gripper, settings.gripper_address, names)
            for gripper in grippers.values():
                opened.callback(gripper.close)
        cameras = open_cameras(views)
        for camera in cameras.values():
            opened.callback(camera.close)
        station = open_station(hosts, grippers, cameras)
        opened.pop_all()
    return station


def open_station(
    hosts: Mapping[str, str],
    grippers: Mapping[str, Gripper] | None = None,
    cameras: Mapping[str, Camera] | None = None,
    collision: Collision | None = None,
) -> Station:
    """Arms at these addresses; their controllers run, and hold them where they are.

    Args:
        hosts: address of each arm's control box, by arm name: "arm", or "left" and "right".
        grippers: by arm name.
        cameras: by name.
        collision: when the robots stop themselves.

    Raises:
        ConfigError: a package is missing, or other names.
        RobotError: an arm cannot be reached, or is no FR3.
    """
    with contextlib.ExitStack() as opened:
        arms = {}
        for name, host in hosts.items():
            arms[name] = LibfrankaArm(host, collision)
            opened.callback(arms[name].close)
        station = Station(arms, grippers, cameras)
        opened.pop_all()
    return station
