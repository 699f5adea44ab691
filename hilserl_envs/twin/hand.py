"""The Franka hand: two fingers on one drive, pads that grip."""

from __future__ import annotations

import mujoco
import numpy as np

from hilserl_envs.kinematics import ArmGeometry
from hilserl_envs.twin.shapes import (
    BOX,
    CYLINDER,
    DARK,
    LIGHT_GREY,
    SEEN_ONLY,
    STIFF_CONTACT,
    WHITE,
    add_inertia,
    add_shapes,
)

FINGER_TRAVEL = 0.04  # of each finger [m], published
HAND_INERTIA = (0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017, 0.0, 0.0, 0.0))
FINGER_INERTIA = (0.015, (0.0, 0.0, 0.0), (2.375e-6, 2.375e-6, 7.5e-7, 0.0, 0.0, 0.0))
FINGER_BASE = 0.0584  # of the fingers' frames above the hand's base [m]
PAD_HEIGHT = 0.045  # of the pads' middle above the fingers' frames [m]

# The servo aims below zero width, or it would hardly squeeze a thin object. 140 N on the
# tendon that couples the fingers is 70 N a finger, the hand's continuous grasping force;
# the stiffness reaches it 14 mm past contact.
GRIPPER_FORCE = 140.0  # [N]
GRIPPER_STIFFNESS = 1e4  # [N/m]
GRIPPER_DAMPING = 1e2  # [Ns/m]
GRIPPER_AIM = -GRIPPER_FORCE / GRIPPER_STIFFNESS  # finger position of a closed command [m]
# Of the fingers' end stops and coupling: with MuJoCo's defaults the full force presses
# empty fingers 6.5 mm into each other.
_FIRM_SOLREF, _FIRM_SOLIMP = (0.004, 1.0), (0.95, 0.99, 0.001, 0.5, 2.0)

_HAND_SOLID_SHAPES = (
    (BOX, (0, 0, 0.048), (0.0285, 0.073, 0.017), None, WHITE),
    (CYLINDER, (0, -0.073, 0.031), (0, -0.073, 0.065), 0.0285, WHITE),
    (CYLINDER, (0, 0.073, 0.031), (0, 0.073, 0.065), 0.0285, WHITE),
)
_HAND_SEEN_SHAPES = (
    (BOX, (0, 0, 0.0195), (0.0270, 0.040, 0.0125), None, WHITE),
    (CYLINDER, (0, -0.040, 0.007), (0, -0.040, 0.032), 0.0270, WHITE),
    (CYLINDER, (0, 0.040, 0.007), (0, 0.040, 0.032), 0.0270, WHITE),
    (BOX, (0, 0, 0.0660), (0.0100, 0.088, 0.0015), None, DARK),
)
# Of the left finger; the right one is its mirror image. The pad's inner face lies at y = 0
# when the hand is closed, and its middle is the TCP.
_FINGER_SHAPES = (
    (BOX, (0, 0.0130, 0.012), (0.0100, 0.0100, 0.012), None, LIGHT_GREY),
    (BOX, (0, 0.0110, 0.037), (0.0080, 0.0040, 0.0145), None, LIGHT_GREY),
)
_PAD_SHAPE = (BOX, (0, 0.0035, PAD_HEIGHT), (0.0085, 0.0035, 0.0095), None, DARK)


def add_hand(
    spec: mujoco.MjSpec, link7: mujoco.MjsBody, arm: ArmGeometry, prefix: str, collision: dict
) -> None:
    """Mount the hand on an arm's flange; names as in `add_arm`."""
    half = arm.hand_yaw / 2
    hand = link7.add_body(
        name=f"{prefix}hand",
        pos=[0, 0, arm.flange_offset],
        quat=[np.cos(half), 0, 0, np.sin(half)],
        gravcomp=1,
    )
    add_inertia(hand, HAND_INERTIA)
    add_shapes(hand, _HAND_SOLID_SHAPES, collision)
    add_shapes(hand, _HAND_SEEN_SHAPES, SEEN_ONLY)
    hand.add_site(name=f"{prefix}tcp", pos=[0, 0, arm.tcp_offset], size=[0.002, 0, 0], group=4)
    names = [f"{prefix}finger_left", f"{prefix}finger_right"]
    for name, sign in zip(names, (1, -1), strict=True):
        finger = hand.add_body(name=name, pos=[0, 0, FINGER_BASE], gravcomp=1)
        add_inertia(finger, FINGER_INERTIA)
        finger.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, sign, 0], range=[0, FINGER_TRAVEL],
            limited=True, armature=0.1, damping=[5, 0, 0], solref_limit=_FIRM_SOLREF,
            solimp_limit=_FIRM_SOLIMP,
        )  # fmt: skip
        add_shapes(finger, _FINGER_SHAPES, collision, sign)
        grip = {"name": f"{name}_pad", "friction": [1.2, 0.01, 0.0002], "condim": 4, **STIFF_CONTACT}
        add_shapes(finger, (_PAD_SHAPE,), {**grip, **collision}, sign)
    equality = spec.add_equality(
        name=f"{prefix}fingers", type=mujoco.mjtEq.mjEQ_JOINT, name1=names[0], name2=names[1],
        objtype=mujoco.mjtObj.mjOBJ_JOINT, solref=_FIRM_SOLREF, solimp=_FIRM_SOLIMP,
    )  # fmt: skip
    equality.data[:5] = [0, 1, 0, 0, 0]
    tendon = spec.add_tendon(name=f"{prefix}gripper")
    for name in names:
        tendon.wrap_joint(name, 0.5)
    servo = spec.add_actuator(
        name=f"{prefix}gripper", target=f"{prefix}gripper", trntype=mujoco.mjtTrn.mjTRN_TENDON
    )
    servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    servo.gainprm[0] = GRIPPER_STIFFNESS
    servo.biasprm[:3] = [0, -GRIPPER_STIFFNESS, -GRIPPER_DAMPING]
    servo.ctrllimited, servo.ctrlrange = True, [GRIPPER_AIM, FINGER_TRAVEL]
    servo.forcelimited, servo.forcerange = True, [-GRIPPER_FORCE, GRIPPER_FORCE]
