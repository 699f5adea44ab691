"""`make_env`: the standard stack of wrappers in one call, and the same for many at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.named import load_named
from hilserl_envs.tasks import env_id
from hilserl_envs.teleop import Device, device_class
from hilserl_envs.wrappers import (
    ActionSubspace,
    ClassifierReward,
    CropImages,
    FixedGripper,
    FlattenProprioception,
    GripperPenalty,
    Intervention,
    PersonReward,
    RealTime,
    RelativeFrame,
    RotationRepresentation,
    ScriptedOverseer,
)
from hilserl_envs.wrappers.overseer import OverseerSettings

FRAMES = ("relative", "base")
# Of `gym.make` and `FrankaEnv`, but for what the id stands for.
_ARGUMENTS = (
    *(name for name in inspect.signature(FrankaEnv).parameters if name != "task"),
    "max_episode_steps", "disable_env_checker",
)  # fmt: skip
PERSON = "person"  # who gives the reward
GRACE = 10.0  # at the time limit, for a person to say how it went [s]


def make_env(
    task: str,
    *,
    frame: str = "relative",
    rotation: str | None = "rotvec",
    gripper: str | None = None,
    crops: Mapping[str, tuple[int, int, int, int]] | None = None,
    keys: Sequence[str] | None = None,
    flatten: bool = True,
    axes: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    reward: str | Path | Mapping[str, Any] | Callable[[gymnasium.Env], gymnasium.Env] | None = None,
    device: str | Device | None = None,
    intervention: Mapping[str, Any] | None = None,
    overseer: Mapping[str, Any] | None = None,
    gripper_penalty: float | None = None,
    wrappers: Sequence[str | Sequence | Callable[[gymnasium.Env], gymnasium.Env]] = (),
    **arguments: Any,
) -> gymnasium.Env:
    """A task in the standard stack of the paper.

    From inside out: `FixedGripper` (where `gripper` is given), `RelativeFrame`,
    `ActionSubspace` (`axes`), `RotationRepresentation`, `CropImages` (`crops`), `reward`,
    `Intervention` (`device`, with `RealTime` if a person holds it) or `ScriptedOverseer`
    (`overseer`), `PersonReward` (`reward="person"`), `GripperPenalty` (`gripper_penalty`),
    `wrappers`, `FlattenProprioception` (unless `flatten` is False).

    Example:
        >>> import hilserl_envs
        >>> env = hilserl_envs.make_env("RamInsertion", obs="pixels")
        >>> env.observation_space["state"].shape
        (18,)

    Args:
        task: an id, with or without namespace and version; "module:id" imports what registers it first.
        frame: "relative" (of the end effector, from the reset pose) or "base".
        rotation: representation of rotations, see `RotationRepresentation`; None keeps
            quaternions.
        gripper: "closed", "stay" or "open" takes the gripper out of the action.
        crops: (top, left, height, width) by camera; results have the images' own size.
        keys: of the state, in order; None takes all.
        flatten: False leaves the state addressed by key, as recordings hold it.
        axes: that actions have, see `ActionSubspace`; None takes all.
        reward: who decides on success in the task's place: "person", who holds the `device` and
            has 10 s for it at the time limit; the file of a reward classifier, or settings of
            `ClassifierReward` with it, such as {"classifier": FILE, "consecutive": 2}; or what
            puts another wrapper on, with ends_on_success=False.
        device: by which a person takes over, see `Intervention`.
        intervention: its other settings, such as {"mode": "toggle", "frame": "tcp"}.
        overseer: settings of the scripted overseer that takes over instead of a person,
            {} for its defaults; `device` is then its device, "expert" by default.
        gripper_penalty: for every change of a gripper, see `GripperPenalty`.
        wrappers: your own, the first one innermost: classes, or names such as
            "mylab.wrappers:GentleTouch", which can be saved with a run, alone or with arguments:
            ("mylab.wrappers:GentleTouch", {"limit": 5}).
        arguments: of `gym.make` and `FrankaEnv`: robot, obs, render_mode, reset_mode...

    Raises:
        ConfigError: an unknown name or a wrong setting.
    """
    check_name(frame, FRAMES, "frame")
    if keys is not None and not flatten:
        raise ConfigError("make_env: keys choose what is flattened; leave them out with flatten=False")
    for name in arguments:
        check_name(name, _ARGUMENTS, "argument of make_env")
    for name, value in (("keys", keys), ("wrappers", wrappers)):
        if isinstance(value, str) or not isinstance(value or (), Sequence):
            raise ConfigError(f"make_env: {name} are a list, got {value!r}")
    if not isinstance(crops or {}, Mapping):
        raise ConfigError(f"make_env: crops are (top, left, height, width) by camera, got {crops!r}")
    by_person = isinstance(reward, str) and reward == PERSON
    if by_person:
        reward = None
    elif isinstance(reward, str | Path):
        reward = {"classifier": reward}
    if isinstance(reward, Mapping):
        _check_names(reward, ClassifierReward, "reward setting", leave_out=("env",))
        if "classifier" not in reward:
            raise ConfigError(f"make_env: reward settings name a classifier, got {dict(reward)}")
    elif reward is not None and not callable(reward):
        raise ConfigError(
            f"make_env: reward is {PERSON!r}, a classifier's file, settings with one, or puts a wrapper on; "
            f"got {reward!r}"
        )
    if by_person or isinstance(reward, Mapping):
        arguments = {"ends_on_success": False, **arguments}
    env = gymnasium.make(env_id(task), **arguments)
    try:
        if gripper is not None:
            env = FixedGripper(env, gripper)
        if frame == "relative":
            env = RelativeFrame(env)
        if axes is not None:
            env = ActionSubspace(env, axes)
        if rotation is not None:
            env = RotationRepresentation(env, rotation)
        if crops:
            images = env.observation_space.spaces.get("images", {})
            sizes = [box.shape[:2] for box in images.values()]
            env = CropImages(env, crops, sizes[0] if sizes else None)
        if reward is not None:
            env = ClassifierReward(env, **reward) if isinstance(reward, Mapping) else reward(env)
        env = _watched(env, device, intervention, overseer)
        if by_person:
            env = PersonReward(env, grace=GRACE)
        if gripper_penalty is not None:
            env = GripperPenalty(env, gripper_penalty)
        for wrapper in wrappers:
            env = _wrapped(env, wrapper)
        return FlattenProprioception(env, keys) if flatten else env
    except BaseException:
        env.close()  # a device that was opened is free again
        raise


def _wrapped(env: gymnasium.Env, wrapper: str | Sequence | Callable) -> gymnasium.Env:
    """With one of the user's wrappers."""
    name, arguments = (wrapper, {}) if callable(wrapper) or isinstance(wrapper, str) else wrapper
    made = load_named(name, "wrapper") if isinstance(name, str) else name
    try:
        inspect.signature(made).bind(env, **arguments)
    except TypeError as error:
        raise ConfigError(
            f"the wrapper {name!r} takes other arguments than {arguments}: {error}. Arguments go beside its "
            'name: ("mylab.wrappers:GentleTouch", {"limit": 5})'
        ) from None
    return made(env, **arguments)


