"""`make_env`: the standard stack of wrappers in one call, and the same for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from hilserl_envs.errors import check_name
from hilserl_envs.tasks import env_id
from hilserl_envs.wrappers import (
    CropImages,
    FixedGripper,
    FlattenProprioception,
    RelativeFrame,
    RotationRepresentation,
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
    **arguments: Any,
) -> gymnasium.Env:
    """A task in the standard stack of the paper.

    From inside out: `FixedGripper` (where `gripper` is given), `RelativeFrame`,
    `RotationRepresentation`, `CropImages` (where `crops` are), `FlattenProprioception`.

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
    if rotation is not None:
        env = RotationRepresentation(env, rotation)
    if crops:
        images = env.observation_space.spaces.get("images", {})
        sizes = [box.shape[:2] for box in images.values()]
        env = CropImages(env, crops, sizes[0] if sizes else None)
    return FlattenProprioception(env, keys)


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
