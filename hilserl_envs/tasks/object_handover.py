"""ObjectHandover: one arm takes a bar out of its tray and hands it to the other, which lays it into its own.

The paper's: two arms with grippers, 200 steps, a discount of .97, no force or torque in
the observation, wrist cameras and one from the side. Its randomisation is none; here the
bar's place and heading in the tray vary, within what a person who puts it there would do
(`bar_range`, `bar_heading_range`; set both to 0 for the paper's).

Ours: the arms stand side by side, 60 cm apart. The bar is 18 cm long, 24 mm thick and
weighs 110 g, so two hands fit beside each other on it and friction alone holds it. Each
arm's box ends in the middle of the table: neither reaches the other's tray, and the bar
has to change hands. Nothing is lost by dropping it where an arm still reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, checked_names, ranged
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import compose, displacement, invert, quat_multiply, rotate, rotvec_to_quat
from hilserl_envs.robot import RobotState
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera
from hilserl_envs.tasks.task import Expert, Task, expert_displacement
from hilserl_envs.twin.props import Bar, Tray, add_bar, add_tray

BAR = Bar(length=0.18, thickness=0.024, mass=0.11, grip_length=0.05)
TRAY = Tray(half_size=(0.115, 0.13))
WORK_X = 0.5  # of the trays' middles and of the handover, in the world [m]
BASE_Y = {"left": 0.3, "right": -0.3}  # of the arms' bases in the world [m]
TRAY_Y = {"left": 0.28, "right": -0.28}  # of the middles of the trays `left/tray` and `right/tray` [m]
LYING = TRAY.floor + BAR.thickness / 2  # height of the bar's middle in a tray [m]
GRIP = 0.07  # of a hand from the bar's middle, along it [m]
REACH_MARGIN = 0.02  # beyond an arm's box, where its fingers still get hold of the bar [m]
# Fingers close along the world's x, across a bar that lies along y.
HAND_DOWN = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)


def _setup(arm: str) -> ArmSetup:
    side = math.copysign(1.0, BASE_Y[arm])
    # Both ways from the arm's own tray: outwards, and to the middle of the table.
    outer, inner = side * 0.44 - BASE_Y[arm], side * 0.02 - BASE_Y[arm]
    clips = {f"translational_clip_{sign}{axis}": 0.02 for sign in ("", "neg_") for axis in "xyz"}
    return ArmSetup(
        reset_pose=(WORK_X, TRAY_Y[arm] - BASE_Y[arm], 0.22, *HAND_DOWN),
        limits=Limits(
            low=(0.36, min(outer, inner), 0.013), high=(0.64, max(outer, inner), 0.40),
            rotation=(0.4, 0.4, 1.6),
        ),
        compliance=Compliance(**clips),
        translation_scale=0.03,
        rotation_scale=0.2,
        gripper=True,
        base_pose=(0.0, BASE_Y[arm], 0.0, 0.0, 0.0, 0.0, 1.0),
    )  # fmt: skip


def _cameras() -> dict[str, Camera]:
    """From in front, and from each hand's outer side along what it holds, towards the other hand."""
    cameras = {"front": Camera(position=(1.20, 0.0, 0.80), look_at=(0.43, 0.0, 0.12), fovy=50.0)}
    for arm, side in (("left", 1.0), ("right", -1.0)):
        cameras[f"{arm}/wrist_1"] = Camera(
            mount=f"{arm}/hand", position=(side * 0.090, 0.0, 0.045), look_at=(side * -0.010, 0.0, 0.115),
            up=(0, 0, -1), fovy=58.0,
        )  # fmt: skip
    return cameras


