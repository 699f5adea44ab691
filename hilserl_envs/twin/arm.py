"""The Franka arm and its hand, built with MjSpec from published figures.

Kinematics from `kinematics.py`; masses, centres of mass and inertia as identified by
C. Gaz et al., "Dynamic identification of the Franka Emika Panda robot" (RA-L 2019);
shapes are primitives of our own, a few polygons each, that look like the arm from a
few metres and cost a software rasteriser little.
"""

from __future__ import annotations

import mujoco
import numpy as np

from hilserl_envs.errors import check_name
from hilserl_envs.twin.kinematics import (
    DH,
    FINGER_TRAVEL,
    FLANGE_OFFSET,
    HAND_YAW,
    JOINT_LIMITS,
    TCP_OFFSET,
    TORQUE_LIMITS,
)

_BOX, _CAPSULE, _CYLINDER, _SPHERE = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_SPHERE,
)
WHITE = (0.92, 0.93, 0.94, 1.0)
GREY = (0.55, 0.57, 0.60, 1.0)
DARK = (0.16, 0.17, 0.19, 1.0)
BLUE = (0.25, 0.55, 0.85, 1.0)

# Mass [kg], centre of mass [m] and inertia about it [kg m^2: xx yy zz xy xz yz] of links
# 0 to 7 in their DH frames, and of the hand in its own.
INERTIA = (
    (0.629769, (-0.041018, -0.00014, 0.049974), (0.00315, 0.00388, 0.004285, 8.29e-7, 1.5e-4, 8.23e-6)),
    (4.970684, (0.003875, 0.002081, -0.04762), (0.70337, 0.70661, 0.009117, -1.39e-4, 0.006772, 0.019169)),
    (0.646926, (-0.003141, -0.02872, 0.003495), (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 7.04e-4)),
    (3.228604, (0.027518, 0.039252, -0.066502), (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805)),
    (3.587895, (-0.05317, 0.104419, 0.027454), (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641)),
    (1.225946, (-0.011953, 0.041065, -0.038437), (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 2.29e-4)),
    (1.666555, (0.060149, -0.014117, -0.010517), (0.001964, 0.004354, 0.005433, 1.09e-4, -0.001158, 3.41e-4)),
    (0.735522, (0.010517, -0.004252, 0.061597), (0.012516, 0.010027, 0.004815, -4.28e-4, -0.001196, -7.41e-4)),
)  # fmt: skip
HAND_INERTIA = (0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017, 0.0, 0.0, 0.0))
FINGER_INERTIA = (0.015, (0.0, 0.0, 0.0), (2.375e-6, 2.375e-6, 7.5e-7, 0.0, 0.0, 0.0))

# Rotor inertia seen at a joint [kg m^2] and viscous friction left after the arm's own
# compensation [Nms/rad]; no published figure: MuJoCo Menagerie's Panda uses 0.1 and 1.
JOINT_ARMATURE, JOINT_DAMPING = 0.1, 0.5

FINGER_BASE = 0.0584  # of the fingers' frames above the hand's base [m]
# The hand's servo: it aims below zero width, or it would hardly squeeze a thin object.
# 140 N on the tendon that couples the fingers is 70 N a finger, the hand's continuous
# grasping force; the stiffness reaches it 14 mm past contact.
GRIPPER_FORCE = 140.0  # [N]
GRIPPER_STIFFNESS = 1e4  # [N/m]
GRIPPER_DAMPING = 1e2  # [Ns/m]
GRIPPER_AIM = -GRIPPER_FORCE / GRIPPER_STIFFNESS  # finger position of a closed command [m]

# Stiff contacts of the working surfaces (pads and props), found on the RAM insertion:
# 0.08 mm penetration there, where MuJoCo's defaults give 1.6 mm.
STIFF_CONTACT = {"solref": (0.002, 1.0), "solimp": (0.95, 0.99, 0.0005, 0.5, 2.0)}

# Collision groups as bits: props and scene meet everything, the parts of one arm never
# meet each other, two arms do meet.
SCENE_BIT = 1
ARM_BITS = (2, 4)

