"""`Intervention`: a person takes over from the policy."""

from __future__ import annotations

import dataclasses
import time

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ActionError, ConfigError, check_array, check_name
from hilserl_envs.poses import quat_conjugate, quat_multiply, rotate, rotvec_to_quat, saturate
from hilserl_envs.teleop import Device, Takeover, TeleopCommand, make_device
from hilserl_envs.teleop.takeover import TakeoverSettings
from hilserl_envs.wrappers.action import layout_of, outer_action
from hilserl_envs.wrappers.gripper_state import GripperState

FRAMES = ("world", "tcp")
STALE = 0.5  # taps that nobody looked at for so long [s] are no commands any more
_SESSION = 1  # keeps this wrapper's draws apart from the environment's, whose seed it shares


class Intervention(gymnasium.Wrapper, RecordConstructorArgs):
    """While the person acts, their action is executed in place of the policy's.

    What they ask for is turned into this wrapper's own action space through all wrappers
    inside (another frame, a left-out gripper, a subspace), saturated as `FrankaEnv`
    saturates, and executed from there: an action that the policy could have given,
    always in [-1, 1]. Every step's `info` holds

    - `intervened`: whether the person was in control;
    - `intervene_action`, while they were: the action that was executed, float32. Action
      wrappers outside turn it into their own space, with the frame it was executed in;
    - `teleop`: the `TeleopCommand`, for buttons.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import Intervention, RelativeFrame
        >>> env = gym.make("hilserl/PickCube-v0", obs="state")
        >>> env = Intervention(RelativeFrame(env), "expert:noise=0.1")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        >>> info["intervened"], info["intervene_action"].shape
        (True, (7,))

    Args:
        env: in any stack whose action wrappers can be undone.
        device: a name, with or without settings (see `teleop.make_device`), or a
            `Device`. One made from a name is closed with the environment.
        frame: axes of the person's motions: "world", their own (x away from them), the same
            for both of two arms; or "tcp", each end effector's.
        heading: direction in which the person looks, about the world's z [rad]: 0 stands
            behind an arm at the origin, pi faces it. For "world" only.
        mode: "hold" or "toggle", see `teleop.takeover.TakeoverSettings`.
        release_delay: how long "hold" stays with the person after a motion [s].

    Attributes:
        device: what the person holds.
        held_still: while set, nobody acts: `PersonReward` waits for the person's word.

    Wrappers that leave out part of the action (`FixedGripper`, `ActionSubspace`) go inside.

    Raises:
        ConfigError: an unknown name or a wrong setting.
    """

    intervenes = True  # wrappers that leave out part of an action look for it

    def __init__(
        self,
        env: gymnasium.Env,
        device: str | Device,
        frame: str = "world",
        heading: float = 0.0,
        mode: str = "hold",
        release_delay: float = 0.5,
    ):
        RecordConstructorArgs.__init__(
            self, device=device, frame=frame, heading=heading, mode=mode, release_delay=release_delay
        )
        super().__init__(env)
        if env.has_wrapper_attr("judged_by_person"):
            raise ConfigError("Intervention: put PersonReward outside of it, where the presses come out")
        self._base_layout = getattr(env.unwrapped, "action_layout", None)
        if self._base_layout is None:
            raise ConfigError(
                f"Intervention needs an environment with an `action_layout`, got {env.unwrapped}"
            )
        self._frame = check_name(frame, FRAMES, "frame of the person's motions")
        self._heading = rotvec_to_quat(np.array([0, 0, float(check_array(heading, (), "heading"))]))
        hz = env.metadata.get("render_fps", 10)
        self._takeover = Takeover(TakeoverSettings(mode=mode, release_delay=release_delay), hz)
        self.device = make_device(device, env)
        self._owns_device = self.device is not device
        self._grippers = GripperState(layout_of(env, self))
        self._seeds = np.random.default_rng()
        self._given: TeleopCommand | None = None
        self._looked = -np.inf
        self.held_still = False

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """As the environment's; `seed` seeds a scripted device too."""
        if seed is not None:
            self._seeds = np.random.default_rng([seed, _SESSION])
        self._takeover.begin()
        self.device.begin(self._draw_seed())
        self._given, self._looked = None, -np.inf
        observation, info = self.env.reset(seed=seed, options=options)
        if hasattr(self.env.unwrapped, "robot_state"):
            arms = self.env.unwrapped.robot_state.arms
            self._grippers.reset({name: arm.gripper_pose for name, arm in arms.items()})
        return observation, info

    def give(self, command: TeleopCommand) -> None:
        """Take this command in the next step instead of reading another.

        For whoever read the device between two steps: what starts a session is its first
        command.
        """
        self._given = command

    def look(self) -> TeleopCommand:
        """What the person does now.

        What was tapped while nobody looked, for as long as a reset takes or a learner
        stalls, moves nothing any more and judges nothing; only "discard" and "pause" stay.
        """
        command = self.device.read()
        if self.device.real_time and time.monotonic() - self._looked > STALE:
            asked = command.pressed & {"discard", "pause"}
            command = self.device.read()
            command = dataclasses.replace(command, pressed=command.pressed | asked)
        self._looked = time.monotonic()
        return command

    def _draw_seed(self) -> int:
        return int(self._seeds.integers(2**31))

    def step(self, action: np.ndarray) -> tuple:
        action = check_array(action, self.action_space.shape, "an action", ActionError)
        command, self._given = self._given or self.look(), None
        command, person = self._decide(command)
        person = person and not self.held_still
        if person:
            action = self._action_of(command)
        self._grippers.execute(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        info = {**info, "intervened": person, "teleop": command}
        if person:
            info["intervene_action"] = action
        return observation, reward, terminated, truncated, info

    def _decide(self, command: TeleopCommand) -> tuple[TeleopCommand, bool]:
        """The command of this step, and whether it is carried out."""
        return command, self._takeover.update(command)

    def _action_of(self, command: TeleopCommand) -> np.ndarray:
        """What the person asks for, in this wrapper's action space, float32."""
        inner = np.zeros(self._base_layout[-1].stop)
        for arm in self._base_layout:
            asked = command.arms.get(arm.name)
            if asked is None:
                continue
            turn = self._turn(arm.name)
            motion = [saturate(rotate(turn, half), 1.0) for half in (asked.motion[:3], asked.motion[3:])]
            inner[arm.motion] = arm.part(np.concatenate(motion))
            if arm.gripper:
                inner[arm.stop - 1] = self._gripper_action(arm.name, asked.gripper)
        # Rounding to float32 may lengthen a full vector by its last bit.
        return np.clip(outer_action(self.env, inner), -1.0, 1.0).astype(np.float32)

    def _gripper_action(self, arm: str, asked: str) -> float:
        if asked == "toggle":
            asked = "close" if self._grippers.open.get(arm, True) else "open"
        return {"close": -1.0, "stay": 0.0, "open": 1.0}[asked]

    def _turn(self, arm: str) -> np.ndarray:
        """quat_xyzw that turns the person's axes into the base's."""
        if self.device.in_base_frame:
            return np.array([0.0, 0.0, 0.0, 1.0])
        base = self.env.unwrapped
        if self._frame == "tcp":
            return base.robot_state.arms[arm].tcp_pose[3:]
        if not hasattr(base, "task"):
            return self._heading
        base_in_world = np.array(base.task.arms[arm].base_pose[3:])
        return quat_multiply(quat_conjugate(base_in_world), self._heading)

    def close(self) -> None:
        if self._owns_device:
            self.device.close()
        self.env.close()
