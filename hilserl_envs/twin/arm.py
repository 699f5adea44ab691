"""Building an arm with its hand into a MuJoCo scene, from published figures."""

from __future__ import annotations

import mujoco
import numpy as np

from hilserl_envs.errors import check_name
from hilserl_envs.kinematics import ARM_MODELS
from hilserl_envs.poses import xyzw_to_wxyz
from hilserl_envs.twin import panda
from hilserl_envs.twin.hand import add_hand
from hilserl_envs.twin.shapes import ARM_BITS, SCENE_BIT, SEEN_ONLY, ArmBody, add_inertia, add_shapes

# By the names of `kinematics.ARM_MODELS`. The FR3 looks and weighs about what the Panda
# does; its own limits are in its geometry.
ARM_BODIES: dict[str, ArmBody] = {"panda": panda.BODY, "fr3": panda.BODY}


def add_arm(
    spec: mujoco.MjSpec, frame_in_world: np.ndarray, prefix: str, number: int, model: str = "panda"
) -> None:
    """Put an arm with its hand into a scene whose angles are in radians.

    Adds joints `{prefix}joint1..7` and `{prefix}finger_left/right`, motors of the joints'
    names, the actuator `{prefix}gripper` (control: where to aim with each finger [m]), the
    site `{prefix}tcp`, and bodies `{prefix}link0..7`, `{prefix}hand`. Gravity acts on none
    of its links: the real arm compensates it below its torque interface.

    Args:
        frame_in_world: pose (7,) of the arm's base frame, xyz + quat_xyzw.
        prefix: of every name, such as "left/".
        number: 0 or 1, which of the scene's arms this is.
        model: one of `kinematics.ARM_MODELS`.
    """
    check_name(model, ARM_BODIES, "arm model")
    arm, shape = ARM_MODELS[model], ARM_BODIES[model]
    collision = {"contype": ARM_BITS[number], "conaffinity": SCENE_BIT | ARM_BITS[1 - number]}
    body = spec.worldbody.add_body(
        name=f"{prefix}link0", pos=frame_in_world[:3], quat=xyzw_to_wxyz(frame_in_world[3:])
    )
    _add_link(body, shape, 0, collision)
    for i, ((a, d, alpha), limits, torque) in enumerate(
        zip(arm.dh, arm.joint_limits, arm.torque_limits, strict=True)
    ):
        body = body.add_body(
            name=f"{prefix}link{i + 1}",
            pos=[a, -d * np.sin(alpha), d * np.cos(alpha)],
            quat=[np.cos(alpha / 2), np.sin(alpha / 2), 0, 0],
            gravcomp=1,
        )
        _add_link(body, shape, i + 1, collision)
        name = f"{prefix}joint{i + 1}"
        body.add_joint(
            name=name, axis=[0, 0, 1], range=limits, limited=True, armature=shape.armature,
            damping=[shape.damping, 0, 0],
        )  # fmt: skip
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.ctrlrange = motor.forcerange = [-torque, torque]
        motor.ctrllimited = motor.forcelimited = True
    add_hand(spec, body, arm, prefix, collision)


def _add_link(body: mujoco.MjsBody, shape: ArmBody, link: int, collision: dict) -> None:
    add_inertia(body, shape.inertia[link])
    add_shapes(body, shape.solid_shapes[link], collision)
    add_shapes(body, shape.seen_shapes[link], SEEN_ONLY)
