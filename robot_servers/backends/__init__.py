"""What can be served: each backend is a function from `BackendSettings` to a `Station`."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import tyro

from hilserl_envs.errors import ConfigError, check_fields, check_name, ranged
from hilserl_envs.tasks.task import Task
from robot_servers.station import Station

# Where each is made; imported when it is asked for, since most need packages of their own.
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "twin": "robot_servers.backends.twin:make_station",
        "libfranka": "robot_servers.backends.libfranka:make_station",
        "ros": "robot_servers.backends.ros:make_station",
    }
)
_REAL = ("task", "robot_ip", "gripper", "gripper_address", "cameras")
# What each is told; the reset posture is the task's.
TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "twin": ("task", "speed", "image_size", "seed"),
        "libfranka": _REAL,
        "ros": (*_REAL, "controller", "ros_package", "wrench_package"),
    }
)


@dataclass(frozen=True)
class BackendSettings:
    """What a backend is told; see `TAKES`. All but the task are flags of `hilserl serve`.

    Args:
        task: whose arms, cameras and reset posture there are; the twin cannot do without.
        robot_ip: addresses of the arms' control boxes: one, or left and right.
        gripper: "franka", "robotiq" or "none".
        gripper_address: of Robotiq grippers, HOST or HOST:PORT, one for each arm.
        cameras: a file that says which cameras there are.
        controller: on ROS, which runs first, "impedance" or "wrench": the other takes over when it
            is asked for. The other backends' controller does both.
        ros_package: ROS package of the impedance and joint controllers' launch files.
        wrench_package: ROS package of the wrench controller's launch file, for dynamic tasks.
        speed: how many times as fast as real time the twin runs.
        image_size: height and width of the twin's images [pixels].
        seed: of the twin's first arrangement of the task.

    Raises:
        ConfigError: a number out of range.
    """

    task: tyro.conf.Suppress[Task | None] = None
    robot_ip: tuple[str, ...] = ()
    gripper: str = "franka"
    gripper_address: tuple[str, ...] = ()
    cameras: Path | None = None
    controller: str = "impedance"
    ros_package: str = "serl_franka_controllers"
    wrench_package: str = "egg_flip_controller"
    speed: float = ranged(1.0, 0.01, 100.0)
    image_size: int = ranged(128, 1, 4096)
    seed: int = ranged(0, 0, 2**31)

    def __post_init__(self) -> None:
        check_fields(self)
        check_name(self.gripper, ("franka", "robotiq", "none"), "gripper")
        check_name(self.controller, ("impedance", "wrench"), "controller")


def make_station(backend: str, settings: BackendSettings) -> Station:
    """The station of a backend, by name.

    Raises:
        ConfigError: no such backend, a package that it needs is missing, or its settings
            make no sense.
        RobotError: the robot does not answer.
    """
    check_name(backend, BACKENDS, "robot")
    for field in dataclasses.fields(settings):
        given = getattr(settings, field.name)
        if field.name not in TAKES[backend] and given != field.default:
            takes = ", ".join(TAKES[backend])
            raise ConfigError(f"the {backend} backend takes no {field.name}, got {given!r}; it takes {takes}")
    module, _, function = BACKENDS[backend].partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the {backend} backend needs the module {error.name!r}, which is missing"
        ) from error
    return make(settings)
