"""A connection to an FR3, and aiofranka's 1 kHz loop on it, running the law of this package."""

from __future__ import annotations

import importlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hilserl_envs.errors import ConfigError, RobotError, check_fields, ranged
from robot_servers.backends import libfranka_law as law
from robot_servers.backends.libfranka_dynamics import link_table
from robot_servers.backends.libfranka_errors import MODES, explain

FCI_PORT = 1337
REACH_TIMEOUT = 2.0  # for the control box to take a connection [s]
BUSY = 0.1  # what a reader waits at most for whoever starts the controller [s]
STALE = 0.5  # a state that does not change for this long is no state; libfranka gives up after 1 s [s]
PATIENCE = 0.25  # before an old state is an error [s]
# libfranka's own limit of the torque's rate; the law's is 1000 Nm/s, and this rounds it.
TORQUE_RATE = 1000 - 1e-3  # [Nm/s]


@dataclass(frozen=True)
class Collision:
    """Where the robot stops itself: external torque of each joint [Nm]; force [N] and torque [Nm] at the TCP.

    The defaults let the default compliance push with all it has, 20 N, and three times that.

    Raises:
        ConfigError: a value out of range.
    """

    joint_torque: tuple[float, ...] = ranged((40.0, 40.0, 36.0, 36.0, 32.0, 28.0, 24.0), 1.0, 100.0)
    wrench: tuple[float, ...] = ranged((60.0, 60.0, 60.0, 30.0, 30.0, 30.0), 1.0, 100.0)

    def __post_init__(self) -> None:
        check_fields(self)


