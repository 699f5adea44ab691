"""The motion that brings real arms back to where episodes start, into their boxes; reset options."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hilserl_envs.errors import ActionError, ConfigError, RobotError, check_name
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import displacement, quat_slerp
from hilserl_envs.robot import ArmCommand, Robot
from hilserl_envs.safety import WorkspaceBox
from hilserl_envs.tasks.task import Task

STEP_SECONDS = 0.1  # between commands
STEP = 0.01  # how far the equilibrium moves at a time [m] and
TURN = 0.05  # [rad]
TOLERANCE = 0.01  # what counts as there [m] and
TURN_TOLERANCE = 0.05  # [rad]
ARRIVAL_PATIENCE = 20  # steps that an arm may take to catch up
ENTRY_PATIENCE = 100  # steps to get into the box from outside
# Of the stride that a robot lets through: an arm moves on between its reading and the command.
STRIDE_SHARE = 0.5


class ResetMotion:
    """Moves a robot's arms along a task's reset path.

    Every commanded pose passes the boxes, but for an arm that is outside: it is led to the nearest
    pose inside by strides that its robot lets through, each nearer to the box than the arm is.

    Args:
        robot: whose arms to move.
        task: whose path and reset compliance to use.
        boxes: of each arm.
    """

    def __init__(self, robot: Robot, task: Task, boxes: Mapping[str, WorkspaceBox]):
        self._robot, self._task, self._boxes = robot, task, boxes

    def run(self, goals: Mapping[str, np.ndarray]) -> None:
        """Move every arm to its goal pose (7,): straight lines, slerped turns.

        Arms that a wrench drives take poses meanwhile.

        Raises:
            RobotError: an arm does not get there.
        """
        robot, arms = self._robot, self._task.arms
        robot.read()  # a robot server that was started again is known from here on
        driven = [name for name, arm in arms.items() if arm.wrench_axes]
        if driven:
            robot.drive_by(dict.fromkeys(driven, "pose"))
        robot.command({name: ArmCommand(gripper=arm.gripper_at_reset) for name, arm in arms.items()})
        self._enter_boxes()
        robot.configure({name: arm.reset_compliance for name, arm in arms.items()})
        state = robot.read()
        poses = {name: state.arms[name].tcp_pose for name in goals}
        for waypoint in self._task.reset_path(state, goals):
            steps = max(_steps(poses[name], waypoint[name]) for name in waypoint)
            for fraction in np.linspace(1 / steps, 1, steps):
                self._step({name: _between(poses[name], waypoint[name], fraction) for name in waypoint})
            poses |= waypoint
        self._await_arrival(goals)
        if driven:
            robot.drive_by(dict.fromkeys(driven, "wrench"))

    def _step(self, poses: Mapping[str, np.ndarray]) -> None:
        self._send({name: self._boxes[name].clip(pose) for name, pose in poses.items()})

    def _send(self, poses: Mapping[str, np.ndarray]) -> None:
        self._robot.command({name: ArmCommand(pose=pose) for name, pose in poses.items()})
        try:
            self._robot.wait(STEP_SECONDS)
        except ActionError as error:  # a robot server takes no pose far from where the arm is
            raise RobotError(
                f"the way to the reset pose is refused: {error}. See what blocks the arm; guide it into its "
                "workspace box by hand, or reset with options={'joint_reset': True}"
            ) from error

    def _enter_boxes(self) -> None:
        """Lead arms that a joint reset or a hand left outside into their boxes, gently.

        The equilibrium is as near to the box as the robot lets it be, and the default
        compliance bounds force (20 N) and speed.
        """
        for _ in range(ENTRY_PATIENCE):
            arms = self._robot.read().arms
            poses = {name: arms[name].tcp_pose for name in self._boxes}
            outside = {
                name: pose for name, pose in poses.items() if not _near(pose, self._boxes[name].clip(pose))
            }
            if not outside:
                return
            self._robot.configure({name: Compliance() for name in outside})
            self._send(
                {name: self._towards(pose, self._boxes[name].clip(pose)) for name, pose in outside.items()}
            )
        raise RobotError(
            f"arms {sorted(outside)} do not get into their workspace boxes; see what blocks them, or move "
            "them there by hand"
        )

    def _towards(self, pose: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The pose on the way to `goal` that is as far ahead of an arm at `pose` as its robot lets it be."""
        path, (stride, turn) = displacement(pose, goal), self._robot.max_stride
        share = max(np.linalg.norm(path[:3]) / stride, np.linalg.norm(path[3:]) / turn) / STRIDE_SHARE
        return goal if share <= 1 else _between(pose, goal, 1 / share)

    def _await_arrival(self, goals: Mapping[str, np.ndarray]) -> None:
        for _ in range(ARRIVAL_PATIENCE):
            arms = self._robot.read().arms
            far = [name for name, goal in goals.items() if not _near(arms[name].tcp_pose, goal)]
            if not far:
                return
            self._step(goals)  # told again: a robot may hold where nobody commands it for long
        left = displacement(arms[far[0]].tcp_pose, goals[far[0]])
        raise RobotError(
            f"arm {far[0]!r} stopped {1000 * np.linalg.norm(left[:3]):.0f} mm and "
            f"{np.linalg.norm(left[3:]):.2f} rad from its reset pose; see what blocks it, then reset again "
            "or with options={'joint_reset': True}"
        )


def joint_reset_wanted(options: Mapping | None) -> bool:
    """What the only option of a reset says; no other value than a bool moves an arm.

    Raises:
        ConfigError: another option or value.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(f"options are a mapping such as {{'joint_reset': True}}, got {options!r}")
    for name in options or {}:
        check_name(name, ["joint_reset"], "reset option")
    wanted = (options or {}).get("joint_reset", False)
    if not isinstance(wanted, bool | np.bool_):
        raise ConfigError(f"the option joint_reset is True or False, got {wanted!r}")
    return bool(wanted)


def _near(pose: np.ndarray, goal: np.ndarray) -> bool:
    """Whether an arm at `pose` is as good as at `goal`."""
    left = displacement(pose, goal)
    return bool(np.linalg.norm(left[:3]) < TOLERANCE and np.linalg.norm(left[3:]) < TURN_TOLERANCE)


def _steps(start: np.ndarray, end: np.ndarray) -> int:
    path = displacement(start, end)
    return max(1, int(np.ceil(max(np.linalg.norm(path[:3]) / STEP, np.linalg.norm(path[3:]) / TURN))))


def _between(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    """Pose (7,) on the straight line and the shortest turn between two."""
    position = start[:3] + fraction * (end[:3] - start[:3])
    return np.concatenate([position, quat_slerp(start[3:], end[3:], fraction)])
