"""`PersonReward`: success is what a person says."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ActionError, ConfigError, check_array
from hilserl_envs.teleop import Device, TeleopCommand, make_device
from hilserl_envs.wrappers.judging import refuse_to_judge


class PersonReward(gymnasium.Wrapper, RecordConstructorArgs):
    """A press of "success" pays 1 and ends the episode, one of "failure" pays 0 and ends it.

    Presses count at every step. At the time limit the arm can be held still for a while
    in which the person may still say so: those steps execute no motion, neither the
    policy's nor the person's, and carry `info["waiting_for_label"]`; without a word the episode is
    truncated. Nothing ever blocks. `info["is_success"]` (and `succeed`) is the person's
    word; the environment's own stays in `info["task_success"]`.

    The reward of what is inside is replaced. The environment must be made with
    `ends_on_success=False`: else it would end the episode before the person says so.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.teleop import FakeDevice, TeleopCommand
        >>> from hilserl_envs.wrappers import PersonReward
        >>> device = FakeDevice([TeleopCommand(), TeleopCommand(pressed=frozenset({"success"}))])
        >>> env = gym.make("hilserl/PickCube-v0", obs="state", ends_on_success=False)
        >>> env = PersonReward(env, device)
        >>> observation, info = env.reset(seed=0)
        >>> [env.step(env.action_space.sample())[1:3] for _ in range(2)]
        [(0.0, False), (1.0, True)]

    Args:
        env: any environment; for `grace` one whose zero action holds still.
        device: a name or a `Device`; None takes the presses that `Intervention`, further
            in, puts into `info["teleop"]`.
        grace: how long to wait at the time limit [s].

    Raises:
        ConfigError: no device, and no `Intervention` inside; or a wrong setting.
    """

    judged_by_person = True  # Intervention looks for it

    def __init__(self, env: gymnasium.Env, device: str | Device | None = None, grace: float = 0.0):
        RecordConstructorArgs.__init__(self, device=device, grace=grace)
        super().__init__(env)
        refuse_to_judge(env, self)
        grace = float(check_array(grace, (), "grace"))
        if grace < 0:
            raise ConfigError(f"PersonReward: grace is at least 0 s, got {grace}")
        if device is None and not env.has_wrapper_attr("intervenes"):
            raise ConfigError(
                "PersonReward: nobody is there to ask: put it outside of Intervention, or give it a device"
            )
        self._device = None if device is None else make_device(device, env)
        self._owns_device = self._device is not device
        self._grace = round(grace * env.metadata.get("render_fps", 10))
        self._intervenes = env.has_wrapper_attr("intervenes")
        self._waiting = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        if self._device is not None:
            self._device.begin(seed)
        self._hold(0)
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._judged(info, False)

    def step(self, action: np.ndarray) -> tuple:
        action = check_array(action, self.action_space.shape, "an action", ActionError)
        waiting = self._waiting > 0
        if waiting:
            action = np.zeros(self.action_space.shape, np.float32)
        observation, _, terminated, truncated, info = self.env.step(action)
        if waiting:
            # What was executed, for whoever records it; nobody steered.
            held = {"waiting_for_label": True, "intervene_action": action, "intervened": False}
            info = {**held, **info}
        pressed = self._command(info).pressed
        success = "success" in pressed and "failure" not in pressed
        judged = bool(pressed & {"success", "failure"})
        if truncated and not judged:
            self._hold(self._waiting + 1)
            truncated = self._waiting > self._grace
        return (
            observation,
            float(success),
            terminated or judged,
            truncated and not judged,
            self._judged(info, success),
        )

    def _hold(self, waiting: int) -> None:
        self._waiting = waiting
        if self._intervenes:
            self.env.set_wrapper_attr("held_still", waiting > 0)

    def _command(self, info: dict) -> TeleopCommand:
        return info["teleop"] if self._device is None else self._device.read()

    def _judged(self, info: dict, success: bool) -> dict:
        return {
            **info,
            "is_success": success,
            "succeed": success,
            "task_success": bool(info.get("is_success", False)),
        }

    def close(self) -> None:
        if self._owns_device and self._device is not None:
            self._device.close()
        self.env.close()