def _watched(
    env: gymnasium.Env,
    device: str | Device | None,
    intervention: Mapping[str, Any] | None,
    overseer: Mapping[str, Any] | None,
) -> gymnasium.Env:
    """With somebody who can take over, if anybody was asked for."""
    if overseer is not None:
        if intervention is not None:
            raise ConfigError("make_env: intervention is a person's, overseer a script's; give one of them")
        _check_names(overseer, OverseerSettings, "overseer setting")
        return ScriptedOverseer(env, "expert" if device is None else device, **overseer)
    if device is not None:
        _check_names(intervention or {}, Intervention, "intervention setting", leave_out=("env", "device"))
        env = Intervention(env, device, **(intervention or {}))
        return RealTime(env) if env.device.real_time else env
    if intervention is not None:
        raise ConfigError("make_env: intervention needs a device")
    return env


def _check_names(settings: Mapping[str, Any], owner: type, what: str, leave_out: Sequence[str] = ()) -> None:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"make_env: {what}s are a mapping of names to values, got {settings!r}")
    known = [name for name in inspect.signature(owner).parameters if name not in leave_out]
    for name in settings:
        check_name(name, known, what)


def make_vec_env(
    task: str,
    num_envs: int,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **arguments: Any,
) -> gymnasium.vector.VectorEnv:
    """`num_envs` twins in the standard stack, each on its own thread; see `make_env`.

    Raises:
        ConfigError: as `make_env`; or a device that one person holds for several twins.
    """
    from hilserl_envs.twin.vector import ThreadVectorEnv, check_number

    device = arguments.get("device")
    if num_envs > 1 and device is not None:
        if isinstance(device, Device) or device_class(device.partition(":")[0]).real_time:
            raise ConfigError(f"one person cannot drive {num_envs} twins at once; take device='expert'")
    check_number(num_envs, arguments.get("robot", "twin"))
    return ThreadVectorEnv([lambda: make_env(task, **arguments)] * num_envs, autoreset_mode)