class LibfrankaLoop:
    """Connected, with no motion until `start`. aiofranka is told apart from all else in this file.

    Args:
        host: address of the control box.
        lifecycle: held by whoever starts or stops; readers wait for it, not long.
        collision: when the robot stops itself.
        max_model_error: how far [m] the TCP that the robot reports may be from where the model
            has it at the same joint positions.

    Attributes:
        tool: pose (4, 4) of the TCP in the flange's frame, as set in Desk.

    Raises:
        ConfigError: aiofranka or pylibfranka is missing.
        RobotError: the robot cannot be reached, or is no FR3.
    """

    def __init__(self, host: str, lifecycle: threading.RLock, collision: Collision, max_model_error: float):
        aiofranka = _import_aiofranka()
        self._host, self._lifecycle = host, lifecycle
        _reach(host)
        try:
            # It looks for a tool in Desk's web interface otherwise, which needs a password.
            self._robot = _in_a_thread(aiofranka.Robot, host, read_tool=False)
            self._interface = self._robot._interface
            torque, wrench = list(collision.joint_torque), list(collision.wrench)
            self._interface.robot.set_collision_behavior(torque, torque, wrench, wrench)
        except Exception as error:  # libfranka's are of many classes
            raise RobotError(explain(error, host)) from error
        self._lost: str | None = None
        # When its clock was seen to run last, and whether that was in vain.
        self._time, self._ticked, self._looked, self._silent = -1.0, 0.0, 0.0, False
        self.tool = _matrix(self._interface.robot_state.F_T_EE)
        self._check_model(max_model_error)
        self._controller = aiofranka.Controller(self._robot)
        self._controller.torque_diff_limit = TORQUE_RATE
        self._controller.switch(
            aiofranka.control_law(law.tick, params=law.PARAMETERS, memory=law.MEMORY, name="hilserl")
        )
        self.set("tool", self.tool)
        self.set("links", link_table(self._robot.model))

    def _check_model(self, max_error: float) -> None:
        reported = _matrix(self._interface.robot_state.O_T_EE)
        error = float(np.linalg.norm((reported - self._robot.state["ee"] @ self.tool)[:3, 3]))
        if error > max_error:
            raise RobotError(
                f"robot {self._host}: it reports its TCP {1000 * error:.0f} mm from where an FR3 has it at "
                "the same joint positions: see that it is an FR3, and its end effector in Desk"
            )

    @property
    def running(self) -> bool:
        """Whether the loop runs."""
        return self._controller.running

    def failure(self) -> str | None:
        """What stopped the loop, in words; None where nothing did."""
        error = self._controller.error
        return None if error is None else explain(error, self._host, self._interface.robot_state)

    def set(self, name: str, values: Any) -> None:
        """Set one of `libfranka_law.PARAMETERS`, all of it between two ticks."""
        # Controller refuses to set anything after an error, even what must be set to start.
        setattr(self._controller._engine, name, values)

    def arm_state(self) -> dict[str, np.ndarray]:
        """Of one tick: joint positions "qpos", velocities "qvel", the flange's pose "ee" and Jacobian "jac".

        Raises:
            RobotError: there is none.
        """
        return self._look(lambda: self._robot.state, lambda: self._robot.state)

    def newest(self) -> Any:
        """The newest `pylibfranka.RobotState`.

        Raises:
            RobotError: there is none, or it is old.
        """
        state, now = self._current(), time.monotonic()
        looked_lately, self._looked = now - self._looked <= STALE, now
        if looked_lately and (state.time.to_sec() != self._time or now - self._ticked <= STALE):
            if state.time.to_sec() != self._time:
                self._time, self._ticked, self._silent = state.time.to_sec(), now, False
            return state
        # Its clock stands still, or nobody has looked for long. After a pause of the whole computer
        # whoever looks may be awake before the loop is.
        self._time, patience = state.time.to_sec(), 0.0 if self._silent else PATIENCE
        while state.time.to_sec() == self._time and time.monotonic() - now < patience:
            time.sleep(0.002)
            state = self._current()
        self._silent = state.time.to_sec() == self._time
        if self._silent:
            raise RobotError(f"robot {self._host}: no state comes from it; check its power and the cable")
        self._time, self._ticked = state.time.to_sec(), time.monotonic()
        return state

    def has_joint_motion(self, number: int) -> bool:
        """Whether the law is at that joint motion, or has not heard of it yet."""
        memory = self._controller.law_memory
        if memory is None or memory["seen"][law.JOINT_MOTION] != number:
            return True
        return memory["times"][law.MOTION_BEGIN] != law.NEVER

    def _current(self) -> Any:
        return self._look(lambda: self._interface.robot_state, lambda: self._robot.robot_state)

    def _look(self, running: Callable[[], Any], idle: Callable[[], Any]) -> Any:
        """Read a loop that runs, or else the robot, where nobody else is at it."""
        try:
            if self.running:
                return running()
            if not self._lifecycle.acquire(timeout=BUSY):
                raise RobotError(f"robot {self._host}: it is being connected or started; wait")
            try:
                return running() if self.running else self._idle(idle)
            finally:
                self._lifecycle.release()
        except RobotError:
            raise
        except Exception as error:
            if not self.running:
                self._lost = explain(error, self._host)
            raise RobotError(explain(error, self._host)) from error

    def _idle(self, read: Callable[[], Any]) -> Any:
        if self._lost is not None:
            raise RobotError(self._lost)
        # After an error aiofranka first ends the motion, in its own thread.
        for _ in range(100):
            if self._interface.torque_controller is None:
                break
            time.sleep(0.01)
        return read()

    def start(self, session: np.ndarray) -> None:
        """Start the loop; the law holds the arm where it is then.

        Args:
            session: another than the last one's.

        Raises:
            RobotError: the robot is in no state to move, and which.
        """
        mode = self._current().robot_mode.name
        if mode in MODES:
            raise RobotError(f"robot {self._host}: {MODES[mode]}")
        self.set("session", session)
        try:
            _in_a_thread(self._controller.start)
        except Exception as error:
            raise RobotError(explain(error, self._host, self._interface.robot_state)) from error

    def stop(self) -> None:
        """Stop the loop; the robot holds its joints.

        Raises:
            RobotError: it does not take the command.
        """
        try:
            self._controller.stop()
        except Exception as error:
            raise RobotError(explain(error, self._host)) from error

    def clear_errors(self) -> bool:
        """Have the robot recover from its errors; False where only a new connection helps.

        Raises:
            RobotError: the robot refuses.
        """
        if self._lost is not None:
            return False
        try:
            self._interface.robot.automatic_error_recovery()
        except Exception as error:
            if type(error).__name__ == "NetworkException":
                return False
            raise RobotError(explain(error, self._host)) from error
        return True

    def set_load(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Tell the robot its load, and the law what the links weigh with it; the loop is stopped.

        Raises:
            RobotError: the robot refuses it.
        """
        try:
            self._robot.set_load(mass, center, inertia)
        except Exception as error:
            raise RobotError(explain(error, self._host)) from error
        self.set("links", link_table(self._robot.model))

    def close(self) -> None:
        """Stop, and let go of the robot."""
        try:
            self.stop()
        finally:
            self._robot.close()


def _matrix(column_major: Any) -> np.ndarray:
    return np.array(column_major).reshape(4, 4).T.copy()


def _in_a_thread(call: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """libfranka gives the thread that starts it real-time priority, and so all that this one starts:
    it must not be the caller's, who may serve requests or run a browser."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *arguments, **settings).result()


def _import_aiofranka() -> ModuleType:
    if "franky" in sys.modules:
        raise ConfigError("franky and pylibfranka cannot be in one process: don't import franky here")
    try:
        return importlib.import_module("aiofranka")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'the libfranka backend needs {error.name}: pip install "hilserl_envs[libfranka]" (Linux)'
        ) from error


def _reach(host: str) -> None:
    """Say soon what libfranka says after a minute, in which no other thread of Python runs."""
    try:
        socket.create_connection((host, FCI_PORT), REACH_TIMEOUT).close()
    except TimeoutError:
        raise RobotError(
            f"robot {host}: nothing answers at this address within {REACH_TIMEOUT:.0f} s; check the address, "
            "the robot's power and the cable"
        ) from None
    except socket.gaierror:
        raise RobotError(f"robot {host}: no such host; check the robot's address") from None
    except ConnectionRefusedError:
        raise RobotError(explain("Connection to FCI refused", host)) from None
    except OSError as error:
        raise RobotError(explain(f"Connection error: {error.strerror}", host)) from error