@checked_names
@dataclass(frozen=True)
class ObjectHandover(Task):
    """Settings of the task.

    Args:
        bar_range: half-ranges of where in its tray the bar starts, along x and y [m].
        bar_heading_range: half-range of its heading from straight towards the other tray [rad].
        at_rest: speed of the bar's ends below which it lies still [m/s].
    """

    arms: Mapping[str, ArmSetup] = field(default_factory=lambda: {arm: _setup(arm) for arm in BASE_Y})
    cameras: Mapping[str, Camera] = field(default_factory=_cameras)
    overview: Camera = Camera(position=(1.55, -0.75, 0.85), look_at=(0.35, 0.0, 0.22), fovy=42.0)
    state_keys: tuple[str, ...] = ("tcp_pose", "tcp_vel", "gripper_pose")
    objects: tuple[str, ...] = ("bar",)
    horizon: int = 200
    reset_lift: float = ranged(0.10, 0.0, 0.3)
    bar_range: tuple[float, float] = ranged((0.03, 0.025), 0.0, 0.03)
    bar_heading_range: float = ranged(0.25, 0.0, 0.35)
    at_rest: float = ranged(0.005, 0.0, 0.1)

    def build(self, spec: mujoco.MjSpec) -> None:
        for arm, rgba in (("left", (0.30, 0.42, 0.55, 1)), ("right", (0.36, 0.50, 0.40, 1))):
            add_tray(spec, f"{arm}/tray", TRAY, (WORK_X, TRAY_Y[arm]), rgba)
        add_bar(spec, "bar", BAR, (0.93, 0.66, 0.16, 1), (0.80, 0.22, 0.14, 1))

    def arrange(self, scene, rng: np.random.Generator, in_motion: bool) -> None:
        x, y = np.array([WORK_X, TRAY_Y["left"]]) + rng.uniform(-1, 1, 2) * self.bar_range
        heading = math.pi / 2 + rng.uniform(-self.bar_heading_range, self.bar_heading_range)
        scene.place("bar", np.array([x, y, LYING, *rotvec_to_quat(np.array([0, 0, heading]))]))
        scene.refresh()

    def succeeded(self, state: RobotState, scene) -> bool:
        if scene is None or not _lies_in(scene, "right"):
            return False
        return _let_go(scene) and _speed(scene) < self.at_rest

    def failed(self, state: RobotState, scene) -> bool:
        if scene is None:
            return False
        bar = _leftward(scene.pose("bar"))
        return not any(self.grips_in_reach(bar, arm) for arm in self.arms)

    def grips_in_reach(self, bar: np.ndarray, arm: str) -> list[np.ndarray]:
        """Places (3,) on the bar that an arm's box lets it take hold of, its outer end first.

        `bar` is its pose (7,) with x towards the left arm; all in the world.
        """
        setup = self.arms[arm]
        base = np.array(setup.base_pose)
        grips = []
        for along in math.copysign(GRIP, BASE_Y[arm]) * np.linspace(1, -1, 5):
            place = compose(invert(base), compose(bar, np.array([along, 0, 0, 0, 0, 0, 1.0])))[:3]
            nearest = np.clip(place, setup.limits.low, setup.limits.high)
            if np.linalg.norm(nearest - place) < REACH_MARGIN:
                grips.append(compose(base, np.array([*nearest, 0, 0, 0, 1.0]))[:3])
        return grips

    def expert(self, rng: np.random.Generator) -> Expert:
        return _Expert(self)


def _lies_in(scene, arm: str) -> bool:
    """Whether the bar lies flat in an arm's tray: both its ends below the rims."""
    bar_in_tray = compose(invert(scene.pose(f"{arm}/tray")), scene.pose("bar"))
    half = rotate(bar_in_tray[3:], np.array([BAR.length / 2, 0, 0]))
    return all(TRAY.surrounds(bar_in_tray[:3] + end) for end in (half, -half))


def _let_go(scene) -> bool:
    """Whether no part of an arm touches the bar."""
    return not (scene.data.contact.geom == scene.model.geom("bar_gripped").id).any()


def _speed(scene) -> float:
    """Of the bar's fastest end, at most [m/s]."""
    velocity = scene.data.joint("bar").qvel
    return float(np.linalg.norm(velocity[:3]) + BAR.length / 2 * np.linalg.norm(velocity[3:]))


