"""Tools screwed to a hand."""

from __future__ import annotations

import mujoco
import numpy as np

from hilserl_envs.poses import xyzw_to_wxyz

_RIGID = {"solref": [0.002, 1.0], "solimp": [0.9999, 0.9999, 0.001, 0.5, 2.0]}


def weld_to_hand(
    spec: mujoco.MjSpec, tool: mujoco.MjsBody, pose_in_hand: np.ndarray, prefix: str = ""
) -> None:
    """Fix a free body to an arm's hand.

    The arm knows nothing of it, as a real one does not: tell it by `ArmSetup.load`. A body
    added to the hand itself would be known to the last gram, and its motion too. Put the
    tool in place in `arrange`: a teleport leaves it behind.

    Args:
        spec: of the world.
        tool: the free body.
        pose_in_hand: where (7,), in the hand's frame: the flange's, turned by -45 degrees.
        prefix: of the arm's names.
    """
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_WELD, name1=f"{prefix}hand", name2=tool.name,
        objtype=mujoco.mjtObj.mjOBJ_BODY, **_RIGID,
        data=[0, 0, 0, *pose_in_hand[:3], *xyzw_to_wxyz(pose_in_hand[3:]), 1.0, 0.0],
    )  # fmt: skip
    for part in ("hand", "finger_left", "finger_right"):
        spec.add_exclude(bodyname1=f"{prefix}{part}", bodyname2=tool.name)