# Shapes of links 0 to 7 and the hand in their frames: type, start, end (or centre and
# half-sizes for a box), radius, colour. Radii follow Franka's self-collision capsules,
# less their margin.
_LINK_SHAPES = (
    ((_CYLINDER, (0, 0, 0), (0, 0, 0.14), 0.062, WHITE), (_CAPSULE, (-0.10, 0, 0.055), (0, 0, 0.055), 0.055, WHITE)),
    ((_CYLINDER, (0, 0, -0.19), (0, 0, -0.05), 0.058, WHITE), (_CAPSULE, (0, -0.055, 0), (0, 0.055, 0), 0.06, WHITE)),
    ((_CAPSULE, (0, -0.02, 0), (0, -0.13, 0), 0.058, WHITE), (_CYLINDER, (0, 0, -0.075), (0, 0, 0.075), 0.05, GREY)),
    ((_CYLINDER, (0, 0, -0.186), (0, 0, -0.07), 0.058, WHITE), (_CAPSULE, (0.0825, 0.05, 0), (0.0825, -0.05, 0), 0.058, WHITE),
     (_CAPSULE, (0, 0, -0.075), (0.07, 0, -0.005), 0.052, WHITE)),
    ((_CYLINDER, (0, 0, -0.068), (0, 0, 0.068), 0.048, GREY), (_CAPSULE, (-0.02, 0.015, 0), (-0.0825, 0.09, 0), 0.055, WHITE)),
    ((_CYLINDER, (0, 0, -0.29), (0, 0, -0.22), 0.055, WHITE), (_CAPSULE, (0, 0.055, -0.20), (0, 0.075, -0.06), 0.042, WHITE),
     (_CAPSULE, (0, 0.0, -0.235), (0, 0.055, -0.20), 0.05, WHITE), (_CAPSULE, (0, 0.075, -0.06), (0, 0.055, 0), 0.046, WHITE)),
    ((_CYLINDER, (0, 0, -0.05), (0, 0, 0.058), 0.046, GREY), (_CAPSULE, (0.03, 0.0, 0), (0.088, -0.01, 0), 0.05, WHITE)),
    ((_CYLINDER, (0, 0, -0.03), (0, 0, 0.09), 0.047, WHITE), (_CYLINDER, (0, 0, 0.09), (0, 0, 0.107), 0.035, BLUE)),
)  # fmt: skip


def add_arm(spec: mujoco.MjSpec, frame_in_world: np.ndarray, prefix: str, number: int, model: str = "panda") -> None:
    """Put an arm with its hand into a scene.

    Adds joints `{prefix}joint1..7` and `{prefix}finger_left/right`, motors of the same
    names, the actuator `{prefix}gripper` (control 0 closed to 1 open), the site
    `{prefix}tcp`, and bodies `{prefix}link0..7`, `{prefix}hand`. Gravity acts on none
    of its links: the real arm compensates it below its torque interface.

    Args:
        frame_in_world: pose (7,) of the arm's base frame, xyz + quat_xyzw.
        prefix: of every name, such as "left/".
        number: 0 or 1, which of the scene's arms this is.
        model: "panda" or "fr3", whose joint limits apply.
    """
    limits = JOINT_LIMITS[check_name(model, JOINT_LIMITS, "arm model")]
    collision = {"contype": ARM_BITS[number], "conaffinity": SCENE_BIT | ARM_BITS[1 - number]}
    body = spec.worldbody.add_body(
        name=f"{prefix}link0", pos=frame_in_world[:3], quat=np.roll(frame_in_world[3:], 1)
    )
    _add_inertia(body, INERTIA[0])
    _add_shapes(body, 0, collision)
    for i, (a, d, alpha) in enumerate(DH):
        body = body.add_body(
            name=f"{prefix}link{i + 1}",
            pos=[a, -d * np.sin(alpha), d * np.cos(alpha)],
            quat=[np.cos(alpha / 2), np.sin(alpha / 2), 0, 0],
            gravcomp=1,
        )
        _add_inertia(body, INERTIA[i + 1])
        _add_shapes(body, i + 1, collision)
        name = f"{prefix}joint{i + 1}"
        body.add_joint(
            name=name, axis=[0, 0, 1], range=limits[i], limited=True,
            armature=JOINT_ARMATURE, damping=[JOINT_DAMPING, 0, 0],
        )  # fmt: skip
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.ctrlrange = motor.forcerange = [-TORQUE_LIMITS[i], TORQUE_LIMITS[i]]
        motor.ctrllimited = motor.forcelimited = True
    _add_hand(spec, body, prefix, collision)


