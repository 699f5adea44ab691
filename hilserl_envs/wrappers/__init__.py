"""Wrappers for one arm or two, in either world. Each works on any environment of the same spaces."""

from hilserl_envs.wrappers.action import ActionTransform, ArmAction, outer_action
from hilserl_envs.wrappers.crop import CropImages
from hilserl_envs.wrappers.fixed_gripper import FixedGripper
from hilserl_envs.wrappers.proprioception import FlattenProprioception
from hilserl_envs.wrappers.relative_frame import RelativeFrame
from hilserl_envs.wrappers.rotation import RotationRepresentation

__all__ = [
    "ActionTransform",
    "ArmAction",
    "CropImages",
    "FixedGripper",
    "FlattenProprioception",
    "RelativeFrame",
    "RotationRepresentation",
    "outer_action",
]
