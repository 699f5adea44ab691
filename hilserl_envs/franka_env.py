"""`FrankaEnv`: a gymnasium environment over a `Robot` and a `Task`, in either world."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hilserl_envs.connect import connect
from hilserl_envs.errors import (
    ActionError,
    ConfigError,
    DivergedError,
    RobotError,
    check_array,
    check_name,
)
from hilserl_envs.observation import OBSERVATIONS, ObservationView
from hilserl_envs.poses import displace, saturate
from hilserl_envs.reset_motion import ResetMotion, joint_reset_wanted
from hilserl_envs.robot import ArmCommand, Robot, RobotState
from hilserl_envs.robot_env import RobotEnv
from hilserl_envs.safety import WorkspaceBox
from hilserl_envs.tasks import make_task
from hilserl_envs.tasks.setup import ArmAction, ArmSetup
from hilserl_envs.tasks.task import Task

CONTROL_HZ = 10
RESET_MODES = ("teleport", "motion")
# A gripper action beyond this closes (negative) or opens (positive); between, it stays.
GRIPPER_THRESHOLD = 0.5


class FrankaEnv(RobotEnv):
    """A task on one arm or two. Made by `gym.make("hilserl/RamInsertion-v0", ...)`.

    Observation, every array fresh at every step:
        `state`: each arm's `tcp_pose` (7,) xyz [m] + quat_xyzw (the one nearer to that of
        the reset pose), `tcp_vel` (6,) [m/s, rad/s], both in its base frame;
        `tcp_force` (3,) [N], `tcp_torque` (3,)
        [Nm] in the TCP's axes; `gripper_pose` (1,); `q`, `dq` (7,): those that the task
        uses, float32, under `left/`, `right/` with two arms. With obs "state" or "both"
        also the twin's privileged `{object}_pose` (7,) in each arm's base frame, and the
        task's `measures`.
        `images`: 128x128x3 uint8 RGB by camera; absent with obs "state".

    Action: Box(-1, 1), per arm a displacement of the measured TCP along the base's axes
    (3,), a rotation vector (3,), and where the task has one a gripper command (below
    -0.5 closes, above 0.5 opens). Displacement and rotation are each shortened to
    length 1, so that a turned frame changes nothing, then scaled by the task. A dynamic
    task has some components of a feed-forward wrench instead, along the base's axes,
    shortened and scaled in the same way; what would push the arm further out of its box
    is left out.

    `reset(options={"joint_reset": True})` first drives the joints to their reset posture.

    Args:
        task: a registered name, "module:Class", or a `Task`.
        robot: "twin"; the URL of a robot server, or one per arm; or a `Robot`. See `connect`.
        obs: "pixels", "state" or "both"; the last two need the twin.
        render_mode: "rgb_array", "human" (a window on the twin, real time) or None.
        reset_mode: "teleport" puts twin and arm in place at once; "motion" moves the arm
            as the real one moves, but for the first reset. A real robot always moves.
        image_size: height and width of the images.
        timestep: of the twin's physics [s]; None is its default.
        settings: changes of the task's settings, nested by field name (see
            `tasks.task.configure`).
        ends_on_success: whether success terminates the episode. Without, the reward is 1
            at every step at which the task is done, and wrappers or the time limit end it.
        randomise: whether light, colours, cameras, friction, masses, clearances, latencies and
            noise differ between episodes, as far as `task.randomisation` says. The twin's alone.
            A seed is the same arrangement with and without.

    Raises:
        ConfigError: a name or setting is wrong.
        RobotError: a robot server does not answer.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": CONTROL_HZ}

    def __init__(
        self,
        task: str | Task,
        robot: str | Mapping[str, str] | Robot = "twin",
        obs: str = "pixels",
        render_mode: str | None = None,
        reset_mode: str = "teleport",
        image_size: int = 128,
        timestep: float | None = None,
        settings: Mapping[str, Any] | None = None,
        ends_on_success: bool = True,
        randomise: bool = False,
    ):
        self.obs_mode = check_name(obs, OBSERVATIONS, "obs")
        self.reset_mode = check_name(reset_mode, RESET_MODES, "reset_mode")
        if render_mode is not None:
            check_name(render_mode, self.metadata["render_modes"], "render_mode")
        if isinstance(image_size, bool) or not isinstance(image_size, int | np.integer) or image_size < 1:
            raise ConfigError(f"image_size must be a whole number of pixels above 0, got {image_size!r}")
        if isinstance(settings, Mapping) and "horizon" in settings:
            raise ConfigError(
                "the time limit is gymnasium's: give max_episode_steps=... to gym.make, not horizon"
            )
        if not isinstance(ends_on_success, bool):
            raise ConfigError(f"ends_on_success is True or False, got {ends_on_success!r}")
        if not isinstance(randomise, bool):
            raise ConfigError(
                f"randomise is True or False, got {randomise!r}; its ranges are settings: "
                "settings={'randomisation': {'mass': 0.1}}"
            )
        self.ends_on_success = ends_on_success
        self.render_mode = render_mode
        self.task = make_task(task, settings)
        super().__init__(connect(robot, self.task, image_size, timestep, randomise))
        self._randomise = randomise
        if self.robot.scene is None and self.obs_mode != "pixels":
            raise ConfigError(
                f"obs={obs!r} holds object poses that only the twin knows; use obs='pixels' on a robot"
            )
        if self.robot.scene is None and render_mode == "human":
            raise ConfigError(
                "render_mode='human' shows the twin; on a robot use 'rgb_array' or the server's page"
            )
        if missing := set(self.task.cameras) - set(self.robot.cameras):
            raise ConfigError(
                f"the robot lacks cameras {sorted(missing)}; it has {sorted(self.robot.cameras)}"
            )
        self._view = ObservationView(self.task, self.robot, self.obs_mode, image_size)
        self._boxes = {
            name: WorkspaceBox(arm.limits, np.array(arm.reset_pose[3:]))
            for name, arm in self.task.arms.items()
        }
        self._reset_motion = ResetMotion(self.robot, self.task, self._boxes)
        self.action_layout = self.task.action_layout
        self.action_space = spaces.Box(-1.0, 1.0, (self.action_layout[-1].stop,), np.float32)
        self.observation_space = self._view.space
        self._started = self._closed = self._under_way = False
        self._steps = 0
        self.robot_state: RobotState = self.robot.read()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Start an episode. Options: `joint_reset` (bool).

        Raises:
            ConfigError: an unknown option.
            RobotError: an arm does not reach its reset pose.
        """
        self._check_open()
        super().reset(seed=seed)
        joint_reset = joint_reset_wanted(options)
        goals = {
            name: self._boxes[name].clip(arm.sample_reset_pose(self.np_random)) for name, arm in self._arms()
        }
        scene, self._steps = self.robot.scene, 0
        if scene is None and not self._started:
            self._load()
        teleport = scene is not None and (self.reset_mode == "teleport" or not self._started)
        with self._failures_noticed():
            if teleport:
                self._draw_world()
                scene.reset()
                self._load()
                self._configure("compliance")
                scene.teleport(goals, {name: arm.gripper_at_reset for name, arm in self._arms()})
                self.task.arrange(scene, self.np_random, in_motion=False)
            if joint_reset:
                self._joint_reset()
            if joint_reset or not teleport:
                self._reset_motion.run(goals)
            if scene is not None and not teleport:
                self._draw_world()
                self.task.arrange(scene, self.np_random, in_motion=True)
            self._configure("compliance")
            self.robot_state = self.robot.read()
        self._started = True
        if self.render_mode == "human":
            self.render()
        return self._view.read(self.robot_state), self._info(self._succeeded())

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Move for one control step of 0.1 s.

        Raises:
            ActionError: the action has a wrong shape or is not finite; the arm holds.
            RobotError: no episode is under way, or this one ends here.
        """
        self._check_open()
        if not self._under_way:
            raise RobotError("no episode is under way: none began, or its last step failed; reset first")
        began = time.monotonic()
        action = check_array(action, self.action_space.shape, "an action", ActionError)
        commands = {
            name: self._to_command(name, arm, layout, action)
            for (name, arm), layout in zip(self._arms(), self.action_layout, strict=True)
        }
        with self._failures_noticed():
            self.robot.command(commands)
            self.robot.wait(1 / CONTROL_HZ)
            self.robot_state = self.robot.read()
        self._steps += 1
        success = self._succeeded()
        if self.task.judged_at_end:
            terminated = self._steps == self.task.horizon and self.ends_on_success
        elif success:
            terminated = self.ends_on_success
        else:
            terminated = self.task.failed(self.robot_state, self.robot.scene)
        if self.render_mode == "human":
            self.render()
            time.sleep(max(0.0, 1 / CONTROL_HZ - (time.monotonic() - began)))
        return self._view.read(self.robot_state), float(success), terminated, False, self._info(success)

    def _succeeded(self) -> bool:
        if self.task.judged_at_end and self._steps < self.task.horizon:
            return False
        told = self.robot_state.succeeded
        return self.task.succeeded(self.robot_state, self.robot.scene) if told is None else told

    def render(self) -> np.ndarray | None:
        """A picture (height, width, 3) uint8 of the twin, or what a robot's cameras see."""
        self._check_open()
        scene = self.robot.scene
        if self.render_mode == "human":
            scene.show()
            return None
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without a render_mode; pass render_mode='rgb_array'")
            return None
        if scene is not None:
            return scene.render()
        return np.concatenate(list(self._view.images().values()), axis=1)

    def close(self) -> None:
        """Release robot, windows and renderers; safe to call twice."""
        self._closed = True
        self.robot.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RobotError("this environment is closed; make another with gym.make")

    @contextlib.contextmanager
    def _failures_noticed(self) -> Iterator[None]:
        """What fails ends the episode, as where the arms are is not known then.

        A twin that diverged has nothing to move on from: the next reset teleports.
        """
        self._under_way = False
        try:
            yield
        except DivergedError:
            self._started = False
            raise
        self._under_way = True

    def _arms(self):
        return self.task.arms.items()

    def _to_command(self, name: str, arm: ArmSetup, layout: ArmAction, action: np.ndarray) -> ArmCommand:
        measured, box = self.robot_state.arms[name].tcp_pose, self._boxes[name]
        six = layout.six(action[layout.motion])
        linear, angular = saturate(six[:3], 1.0), saturate(six[3:], 1.0)
        gripper = None
        if arm.gripper and abs(action[layout.stop - 1]) > GRIPPER_THRESHOLD:
            gripper = 1.0 if action[layout.stop - 1] > 0 else 0.0
        if arm.wrench_axes:
            wrench = np.concatenate([arm.force_scale * linear, arm.torque_scale * angular])
            return ArmCommand(wrench=box.restrain(measured, wrench), gripper=gripper)
        target = displace(measured, arm.translation_scale * linear, arm.rotation_scale * angular)
        return ArmCommand(pose=box.clip(target), gripper=gripper)

    def _configure(self, which: str) -> None:
        self.robot.configure({name: getattr(arm, which) for name, arm in self._arms()})

    def _draw_world(self) -> None:
        if self._randomise:
            # A child draws nothing from its parent: the arrangement is what it is without.
            self.robot.randomise(self.np_random.spawn(1)[0])

    def _load(self) -> None:
        for name, arm in self._arms():
            if (load := arm.load) is not None:
                self.robot.load(name, load.mass, np.array(load.center), np.diag(load.inertia))

    def _joint_reset(self) -> None:
        self._configure("reset_compliance")
        self.robot.reset_joints({name: self.task.reset_q(name) for name in self.task.arms})

    def _info(self, success: bool) -> dict:
        # "succeed" is the public code's name for it
        return {"is_success": success, "succeed": success}
