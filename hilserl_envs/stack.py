"""`make_env`: the standard stack of wrappers in one call, and the same for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.tasks import env_id
from hilserl_envs.teleop import Device
from hilserl_envs.wrappers import (
    ActionSubspace,
    CropImages,
    FixedGripper,
    FlattenProprioception,
    GripperPenalty,
    Intervention,
    RealTime,
    RelativeFrame,
    RotationRepresentation,
    ScriptedOverseer,
)

FRAMES = ("relative", "base")


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
    device: str | Device | None = None,
    intervention: Mapping[str, Any] | None = None,
    overseer: Mapping[str, Any] | None = None,
    gripper_penalty: float | None = None,
    **arguments: Any,
) -> gymnasium.Env:
    """A task in the standard stack of the paper.

    From inside out: `FixedGripper` (where `gripper` is given), `RelativeFrame`,
    `ActionSubspace` (`axes`), `Intervention` (`device`, with `RealTime` if a person holds
    it) or `ScriptedOverseer` (`overseer`), `RotationRepresentation`, `CropImages` (`crops`),
    `GripperPenalty` (`gripper_penalty`), `FlattenProprioception` (unless `flatten` is False).

    Example:
        >>> import hilserl_envs
        >>> env = hilserl_envs.make_env("RamInsertion", obs="pixels")
        >>> env.observation_space["state"].shape
        (18,)

    Args:
        task: an id, with or without namespace and version.
        frame: "relative" (of the end effector, from the reset pose) or "base".
        rotation: representation of rotations, see `RotationRepresentation`; None keeps
            quaternions.
        gripper: "closed", "stay" or "open" takes the gripper out of the action.
        crops: (top, left, height, width) by camera; results have the images' own size.
        keys: of the state, in order; None takes all.
        flatten: False leaves the state addressed by key, as recordings hold it.
        axes: that actions have, see `ActionSubspace`; None takes all.
        device: by which a person takes over, see `Intervention`.
        intervention: its other settings, such as {"mode": "toggle", "frame": "tcp"}.
        overseer: settings of the scripted overseer that takes over instead of a person,
            {} for its defaults; `device` is then its device, "expert" by default.
        gripper_penalty: for every change of a gripper, see `GripperPenalty`.
        arguments: of `gym.make` and `FrankaEnv`: robot, obs, render_mode, reset_mode...

    Raises:
        ConfigError: an unknown name or a wrong setting.
    """
    check_name(frame, FRAMES, "frame")
    env = gymnasium.make(env_id(task), **arguments)
    if gripper is not None:
        env = FixedGripper(env, gripper)
    if frame == "relative":
        env = RelativeFrame(env)
    if axes is not None:
        env = ActionSubspace(env, axes)
    env = _watched(env, device, intervention, overseer)
    if rotation is not None:
        env = RotationRepresentation(env, rotation)
    if crops:
        images = env.observation_space.spaces.get("images", {})
        sizes = [box.shape[:2] for box in images.values()]
        env = CropImages(env, crops, sizes[0] if sizes else None)
    if gripper_penalty is not None:
        env = GripperPenalty(env, gripper_penalty)
    if not flatten:
        if keys is not None:
            raise ConfigError("make_env: keys choose what is flattened; leave them out with flatten=False")
        return env
    return FlattenProprioception(env, keys)


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
        return ScriptedOverseer(env, "expert" if device is None else device, **overseer)
    if device is not None:
        env = Intervention(env, device, **(intervention or {}))
        return RealTime(env) if env.device.real_time else env
    if intervention is not None:
        raise ConfigError("make_env: intervention needs a device")
    return env


def make_vec_env(
    task: str,
    num_envs: int,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **arguments: Any,
) -> gymnasium.vector.VectorEnv:
    """`num_envs` twins in the standard stack, each on its own thread; see `make_env`."""
    from hilserl_envs.twin.vector import ThreadVectorEnv, check_number

    check_number(num_envs, arguments.get("robot", "twin"))
    return ThreadVectorEnv([lambda: make_env(task, **arguments)] * num_envs, autoreset_mode)
