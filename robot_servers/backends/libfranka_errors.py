"""What libfranka says, in words that say what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hilserl_envs.kinematics import FR3

# Parts of libfranka's messages, and what to do then; the first that fits counts.
_ADVICE = (
    (
        "Connection to FCI refused",
        "in Desk (https://{host}) unlock the joints and activate FCI, and close other programs that drive "
        "the arm",
    ),
    ("Host not found", "check the robot's address"),
    ("Connection error", "check the robot's address, its power and the cable"),
    (
        "Incompatible library version",
        "the robot's system and the installed pylibfranka do not go together: update the robot, or install "
        "the pylibfranka that its version needs; a Panda (FER) is too old for this backend, take `ros`",
    ),
    (
        "User stopped",
        "release the emergency stop, unlock the joints and activate FCI in Desk, then start again",
    ),
    ("Reflex", "see that the arm is free, then recover"),
    ("Guiding", "let go of the guiding buttons, then start again"),
    ("command rejected", "unlock the joints and activate FCI in Desk (https://{host}), then start again"),
    ("communication_constraints_violation", "the computer or the network was too slow, see `docs`; recover"),
    ("UDP receive: Timeout", "no state comes from the robot: check its power and the cable, then recover"),
    ("TCP", "the robot closed the connection: check its power and Desk, then recover"),
    ("aborted by reflex", "see that the arm is free, then recover"),
    ("control law", "the law met a number that is none; recover, and report it if it happens again"),
)

# What the robot's modes mean for who wants to start a controller, by pylibfranka's name.
MODES = {
    "Other": "the joints are locked, or the robot is not ready: unlock them and activate FCI in Desk",
    "Guiding": "it is guided by hand: let go of the guiding buttons",
    "Reflex": "a reflex stopped it: see that the arm is free, then recover",
    "UserStopped": "it is stopped by its emergency stop or enabling device: release it, then start again",
    "AutomaticErrorRecovery": "it is recovering: wait, then start again",
}

AXES = ("x", "y", "z", "rx", "ry", "rz")
NEAR_LIMIT = 0.05  # [rad]


def explain(error: object, host: str, state: Any = None) -> str:
    """One line: what libfranka said, which joint or axis, and what to do.

    Args:
        error: an exception, or its text.
        host: the robot's address.
        state: `pylibfranka.RobotState` at the time, if there is one.
    """
    text = re.sub(r"\s+", " ", str(error)).strip().removeprefix("libfranka: ").rstrip(" .")
    found = which(text, state) if state is not None else ""
    advice = next((advice for sign, advice in _ADVICE if sign in text), "recover; see the log in Desk")
    return f"robot {host}: {text}{f' ({found})' if found else ''}; {advice.format(host=host)}"


def which(text: str, state: Any) -> str:
    """The joints or axes behind the names of errors in `text`, "" where the state does not tell.

    Args:
        text: with names such as "joint_reflex" or "cartesian_reflex".
        state: with `joint_collision`, `cartesian_collision`, `tau_ext_hat_filtered`, `q`, `dq`.
    """
    found = []
    if "joint_reflex" in text:
        torque = np.array(state.tau_ext_hat_filtered)
        hit = _touched(state.joint_collision, torque)
        found.append(_list("joint", (f"{k + 1}: {torque[k]:.0f} Nm" for k in hit)))
    if "cartesian_reflex" in text:
        wrench = np.array(state.O_F_ext_hat_K)
        hit = _touched(state.cartesian_collision, wrench)
        units = ("N",) * 3 + ("Nm",) * 3
        found.append(_list("axis", (f"{AXES[k]}: {wrench[k]:.0f} {units[k]}" for k in hit)))
    if "joint_position_limits_violation" in text:
        q, (low, high) = np.array(state.q), np.array(FR3.joint_limits).T
        near = np.flatnonzero((q < low + NEAR_LIMIT) | (q > high - NEAR_LIMIT))
        found.append(
            _list("joint", (f"{k + 1}: {q[k]:.2f} of {low[k]:.2f} to {high[k]:.2f} rad" for k in near))
        )
    if "joint_velocity_violation" in text:
        fastest = int(np.argmax(np.abs(state.dq)))
        found.append(f"joint {fastest + 1}: {state.dq[fastest]:.2f} rad/s")
    if "communication_constraints_violation" in text:
        found.append(f"{100 * state.control_command_success_rate:.0f} % of the commands came in time")
    return ", ".join(part for part in found if part)


def _touched(flags: Any, sizes: np.ndarray) -> np.ndarray:
    """Indices that are flagged; the robot clears the flags at once, so else the one pushed hardest."""
    flagged = np.flatnonzero(flags)
    return flagged if flagged.size else np.array([np.argmax(np.abs(sizes))])


def _list(what: str, items: Any) -> str:
    items = list(items)
    return f"{what} {', '.join(items)}" if items else ""
