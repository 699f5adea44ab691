"""`Physics`: a MuJoCo model and data with the control law of its arms, advanced together."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from hilserl_envs import impedance
from hilserl_envs.errors import ConfigError, DivergedError, RobotError
from hilserl_envs.impedance import LAW_HZ
from hilserl_envs.twin import loop
from hilserl_envs.twin.loop import Arm

# Low-pass of the external torque [s]. libfranka filters its tau_ext_hat_filtered with
# an unpublished constant; this one passes what a person's hand or a contact does.
EXTERNAL_TORQUE_FILTER = 0.02


class Physics:
    """The compiled loop over one MuJoCo model and data.

    Args:
        model, data: of a scene with arms (see `twin.arm`).
        prefixes: name prefix of each arm, in the order of `arms`.

    Raises:
        ConfigError: the timestep does not fit the law's 1 ms.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, prefixes: Sequence[str]):
        self.model, self.data = model, data
        timestep = model.opt.timestep
        self._law_ticks, self._physics_steps = _schedule(timestep)
        self._weight = timestep / (timestep + EXTERNAL_TORQUE_FILTER)
        self.arms = tuple(_view_arm(model, data, prefix) for prefix in prefixes)
        self._pointers = (*_step_functions(), model._address, data._address)

    def __reduce__(self) -> tuple:
        raise RobotError(
            "a twin is tied to its process's memory and cannot be copied or pickled; make another: "
            "gym.make(env.spec)"
        )

    def refresh(self) -> None:
        """Recompute what follows from the state after it was edited."""
        mujoco.mj_forward(self.model, self.data)

    def hold(self, number: int) -> None:
        """Restart the law of one arm at its measured pose, gains at their set values."""
        arm = self.arms[number]
        self.sense(number)
        impedance.start(arm.memory, arm.q, arm.position, arm.quat_xyzw)
        impedance.settle_gains(arm.parameters, arm.memory)
        for array in (arm.torque, arm.external_torque, arm.wrench_ticks, arm.joint_control):
            array[:] = 0

    def drive_joints(self, number: int, goal: np.ndarray) -> None:
        """Control joint positions from now on, towards `goal` (7,) [rad], until `hold`."""
        arm = self.arms[number]
        arm.joint_setpoint[:], arm.joint_goal[:], arm.joint_control[:] = arm.q, goal, 1

    def sense(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """TCP pose (7,), velocity (6,) in the base frame; external wrench (6,) in TCP axes."""
        arm, velocity, wrench = self.arms[number], np.empty(6), np.empty(6)
        loop.sense(arm, velocity, wrench)
        return np.concatenate((arm.position, arm.quat_xyzw)), velocity, wrench

    def advance(self, seconds: float) -> None:
        """Simulate; the GIL is released meanwhile.

        Raises:
            ConfigError: not a whole number of law ticks or physics steps.
            DivergedError: the simulation diverged.
        """
        length = self._law_ticks / LAW_HZ
        rounds = round(seconds / length) if math.isfinite(seconds) else -1
        if rounds < 0 or abs(rounds * length - seconds) > 1e-9:
            raise ConfigError(f"the twin advances by multiples of {length} s, got {seconds} s")
        loop.run(*self._pointers, rounds, self._law_ticks, self._physics_steps, self._weight, self.arms)
        if (
            not np.isfinite(self.data.qpos).all()
            or self.data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number
        ):
            raise DivergedError(
                f"the simulation diverged at {self.data.time:.3f} s; reset the environment, and halve the "
                "timestep if it happens again"
            )


def _schedule(timestep: float) -> tuple[int, int]:
    """Law ticks and physics steps of one round of the loop.

    Raises:
        ConfigError: they do not fit each other, or the control step of 0.1 s.
    """
    tick = 1 / LAW_HZ
    if math.isfinite(timestep) and timestep > 0:
        ticks, steps = max(1, round(timestep / tick)), max(1, round(tick / timestep))
        exact = abs(ticks * tick - steps * timestep) < 1e-9 * tick
        if exact and ticks in (1, 2, 5) and steps <= 100:  # all of them divide the control step
            return ticks, steps
    raise ConfigError(
        f"a timestep of {timestep} s does not fit the law's {tick} s and the control step of 0.1 s: "
        "use 0.001 s divided by a whole number, or 0.002 or 0.005"
    )


def _view_arm(model: mujoco.MjModel, data: mujoco.MjData, prefix: str) -> Arm:
    joint, base = model.joint(f"{prefix}joint1"), model.body(f"{prefix}link0")
    site, motor = model.site(f"{prefix}tcp").id, model.actuator(f"{prefix}joint1").id
    gripper = model.actuator(f"{prefix}gripper").id
    # An arm's seven joints, and its two fingers after them, are consecutive everywhere.
    first, q, dof = joint.id, joint.qposadr[0], joint.dofadr[0]
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, base.quat)
    forces = ("qfrc_bias", "qfrc_gravcomp", "qfrc_passive", "qfrc_actuator", "qfrc_smooth", "qfrc_constraint")
    return Arm(
        impedance.new_parameters(),
        impedance.new_memory(),
        data.qpos[q : q + 7],
        data.qpos[q + 7 : q + 9],
        data.qvel[dof : dof + 7],
        data.qvel[dof + 7 : dof + 9],
        data.ctrl[motor : motor + 7],
        data.ctrl[gripper : gripper + 1],
        data.xanchor[first : first + 7],
        data.xaxis[first : first + 7],
        data.site_xpos[site],
        data.site_xmat[site],
        *(getattr(data, name)[dof : dof + 7] for name in forces),
        base.pos.copy(),
        rotation.reshape(3, 3),
        position=np.zeros(3),
        quat_xyzw=np.zeros(4),
        jacobian=np.zeros((6, 7)),
        coriolis=np.zeros(7),
        torque=np.zeros(7),
        external_torque=np.zeros(7),
        gripper_target=np.zeros(1),
        wrench_ticks=np.zeros(1, np.int64),
        payload=np.zeros(4),
        joint_control=np.zeros(1, np.int64),
        joint_goal=np.zeros(7),
        joint_setpoint=np.zeros(7),
    )


@functools.cache
def _step_functions() -> tuple[int, int]:
    """Addresses of mj_step1 and mj_step2 in the MuJoCo library this process uses."""
    folder = Path(mujoco.__file__).parent
    names = sorted(
        p for pattern in ("libmujoco*.so*", "libmujoco*.dylib", "mujoco.dll") for p in folder.glob(pattern)
    )
    if not names:
        raise RobotError(f"no MuJoCo library in {folder}; reinstall it: pip install --force-reinstall mujoco")
    library = ctypes.CDLL(str(names[0]))
    return tuple(ctypes.cast(f, ctypes.c_void_p).value for f in (library.mj_step1, library.mj_step2))
