"""The public server's routes: `franka_server.py` of rail-berkeley/hil-serl, and its wrench server.

Same names, bodies and answers, so that clients written for it work unchanged; what differs
is that a request which makes no sense, or is not safe, is refused and says why. One arm's
are at the root, two arms' under /left/ and /right/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flask
import numpy as np
from scipy.spatial.transform import Rotation

from hilserl_envs.json_values import check_number, check_numbers
from hilserl_envs.robot import ArmCommand
from hilserl_envs.wire import state_to_json
from robot_servers.guard import Guard
from robot_servers.limits import Refusal
from robot_servers.routes.bodies import json_body

SLOWLY = 50 / 255  # share of its speed at which the public server closes a gripper slowly

# By name: what each answers, a text, or the state's entry and its name in the answer.
TEXTS = {
    "set_load": "Set Load",
    "startimp": "Started impedance",
    "stopimp": "Stopped impedance",
    "startwrench": "Started wrench",
    "stopwrench": "Stopped wrench",
    "jointreset": "Reset Joint",
    "reset": "Reset",
    "activate_gripper": "Activated",
    "reset_gripper": "Reset",
    "open_gripper": "Opened",
    "close_gripper": "Closed",
    "close_gripper_slow": "Closed",
    "move_gripper": "Moved Gripper",
    "clearerr": "Clear",
    "pose": "Moved",
    "wrench": "Moved",
    "update_param": "Updated compliance parameters",
}
READS = {
    "getpos": ("tcp_pose", "pose"),
    "getvel": ("tcp_vel", "vel"),
    "getforce": ("tcp_force", "force"),
    "gettorque": ("tcp_torque", "torque"),
    "getq": ("q", "q"),
    "getdq": ("dq", "dq"),
    "getjacobian": ("jacobian", "jacobian"),
    "get_gripper": ("gripper_pose", "gripper"),
}
NAMES = (*TEXTS, *READS, "getpos_euler", "getstate")


class PublicArm:
    """What the public routes do with one arm; a method a route.

    Args:
        guard: of the station.
        arm: its name.
        reset_q: joint positions (7,) of its joint reset [rad].
    """

    def __init__(self, guard: Guard, arm: str, reset_q: np.ndarray):
        self._guard, self._arm, self._reset_q = guard, arm, reset_q

    def read(self, name: str) -> dict[str, Any]:
        entry, key = READS[name]
        return {key: self._state()[entry]}

    def getpos_euler(self) -> dict[str, Any]:
        """The orientation as Euler angles xyz about fixed axes [rad]."""
        pose = self._state()["tcp_pose"]
        return {"pose": pose[:3] + Rotation.from_quat(pose[3:]).as_euler("xyz").tolist()}

    def getstate(self) -> dict[str, Any]:
        state = self._state()
        entries = {key: state[entry] for entry, key in READS.values() if key != "gripper"}
        return entries | {"gripper_pos": state["gripper_pose"]}

    def pose(self) -> None:
        pose = check_numbers(json_body(["arr"], ["arr"])["arr"], (7,), "arr")
        self._guard.command({self._arm: ArmCommand(pose=pose)})

    def wrench(self) -> None:
        wrench = check_numbers(json_body(["arr"], ["arr"])["arr"], (6,), "arr")
        self._guard.command({self._arm: ArmCommand(wrench=wrench)})

    def update_param(self) -> str:
        """What was clamped is said behind the public server's answer."""
        changes = json_body(_Any())
        clamped = self._guard.configure({self._arm: changes}).get(self._arm, {})
        said = [f"{name} clamped to {value:g}" for name, value in clamped.items()]
        return "; ".join([TEXTS["update_param"], *said])

    def set_load(self) -> None:
        names = ("mass", "F_x_center_load", "load_inertia")
        values = json_body(names, names)
        self._guard.load(
            self._arm,
            check_number(values["mass"], 0.0, 100.0, "mass"),
            check_numbers(values["F_x_center_load"], (3,), "F_x_center_load"),
            check_numbers(values["load_inertia"], (9,), "load_inertia").reshape(3, 3),
        )

    def startimp(self) -> None:
        self._guard.clear_errors()
        self._guard.start({self._arm: "pose"})

    def startwrench(self) -> None:
        self._guard.clear_errors()
        self._guard.start({self._arm: "wrench"})

    def stopimp(self) -> None:
        self._guard.stop()

    def jointreset(self) -> None:
        self._guard.clear_errors()
        self._guard.reset_joints({self._arm: self._reset_q})

    def clearerr(self) -> None:
        self._guard.clear_errors()

    def activate_gripper(self) -> None:
        self._guard.grippers.activate(self._arm)

    def reset_gripper(self) -> None:
        self._guard.grippers.reset(self._arm)

    def open_gripper(self) -> None:
        self._guard.grippers.move(self._arm, 1.0)

    def close_gripper(self) -> None:
        self._guard.grippers.move(self._arm, 0.0)

    def close_gripper_slow(self) -> None:
        self._guard.grippers.move(self._arm, 0.0, SLOWLY)

    def move_gripper(self) -> None:
        """0 to 255, which beyond is clipped; which end is open is the gripper's own custom."""
        value = json_body(["gripper_pos"], ["gripper_pos"])["gripper_pos"]
        share = min(max(check_number(value, -1e9, 1e9, "gripper_pos"), 0.0), 255.0) / 255
        # A Robotiq's register counts from open to closed, the Franka hand's width the other way.
        closes = getattr(self._guard.grippers.of(self._arm), "counts_to_closed", False)
        self._guard.grippers.move(self._arm, 1 - share if closes else share)

    # The wrench server's names.
    stopwrench, reset = stopimp, jointreset

    def _state(self) -> dict[str, Any]:
        return state_to_json(self._guard.station.read())["arms"][self._arm]


class _Any:
    """Allows every key; the guard knows the names, and says which there are."""

    def __contains__(self, key: object) -> bool:
        return True

    def __iter__(self):
        return iter(())


def public_routes(guard: Guard, reset_q: Mapping[str, np.ndarray]) -> list[flask.Blueprint]:
    """The routes of every arm; with two, those at the root say where to go."""
    arms = guard.station.arms
    if len(arms) == 1:
        return [_routes("public", None, PublicArm(guard, arms[0], reset_q[arms[0]]))]
    lost = flask.Blueprint("public", __name__)
    for name in NAMES:
        lost.post(f"/{name}", endpoint=name)(_refuse_root(name, arms))
    return [lost, *(_routes(f"public_{arm}", f"/{arm}", PublicArm(guard, arm, reset_q[arm])) for arm in arms)]


def _routes(blueprint: str, prefix: str | None, arm: PublicArm) -> flask.Blueprint:
    routes = flask.Blueprint(blueprint, __name__, url_prefix=prefix)
    for name in NAMES:
        routes.post(f"/{name}", endpoint=name)(_view(name, arm))
    return routes


def _view(name: str, arm: PublicArm) -> Callable[[], Any]:
    if name in READS:
        return lambda: arm.read(name)
    act = getattr(arm, name)
    return (lambda: act() or TEXTS[name]) if name in TEXTS else act


def _refuse_root(name: str, arms: tuple[str, ...]) -> Callable[[], Any]:
    def refuse() -> None:
        ways = " or ".join(f"/{arm}/{name}" for arm in arms)
        raise Refusal("two_arms", f"this robot has two arms: POST {ways}", 404)

    return refuse
