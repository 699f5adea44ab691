"""`connect`: the robot that an argument of `gym.make` names."""

from __future__ import annotations

from collections.abc import Mapping

from hilserl_envs.errors import ConfigError
from hilserl_envs.robot import Robot
from hilserl_envs.tasks.task import Task


def connect(
    robot: str | Mapping[str, str] | Robot,
    task: Task,
    image_size: int = 128,
    timestep: float | None = None,
    randomise: bool = False,
) -> Robot:
    """The robot that an argument of `gym.make` names.

    Args:
        robot: "twin"; the URL of a robot server; one URL per arm, as {"left": URL, "right": URL}
            or, on a command line, "left=URL,right=URL"; or a `Robot`.
        task: that it is for.
        image_size: height and width of the twin's images.
        timestep: of the twin's physics [s]; None is its default.
        randomise: whether the twin is a `RandomisedTwin`.

    Raises:
        ConfigError: none of these, or a robot with other arms or without the cameras of the task.
        RobotError: a robot server does not answer.
    """
    if isinstance(robot, str) and robot == "twin":
        from hilserl_envs.twin.randomised import RandomisedTwin
        from hilserl_envs.twin.robot import TIMESTEP, TwinRobot

        twin = RandomisedTwin if randomise else TwinRobot
        return twin(task, TIMESTEP if timestep is None else timestep, (image_size, image_size))
    if randomise:
        raise ConfigError(
            "randomise draws another twin for every episode; a robot has its own light, friction, latency "
            "and noise: leave it out, or take robot='twin'"
        )
    if timestep is not None:
        raise ConfigError("timestep is the twin's; leave it out with another robot")
    if isinstance(robot, Mapping) or (isinstance(robot, str) and ("://" in robot or "@" in robot)):
        from hilserl_envs.http_robot import HttpRobot

        robot = HttpRobot(_urls(robot), tuple(task.cameras))
        try:
            for other in robot.twins_of - {name := type(task).__name__}:
                raise ConfigError(
                    f"{robot!r} is a twin of {other}, not of {name}; serve one with --task {name}"
                )
            return _with_arms(robot, task)
        except ConfigError:
            robot.close()
            raise
    if not isinstance(robot, Robot):
        raise ConfigError(
            "robot must be 'twin' or an object with the Robot protocol, or the URL of a robot server such as "
            f"'http://127.0.0.1:5000' (one per arm: {{'left': URL, 'right': URL}}); got {robot!r}"
        )
    return _with_arms(robot, task)


def _with_arms(robot: Robot, task: Task) -> Robot:
    if set(robot.arms) != set(task.arms):
        raise ConfigError(f"the task needs arms {sorted(task.arms)}, the robot has {sorted(robot.arms)}")
    return robot


def _urls(robot: str | Mapping[str, str]) -> str | Mapping[str, str]:
    """One URL, or by arm what a command line says as "left=URL,right=URL"."""
    if isinstance(robot, str) and "=" in robot.partition("://")[0]:
        return {arm: url for arm, _, url in (part.partition("=") for part in robot.split(","))}
    return robot
