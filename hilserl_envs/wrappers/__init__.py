"""Wrappers for one arm or two, in either world. Each works on any environment of the same spaces."""

from hilserl_envs.wrappers.action import ActionTransform, ArmAction, outer_action
from hilserl_envs.wrappers.action_subspace import ActionSubspace
from hilserl_envs.wrappers.classifier_reward import ClassifierReward
from hilserl_envs.wrappers.crop import CropImages
from hilserl_envs.wrappers.fixed_gripper import FixedGripper
from hilserl_envs.wrappers.frame_labels import FrameLabels
from hilserl_envs.wrappers.gripper_penalty import GripperPenalty
from hilserl_envs.wrappers.intervention import Intervention
from hilserl_envs.wrappers.live_view import LiveView
from hilserl_envs.wrappers.overseer import ScriptedOverseer
from hilserl_envs.wrappers.person_reward import PersonReward
from hilserl_envs.wrappers.proprioception import FlattenProprioception
from hilserl_envs.wrappers.real_time import RealTime
from hilserl_envs.wrappers.relative_frame import RelativeFrame
from hilserl_envs.wrappers.rotation import RotationRepresentation

__all__ = [
    "ActionSubspace",
    "ActionTransform",
    "ArmAction",
    "ClassifierReward",
    "CropImages",
    "FixedGripper",
    "FlattenProprioception",
    "FrameLabels",
    "GripperPenalty",
    "Intervention",
    "LiveView",
    "PersonReward",
    "RealTime",
    "RelativeFrame",
    "RotationRepresentation",
    "ScriptedOverseer",
    "outer_action",
]
