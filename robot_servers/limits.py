"""What a robot server lets through: `GuardSettings`, and the checks of single values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

from hilserl_envs.errors import ActionError, ConfigError, check_fields, check_name, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.json_values import check_number
from hilserl_envs.kinematics import ARM_MODELS, forward_kinematics
from hilserl_envs.poses import displacement, quat_normalize
from hilserl_envs.tasks.task import Task

MAX_LOAD, MAX_LOAD_OFFSET = 3.0, 0.5  # what an arm carries by its data sheet [kg]; [m]
_JOINT_STRIDE = 0.05  # between the places of a joint motion that are looked at [rad]
_DIP = 0.001  # that is none [m]: the finger tips clear the table by more

PARAMETERS = {
    field.name: (field.metadata["low"], field.metadata["high"]) for field in dataclasses.fields(Compliance)
}

CLIPS = [name for name in PARAMETERS if name.startswith("translational_clip_")]


class Refusal(ActionError):
    """The request was understood, and is not done.

    Attributes:
        kind: a word for programs.
        status: of the answer.
    """

    def __init__(self, kind: str, message: str, status: int = 422):
        super().__init__(message)
        self.kind, self.status = kind, status


@checked_names
@dataclass(frozen=True)
class GuardSettings:
    """What the guard lets through; the same for every arm, in its base frame. Flags of `hilserl serve`.

    The default box is what a Panda reaches with its hand pointing down, but for some
    edges: from just above the table (with the TCP at 1 cm the finger tips clear it) to half
    a metre over it; nearer than 25 cm the arm would fold onto its own base. A task that needs more
    is not served without it, see `check_task`.

    Args:
        box_low: corner of the box that commanded positions must lie in, xyz [m].
        box_high: the opposite corner.
        max_jump: how far a commanded position may be from the measured one [m]; an honest
            client's strides are a few centimetres.
        max_turn: how far a commanded orientation may be turned from the measured one [rad].
        max_force: of a commanded wrench [N].
        max_torque: of a commanded wrench [Nm].
        deadman: the arm holds when no motion command came for so long [s of robot time].
        arm_model: whose joint limits count, one of `kinematics.ARM_MODELS`.

    Raises:
        ConfigError: a value of a wrong kind or range, or an empty box.
    """

    box_low: tuple[float, float, float] = (0.25, -0.4, 0.01)
    box_high: tuple[float, float, float] = (0.7, 0.4, 0.5)
    max_jump: float = ranged(0.1, 0.001, 1.0)
    max_turn: float = ranged(0.5, 0.001, math.pi)
    max_force: float = ranged(50.0, 0.0, 100.0)
    max_torque: float = ranged(10.0, 0.0, 30.0)
    max_push: float = ranged(200.0, 1.0, 600.0)
    max_load: float = ranged(MAX_LOAD, 0.0, MAX_LOAD)
    deadman: float = ranged(0.5, 0.05, 60.0)
    arm_model: tyro.conf.Suppress[str] = "panda"

    def __post_init__(self) -> None:
        check_fields(self)
        if not (np.array(self.box_low) < np.array(self.box_high)).all():
            raise ConfigError(
                f"the box's low corner {self.box_low} must be below its high corner {self.box_high} on every "
                "axis"
            )
        check_name(self.arm_model, ARM_MODELS, "arm_model")

    def check_task(self, task: Task) -> None:
        """Refuse a task whose arms would be held back, on the way or in force.

        Raises:
            ConfigError: says with which flags it can be served.
        """
        setups = task.arms.values()
        low = np.min([self.box_low, *(setup.limits.low for setup in setups)], axis=0)
        high = np.max([self.box_high, *(setup.limits.high for setup in setups)], axis=0)
        dynamic = [setup for setup in setups if setup.wrench_axes]
        wanted = {
            "box_low": tuple(low.tolist()),
            "box_high": tuple(high.tolist()),
            "max_force": max([self.max_force, *(setup.force_scale for setup in dynamic)]),
            "max_torque": max([self.max_torque, *(setup.torque_scale for setup in dynamic)]),
        }
        flags = [
            f"--{name.replace('_', '-')} {' '.join(f'{x:g}' for x in np.atleast_1d(value))}"
            for name, value in wanted.items()
            if value != getattr(self, name)
        ]
        if flags:
            raise ConfigError(
                f"{type(task).__name__} takes its arm further, or pushes harder, than is let through; if "
                f"that is safe where the robot stands, serve it with {' '.join(flags)}"
            )

    def check_position(self, arm: str, position: np.ndarray) -> None:
        """Refuse a position (3,) of the TCP outside the box."""
        if not ((position >= self.box_low) & (position <= self.box_high)).all():
            raise Refusal(
                "pose_outside_box",
                f"a position of arm {arm!r} must lie in the box {list(self.box_low)} to "
                f"{list(self.box_high)} m, got {[round(x, 4) for x in position.tolist()]}",
            )

    def checked_pose(self, arm: str, pose: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """A commanded pose (7,) with its quaternion of length 1 to the last bit.

        Args:
            arm: whose it is.
            pose: finite, its quaternion of length 1 but for rounding.
            measured: where the arm is (7,).

        Raises:
            Refusal: outside the box, or too far from where the arm is.
        """
        self.check_position(arm, pose[:3])
        pose = np.concatenate([pose[:3], quat_normalize(pose[3:])])
        jump, turn = distance(measured, pose)
        if jump > self.max_jump or turn > self.max_turn:
            raise Refusal(
                "jump_too_far",
                f"a pose may be {self.max_jump:g} m and {self.max_turn:g} rad from where arm {arm!r} is, "
                f"this one is {jump:.3f} m and {turn:.2f} rad away; go there in steps",
            )
        return pose

    def check_wrench(self, arm: str, wrench: np.ndarray, measured: np.ndarray) -> None:
        """Refuse a wrench (6,) that is too strong, or pushes an arm further out of the box.

        Args:
            arm: whose it is.
            wrench: force, then torque, that the arm is to exert, along the base's axes.
            measured: where the arm is (7,).
        """
        force, torque = np.linalg.norm(wrench[:3]), np.linalg.norm(wrench[3:])
        if force > self.max_force or torque > self.max_torque:
            raise Refusal(
                "wrench_too_strong",
                f"a wrench is at most {self.max_force:g} N and {self.max_torque:g} Nm, got {force:.4g} N and "
                f"{torque:.4g} Nm for arm {arm!r}",
            )
        below, above = measured[:3] < self.box_low, measured[:3] > self.box_high
        if ((below & (wrench[:3] < 0)) | (above & (wrench[:3] > 0))).any():
            raise Refusal(
                "wrench_outwards",
                f"arm {arm!r} is outside the box {list(self.box_low)} to {list(self.box_high)} m, at "
                f"{[round(x, 4) for x in measured[:3].tolist()]}: no force may push it further out, got "
                f"{wrench[:3].tolist()} N",
            )

    def check_joints(self, arm: str, q: np.ndarray) -> None:
        """Refuse joint positions (7,) beyond their limits, or that put the TCP outside the box."""
        low, high = np.transpose(ARM_MODELS[self.arm_model].joint_limits)
        if not ((q >= low) & (q <= high)).all():
            raise Refusal(
                "joints_outside_limits",
                f"joint positions of arm {arm!r} must lie between {low.tolist()} and {high.tolist()} rad, "
                f"got {q.tolist()}",
            )
        self.check_position(arm, forward_kinematics(self.arm_model, q)[:3])

    def check_joint_motion(self, arm: str, start: np.ndarray, end: np.ndarray) -> None:
        """Refuse a motion between joint positions (7,) on which the TCP would dip below the box.

        That is where the table is. Controllers move joints in proportion (ROS) or each at the same
        speed (twin, libfranka); both ways are looked at. An arm that is below already may rise.
        """
        path = end - start
        longest = float(np.abs(path).max())
        shares = np.linspace(0.0, 1.0, 2 + int(longest / _JOINT_STRIDE))
        ways = [share * path for share in shares]
        ways += [np.clip(path, -share * longest, share * longest) for share in shares]
        heights = [forward_kinematics(self.arm_model, start + way)[2] for way in ways]
        if min(heights) < min(self.box_low[2], heights[0]) - _DIP:
            raise Refusal(
                "joint_motion_too_low",
                f"on the way to these joint positions arm {arm!r} would come down to {min(heights):.3f} m, "
                f"below the box, which begins at {self.box_low[2]:g} m; bring it somewhere higher first",
            )

    def check_load(self, mass: float, center: np.ndarray) -> None:
        """Refuse a load that no arm carries here: one that is not there makes the arm rise or sink."""
        if not 0 <= mass <= self.max_load:
            raise Refusal(
                "load_out_of_range", f"a load has a mass of 0 to {self.max_load:g} kg, got {mass:g}"
            )
        if np.abs(center).max() > MAX_LOAD_OFFSET:
            raise Refusal(
                "load_out_of_range",
                f"a load's centre is within {MAX_LOAD_OFFSET:g} m of the flange, got {center.tolist()}",
            )

    def changed_compliance(
        self, compliance: Compliance, changes: Mapping[str, Any]
    ) -> tuple[Compliance, dict[str, float]]:
        """Parameters after some were changed, and by name what became of those out of range.

        They are clamped, as the public controller's dynamic_reconfigure does, and so are clips
        with which the arm would push too strongly.

        Raises:
            Refusal: an unknown parameter.
            ActionError: a value that is no number.
        """
        new, clamped = {}, {}
        for name, value in changes.items():
            if name not in PARAMETERS:
                raise Refusal(
                    "unknown_parameter",
                    f"there is no parameter {name[:60]!r}; known: {', '.join(PARAMETERS)}",
                    400,
                )
            wanted = check_number(value, -1e300, 1e300, name)
            low, high = PARAMETERS[name]
            new[name] = min(max(wanted, low), high)
            if new[name] != wanted:
                clamped[name] = new[name]
        changed = dataclasses.replace(compliance, **new)
        longest = self.max_push / max(changed.translational_stiffness, 1.0)
        too_long = {name: longest for name in CLIPS if getattr(changed, name) > longest}
        return dataclasses.replace(changed, **too_long), clamped | too_long


def distance(start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    """How far [m, rad] two poses (7,) are from each other."""
    away = displacement(start, end)
    return float(np.linalg.norm(away[:3])), float(np.linalg.norm(away[3:]))
