"""`ScriptedOverseer`: interventions without a person."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_fields, checked_names, ranged
from hilserl_envs.poses import displacement
from hilserl_envs.teleop import Device, TeleopCommand
from hilserl_envs.wrappers.intervention import Intervention


@checked_names
@dataclass(frozen=True)
class OverseerSettings:
    """When the overseer takes over, and for how long.

    Progress is measured along the way that its device would go: the motion of the TCP
    projected on the device's, as a share of it, over some steps. 1 is as fast as the
    device, 0 no way gained, below 0 the wrong way.

    Args:
        stall_steps, stall_progress: a policy that made less progress than this over so
            many steps stalls.
        stray_steps, stray_progress: the same for one that strays.
        last_steps: with no more than this many left before the time limit it takes over.
        shortest, longest: how long it keeps control [steps], drawn anew each time.
        memory: episodes that it remembers. It watches an episode with a probability of 1
            less the share of remembered ones that succeeded without it...
        least_attention: ... but at least this one.

    Raises:
        ConfigError: a value out of range.
    """

    stall_steps: int = ranged(15, 1, 10_000)
    stall_progress: float = ranged(0.1, -1.0, 1.0)
    stray_steps: int = ranged(6, 1, 10_000)
    stray_progress: float = ranged(-0.3, -1.0, 1.0)
    last_steps: int = ranged(20, 0, 10_000)
    shortest: int = ranged(10, 1, 10_000)
    longest: int = ranged(25, 1, 10_000)
    memory: int = ranged(20, 1, 10_000)
    least_attention: float = ranged(0.1, 0.0, 1.0)

    def __post_init__(self) -> None:
        check_fields(self)
        for field in dataclasses.fields(self):
            if isinstance(field.default, int) and not isinstance(getattr(self, field.name), int):
                raise ConfigError(
                    f"OverseerSettings.{field.name} is a whole number, got {getattr(self, field.name)!r}"
                )
        if self.shortest > self.longest:
            raise ConfigError(f"OverseerSettings: shortest {self.shortest} is above longest {self.longest}")


class ScriptedOverseer(Intervention, RecordConstructorArgs):
    """Takes over when a policy stalls, strays or runs out of steps, then hands back.

    It stands in for the person in runs without one: the more the policy succeeds by
    itself, the fewer episodes it watches. `info` is that of `Intervention`, with
    `takeover_reason` ("stall", "stray" or "limit") while it is in control.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import RelativeFrame, ScriptedOverseer
        >>> env = RelativeFrame(gym.make("hilserl/PickCube-v0", obs="state"))
        >>> env = ScriptedOverseer(env, "expert:skill=0.9", stall_steps=5)
        >>> observation, info = env.reset(seed=0)
        >>> for _ in range(6):
        ...     observation, reward, terminated, truncated, info = env.step([0.0] * 7)
        >>> info["takeover_reason"]
        'stall'

    It judges by the success that it sees: a reward by a classifier goes inside of it (see
    the `reward` of `make_env`).

    Args:
        env: a `FrankaEnv` in any stack whose action wrappers can be undone.
        device: what acts in the person's place, and whose way progress is measured by.
        settings: fields of `OverseerSettings`.

    Raises:
        ConfigError: a wrong setting, no time limit to look at, or a dynamic task.
    """

    def __init__(self, env: gymnasium.Env, device: str | Device = "expert", **settings: float):
        # The first one counts, so that the settings are in the spec.
        RecordConstructorArgs.__init__(self, device=device, **settings)
        super().__init__(env, device)
        if any(arm.is_wrench for arm in self._base_layout):
            raise ConfigError(
                "ScriptedOverseer judges motions; a task that is driven by a wrench is learned from "
                "demonstrations and the policy's own experience, without corrections"
            )
        if self.device.real_time:
            raise ConfigError(
                "ScriptedOverseer acts in a person's place; give a device that a person holds to Intervention"
            )
        self._settings = OverseerSettings(**settings)
        spec = env.spec
        self._horizon = spec.max_episode_steps if spec is not None else None
        if self._horizon is None and self._settings.last_steps:
            raise ConfigError(
                "ScriptedOverseer: this environment has no time limit; give gym.make a max_episode_steps, or "
                "set last_steps=0"
            )
        self._alone: deque[bool] = deque(maxlen=self._settings.memory)
        self._begin_episode()

    @property
    def attention(self) -> float:
        """Probability with which it watches the next episode."""
        # Episodes not yet seen count as failures.
        rate = sum(self._alone) / self._settings.memory
        return max(self._settings.least_attention, 1.0 - rate)

    def remember(self, alone: Iterable[bool]) -> None:
        """Go on from earlier episodes: whether each succeeded without it, in order."""
        self._alone.extend(alone)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        observation, info = super().reset(seed=seed, options=options)
        self._begin_episode()
        self._watching = bool(self._seeds.random() < self.attention)
        return observation, info

    def _begin_episode(self) -> None:
        longest = max(self._settings.stall_steps, self._settings.stray_steps)
        self._progress: deque[tuple[float, float]] = deque(maxlen=longest)
        self._watching, self._left, self._reason = False, 0, ""
        self._steps, self._helped, self._over = 0, False, False

    def step(self, action: np.ndarray) -> tuple:
        before = self._tcp_poses()
        observation, reward, terminated, truncated, info = super().step(action)
        self._steps += 1
        if info["intervened"]:
            self._left -= 1
            self._helped = True
            info["takeover_reason"] = self._reason
        else:
            self._progress.append(self._gained(before, info["teleop"]))
        if (terminated or truncated) and not self._over:
            self._over = True
            self._alone.append(bool(info.get("is_success")) and not self._helped)
        return observation, reward, terminated, truncated, info

    def _decide(self, command: TeleopCommand) -> tuple[TeleopCommand, bool]:
        if self._left == 0:
            self._reason = self._reason_to_act() if self._watching else ""
            if not self._reason:
                return command, False
            self._left = int(self._seeds.integers(self._settings.shortest, self._settings.longest + 1))
            self._progress.clear()
            # Its plan was for a robot that followed it; this one did not.
            self.device.begin(self._draw_seed())
            command = self.device.read()
        return command, True

    def _reason_to_act(self) -> str:
        settings = self._settings
        if settings.last_steps and self._horizon - self._steps <= settings.last_steps:
            return "limit"
        if self._share(settings.stray_steps) < settings.stray_progress:
            return "stray"
        return "stall" if self._share(settings.stall_steps) < settings.stall_progress else ""

    def _share(self, steps: int) -> float:
        """Progress over the last `steps`; 1 before there are as many, or if the device waits."""
        if len(self._progress) < steps:
            return 1.0
        gained, asked = np.sum(list(self._progress)[-steps:], axis=0)
        return gained / asked if asked > 0 else 1.0

    def _gained(self, before: dict[str, np.ndarray], command: TeleopCommand) -> tuple[float, float]:
        """Motion along the device's, and the device's own, in squared units of the action."""
        gained = asked = 0.0
        for name, after in self._tcp_poses().items():
            if name in command.arms:
                wanted, setup = command.arms[name].motion, self.env.unwrapped.task.arms[name]
                moved = displacement(before[name], after)
                moved[:3] /= setup.translation_scale
                moved[3:] /= setup.rotation_scale
                gained += float(moved @ wanted)
                asked += float(wanted @ wanted)
        return gained, asked

    def _tcp_poses(self) -> dict[str, np.ndarray]:
        arms = self.env.unwrapped.robot_state.arms
        return {name: arm.tcp_pose for name, arm in arms.items()}