def _add_inertia(body: mujoco.MjsBody, figures: tuple) -> None:
    mass, center, inertia = figures
    body.mass, body.ipos, body.fullinertia, body.explicitinertial = mass, center, inertia, True


def _add_shapes(body: mujoco.MjsBody, link: int, collision: dict) -> None:
    for kind, start, end, radius, color in _LINK_SHAPES[link]:
        body.add_geom(
            type=kind, fromto=[*start, *end], size=[radius, 0, 0], rgba=color, mass=0, group=1, **collision
        )


def _add_hand(spec: mujoco.MjSpec, link7: mujoco.MjsBody, prefix: str, collision: dict) -> None:
    half = HAND_YAW / 2
    hand = link7.add_body(
        name=f"{prefix}hand", pos=[0, 0, FLANGE_OFFSET], quat=[np.cos(half), 0, 0, np.sin(half)], gravcomp=1
    )
    _add_inertia(hand, HAND_INERTIA)
    for pos, size, color in (((0, 0, 0.014), (0.031, 0.066, 0.014), WHITE), ((0, 0, 0.044), (0.027, 0.10, 0.020), WHITE),
                             ((0, 0, 0.0645), (0.012, 0.095, 0.0015), DARK)):  # fmt: skip
        hand.add_geom(type=_BOX, pos=pos, size=size, rgba=color, mass=0, group=1, **collision)
    hand.add_site(name=f"{prefix}tcp", pos=[0, 0, TCP_OFFSET], size=[0.002, 0, 0], group=4)
    for side, sign in (("left", 1), ("right", -1)):
        name = f"{prefix}finger_{side}"
        finger = hand.add_body(name=name, pos=[0, 0, FINGER_BASE], gravcomp=1)
        _add_inertia(finger, FINGER_INERTIA)
        finger.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, sign, 0], range=[0, FINGER_TRAVEL],
            limited=True, armature=0.1, damping=[5, 0, 0],
        )  # fmt: skip
        finger.add_geom(type=_BOX, pos=[0, sign * 0.014, 0.016], size=[0.010, 0.009, 0.018], rgba=DARK, mass=0, group=1, **collision)
        finger.add_geom(type=_BOX, pos=[0, sign * 0.0105, 0.038], size=[0.009, 0.0035, 0.010], rgba=DARK, mass=0, group=1, **collision)
        # The pad's inner face lies at y = 0 when closed; its middle is the TCP.
        finger.add_geom(
            name=f"{name}_pad", type=_BOX, pos=[0, sign * 0.0035, TCP_OFFSET - FINGER_BASE], size=[0.0085, 0.0035, 0.0095],
            rgba=DARK, mass=0, group=1, friction=[1.2, 0.01, 0.0002], condim=4, **STIFF_CONTACT, **collision,
        )  # fmt: skip
    left, right = f"{prefix}finger_left", f"{prefix}finger_right"
    equality = spec.add_equality(
        name=f"{prefix}fingers", type=mujoco.mjtEq.mjEQ_JOINT, name1=left, name2=right, objtype=mujoco.mjtObj.mjOBJ_JOINT
    )
    equality.data[:5] = [0, 1, 0, 0, 0]
    equality.solref, equality.solimp = [0.004, 1], [0.95, 0.99, 0.001, 0.5, 2]
    tendon = spec.add_tendon(name=f"{prefix}gripper")
    for name in (left, right):
        tendon.wrap_joint(name, 0.5)
    servo = spec.add_actuator(name=f"{prefix}gripper", target=f"{prefix}gripper", trntype=mujoco.mjtTrn.mjTRN_TENDON)
    servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    servo.gainprm[0] = GRIPPER_STIFFNESS * (FINGER_TRAVEL - GRIPPER_AIM)
    servo.biasprm[:3] = [GRIPPER_STIFFNESS * GRIPPER_AIM, -GRIPPER_STIFFNESS, -GRIPPER_DAMPING]
    servo.ctrllimited, servo.ctrlrange = True, [0, 1]
    servo.forcelimited, servo.forcerange = True, [-GRIPPER_FORCE, GRIPPER_FORCE]