class _Expert:
    """Left fetches the bar by its outer end, right takes the other, left lets go, right lays it down.

    What each hand does follows from where the bar is and who holds it, so it goes on from
    any state, a dropped bar included. Needs the scene. All poses are in the world.
    """

    HANDOVER = np.array([WORK_X, 0.0, 0.25])  # of the bar's middle [m]
    CLEAR = 0.08  # height of the bar's middle above which it goes sideways [m]
    ABOVE = 0.08  # of a hand over where it is going to grasp [m]
    ALIGNED, TURNED = 0.006, 0.08  # near enough to go down, then to close [m, rad]
    CLOSING = 0.018  # a hand that has begun to close goes on so near its grip [m]
    GIVEN = 0.012  # of the bar from the handover's place, near enough for the other hand [m]
    OVER_TRAY = 0.015  # of the bar from above its place, near enough to go down [m]
    LOW = 0.003  # of the bar over its place, low enough to let go [m]
    OPEN, LOOSE, CLOSED, EMPTY = 0.95, 0.5, 0.36, 0.2  # gripper_pose; on the bar it is 0.3
    FIRM_STEPS = 4  # until closed fingers squeeze with all their force
    PATIENCE = 25  # steps on the way down
    APART = 0.10  # of two hands on the bar, at least [m]

    def __init__(self, task: ObjectHandover):
        self._task, self._arms = task, task.arms
        self._bases = {name: np.array(setup.base_pose) for name, setup in task.arms.items()}
        # Who holds the bar already when it takes over holds it firmly.
        self._held_for = dict.fromkeys(task.arms, self.FIRM_STEPS)
        self._down_for = dict.fromkeys(task.arms, 0)
        self._tries = dict.fromkeys(task.arms, 0)

    def __call__(self, state: RobotState, scene) -> np.ndarray:
        if scene is None:
            raise ConfigError("the expert of ObjectHandover looks at where the bar is: only the twin knows")
        self._bar, self._laid = _leftward(scene.pose("bar")), _lies_in(scene, "right")
        self._opening = {name: arm.gripper_pose for name, arm in state.arms.items()}
        self._hands = {n: compose(self._bases[n], arm.tcp_pose) for n, arm in state.arms.items()}
        # Of the hands' places on the bar: x along it, towards the left hand.
        self._places = {name: compose(invert(self._bar), hand)[:3] for name, hand in self._hands.items()}
        for name in self._arms:
            self._held_for[name] = self._held_for[name] + 1 if self._holds(name) else 0
        actions = []
        for name, (target, gripper) in (("left", self._left()), ("right", self._right())):
            goal = compose(invert(self._bases[name]), target)
            actions += [*expert_displacement(self._arms[name], state.arms[name].tcp_pose, goal), gripper]
        return np.array(actions)

    def _left(self) -> tuple[np.ndarray, float]:
        """Where the left hand goes, and what its gripper does."""
        if not self._held_for["left"]:
            return self._grasp("left") if self._fetcher() == "left" else self._withdraw("left")
        if self._held_for["right"] > self.FIRM_STEPS:
            return self._hands["left"], 1.0
        if self._held_for["right"] or self._held_for["left"] <= self.FIRM_STEPS:
            return self._hands["left"], -1.0
        if self._places["left"][0] < self.APART - GRIP:  # no room for the other hand
            return self._lay_down("left")
        return self._carry("left", self.HANDOVER), -1.0

    def _right(self) -> tuple[np.ndarray, float]:
        """As `_left`."""
        if self._held_for["right"]:
            if self._held_for["right"] <= self.FIRM_STEPS or self._around("left"):
                return self._hands["right"], -1.0
            return self._lay_down("right")
        if self._held_for["left"] and np.linalg.norm(self._bar[:3] - self.HANDOVER) > self.GIVEN:
            return np.array([*(self.HANDOVER + [0, -GRIP, self.ABOVE]), *HAND_DOWN]), 1.0
        if self._held_for["left"] or self._fetcher() == "right":
            return self._grasp("right")
        return self._withdraw("right")

    def _fetcher(self) -> str | None:
        """Who takes a bar that nobody holds: the nearer arm, if it reaches it."""
        if self._laid or any(self._held_for.values()):
            return None
        nearer = ("left", "right") if self._bar[1] >= 0 else ("right", "left")
        return next((name for name in nearer if self._task.grips_in_reach(self._bar, name)), None)

    def _around(self, name: str) -> bool:
        """Whether the bar is between an arm's fingers, wherever these are."""
        along, across, above = np.abs(self._places[name])
        return bool(along < BAR.length / 2 and across < 0.04 and above < 0.03)

    def _holds(self, name: str) -> bool:
        return self._around(name) and self.EMPTY < self._opening[name] < self.CLOSED

    def _withdraw(self, name: str) -> tuple[np.ndarray, float]:
        """Open, then straight up off the bar, then back to where episodes start."""
        hand = self._hands[name].copy()
        if self._around(name):
            hand[2] += self.ABOVE if self._opening[name] > self.LOOSE else 0.0
            return hand, 1.0
        return compose(self._bases[name], np.array(self._arms[name].reset_pose)), 1.0

    def _grasp(self, name: str) -> tuple[np.ndarray, float]:
        """Over the bar's outer grip, turned across it, down, close."""
        hand, axis = self._hands[name], rotate(self._bar[3:], np.array([1.0, 0, 0]))
        across = quat_multiply(_about_z(-math.atan2(axis[0], axis[1])), np.array(HAND_DOWN))
        grips = self._task.grips_in_reach(self._bar, name)
        target = np.concatenate([grips[self._tries[name] % len(grips)], across])
        off = displacement(hand, target)
        sideways, turned = np.linalg.norm(off[:2]), np.linalg.norm(off[3:])
        opened = self._opening[name] > self.OPEN
        there = np.linalg.norm(off[:3]) < (self.ALIGNED if opened else self.CLOSING)
        if there and turned < 2 * self.TURNED:
            return target, -1.0
        aligned = opened and sideways < self.ALIGNED and turned < self.TURNED
        going = aligned or (self._down_for[name] and sideways < 3 * self.ALIGNED)
        self._down_for[name] = self._down_for[name] + 1 if going else 0
        if self._down_for[name] > self.PATIENCE:  # a finger stands on a rim: elsewhere, then
            self._down_for[name], self._tries[name] = 0, self._tries[name] + 1
        if not self._down_for[name]:
            target[2] += self.ABOVE
            if sideways > 3 * self.ALIGNED and off[2] > -self.ABOVE / 2:  # too low to go sideways
                target[:2] = hand[:2]
        return target, 1.0

    def _lay_down(self, name: str) -> tuple[np.ndarray, float]:
        """Over the middle of an arm's tray, down, let go."""
        place = np.array([WORK_X, TRAY_Y[name], LYING])
        if np.linalg.norm(self._bar[:2] - place[:2]) > self.OVER_TRAY:
            place[2] = self.CLEAR + 0.02
        elif self._bar[2] < place[2] + self.LOW:
            return self._hands[name], 1.0
        return self._carry(name, place), -1.0

    def _carry(self, name: str, place: np.ndarray) -> np.ndarray:
        """Where a hand goes so that the bar's middle comes to `place` (3,), level and straight."""
        if self._bar[2] < self.CLEAR and np.linalg.norm(self._bar[:2] - place[:2]) > self.OVER_TRAY:
            lifted = self._hands[name].copy()
            lifted[2] += self.ABOVE
            return lifted
        bar_in_hand = compose(invert(self._hands[name]), self._bar)
        x, y, z = rotate(np.array(HAND_DOWN), rotate(bar_in_hand[3:], np.array([1.0, 0, 0])))
        level = rotvec_to_quat(np.array([-math.atan2(z, math.hypot(x, y)), 0, 0]))
        quat = quat_multiply(quat_multiply(level, _about_z(math.atan2(x, y))), np.array(HAND_DOWN))
        return np.concatenate([place - rotate(quat, bar_in_hand[:3]), quat])


def _about_z(angle: float) -> np.ndarray:
    return rotvec_to_quat(np.array([0, 0, angle]))


def _leftward(bar: np.ndarray) -> np.ndarray:
    """The bar's pose (7,) with its x towards the left arm, for it is the same from either end."""
    if rotate(bar[3:], np.array([1.0, 0, 0]))[1] >= 0:
        return bar
    return np.concatenate([bar[:3], quat_multiply(bar[3:], _about_z(math.pi))])
