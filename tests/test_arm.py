"""The model of the arm: does it weigh, reach, hold and grip as the published one does?"""

import mujoco
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.kinematics import ARM_MODELS, PANDA, inverse_kinematics
from hilserl_envs.poses import compose, invert
from hilserl_envs.robot import ARM_NAMES, key_prefix
from hilserl_envs.twin import panda
from hilserl_envs.twin.arm import add_arm
from hilserl_envs.twin.hand import FINGER_INERTIA, FINGER_TRAVEL, GRIPPER_AIM, HAND_INERTIA
from hilserl_envs.twin.props import add_block

READY, TORQUE_LIMITS = np.array(PANDA.ready), np.array(PANDA.torque_limits)
JOINT_LIMITS = {name: np.array(arm.joint_limits) for name, arm in ARM_MODELS.items()}
AT_ORIGIN = np.array([0.0, 0, 0, 0, 0, 0, 1])
FACING = np.array([1.0, 0, 0, 0, 0, 1, 0])  # a metre away, half a turn about z
LYING = np.array([0.0, 0, 0.5, 0, np.sqrt(0.5), 0, np.sqrt(0.5)])  # base bolted to a wall
GRASP_FORCE = 70.0  # [N] a finger: the hand's published continuous force
POSTURES = {
    "ready": READY,
    "stretched": np.array([0.5, 1.0, 0.3, -0.5, 0.2, 1.5, 0.1]),
    "folded": np.array([-1.0, -1.2, 0.8, -2.8, -1.5, 2.5, 2.0]),
}


class World:
    """Arms and nothing else, stepped by MuJoCo alone: no law, no table."""

    def __init__(
        self, *bases: np.ndarray, kind: str = "panda", block: float | None = None, gravity: bool = True
    ):
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = 0.001
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        if not gravity:
            spec.option.gravity = [0, 0, 0]
        self.prefixes = [key_prefix(name, bases) for name in ARM_NAMES[len(bases)]]
        for number, base in enumerate(bases):
            add_arm(spec, base, self.prefixes[number], number, kind)
        if block is not None:
            add_block(spec, "block", (block / 2,) * 3, 0.1, (1, 0, 0, 1))
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.pose_arms(READY)

    def pose_arms(self, q: np.ndarray, opening: float = 1.0) -> None:
        for prefix in self.prefixes:
            for i in range(7):
                self.data.joint(f"{prefix}joint{i + 1}").qpos = q[i]
            for side in ("left", "right"):
                self.data.joint(f"{prefix}finger_{side}").qpos = opening * FINGER_TRAVEL
            self.data.actuator(f"{prefix}gripper").ctrl = opening * FINGER_TRAVEL
        mujoco.mj_forward(self.model, self.data)

    def push(self, torque: np.ndarray) -> None:
        for prefix in self.prefixes:
            for i in range(7):
                self.data.actuator(f"{prefix}joint{i + 1}").ctrl = torque[i]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / self.model.opt.timestep)):
            mujoco.mj_step(self.model, self.data)

    def q(self, prefix: str = "") -> np.ndarray:
        return np.array([self.data.joint(f"{prefix}joint{i + 1}").qpos[0] for i in range(7)])

    def fingers(self) -> np.ndarray:
        return np.array([self.data.joint(f"finger_{side}").qpos[0] for side in ("left", "right")])

    def pose(self, body: str) -> np.ndarray:
        return np.concatenate([self.data.body(body).xpos, np.roll(self.data.body(body).xquat, -1)])

    def tcp(self, prefix: str = "") -> np.ndarray:
        return self.data.site(f"{prefix}tcp").xpos.copy()


@pytest.fixture(scope="module")
def world():
    return World(AT_ORIGIN)


@pytest.mark.parametrize("posture", POSTURES)
@pytest.mark.parametrize("base", [AT_ORIGIN, LYING], ids=["upright", "lying"])
def test_gravity_compensation_holds_the_arm_still(base, posture):
    """No motor torque at all for 10 s: on the real arm too, weight is held below the interface."""
    world = World(base)
    world.pose_arms(POSTURES[posture])
    began = world.tcp()
    for _ in range(10):
        world.run(1.0)
        assert np.linalg.norm(world.tcp() - began) < 1e-4
    assert world.data.time == pytest.approx(10)


def test_links_weigh_what_was_published(world):
    figures = dict(zip([f"link{i}" for i in range(8)], panda.BODY.inertia, strict=True))
    figures |= {"hand": HAND_INERTIA, "finger_left": FINGER_INERTIA, "finger_right": FINGER_INERTIA}
    for name, (mass, center, (xx, yy, zz, xy, xz, yz)) in figures.items():
        body = world.model.body(name)
        axes = np.empty(9)
        mujoco.mju_quat2Mat(axes, body.iquat)
        axes = axes.reshape(3, 3)
        np.testing.assert_allclose(body.mass, mass)
        np.testing.assert_allclose(body.ipos, center)
        expected = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
        np.testing.assert_allclose(axes @ np.diag(body.inertia) @ axes.T, expected, atol=1e-9, err_msg=name)
    masses = [
        0.629769,
        4.970684,
        0.646926,
        3.228604,
        3.587895,
        1.225946,
        1.666555,
        0.735522,
        0.73,
        0.015,
        0.015,
    ]
    np.testing.assert_allclose(world.model.body_mass, [0, *masses])


@pytest.mark.parametrize("kind", JOINT_LIMITS)
def test_joints_and_motors_have_the_published_limits(kind):
    model = World(AT_ORIGIN, kind=kind).model
    for i in range(7):
        np.testing.assert_array_equal(model.joint(f"joint{i + 1}").range, JOINT_LIMITS[kind][i])
        np.testing.assert_array_equal(
            model.actuator(f"joint{i + 1}").forcerange, [-TORQUE_LIMITS[i], TORQUE_LIMITS[i]]
        )


def test_an_unknown_model_is_refused():
    with pytest.raises(
        ConfigError, match="unknown arm model 'pandas': did you mean 'panda'.*known: panda, fr3"
    ):
        World(AT_ORIGIN, kind="pandas")


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("side", [0, 1])
def test_joints_stop_at_their_limits(world, joint, side):
    mujoco.mj_resetData(world.model, world.data)
    q, limit = READY.copy(), JOINT_LIMITS["panda"][joint, side]
    q[joint] = limit - (side - 0.5) * 0.1
    world.pose_arms(q)
    torque = np.zeros(7)
    torque[joint] = (2 * side - 1) * 0.25 * TORQUE_LIMITS[joint]
    world.push(torque)
    world.run(0.5)
    assert world.q()[joint] == pytest.approx(limit, abs=0.02)
    world.push(np.zeros(7))


def test_motors_give_no_more_than_their_limits(world):
    mujoco.mj_resetData(world.model, world.data)
    world.pose_arms(READY)
    for sign in (-1, 1):
        world.push(sign * np.full(7, 1e3))
        mujoco.mj_forward(world.model, world.data)
        force = [world.data.actuator(f"joint{i + 1}").force[0] for i in range(7)]
        np.testing.assert_allclose(force, sign * TORQUE_LIMITS)
    world.push(np.zeros(7))


def test_parts_of_one_arm_never_collide(world):
    mujoco.mj_resetData(world.model, world.data)
    low, high = JOINT_LIMITS["panda"].T
    for q in np.random.default_rng(3).uniform(low, high, (50, 7)):
        world.pose_arms(q)
        assert world.data.ncon == 0


# Two arms


@pytest.fixture(scope="module")
def pair():
    return World(AT_ORIGIN, FACING)


def test_two_arms_mirror_each_other(pair):
    """The same torques on both give the same motion, seen from each base."""
    pair.pose_arms(READY)
    pair.push(np.array([3.0, -2, 4, 4, 0.5, -0.5, 0.3]))
    pair.run(0.5)
    np.testing.assert_allclose(pair.q("left/"), pair.q("right/"), atol=1e-9)
    assert np.abs(pair.q("left/") - READY).min() > 0.01, "all joints moved"
    for body in [f"link{i}" for i in range(8)] + ["hand", "finger_left", "finger_right"]:
        left, right = (
            compose(invert(base), pair.pose(f"{side}/{body}"))
            for side, base in (("left", AT_ORIGIN), ("right", FACING))
        )
        np.testing.assert_allclose(left[:3], right[:3], atol=1e-9)
        assert abs(left[3:] @ right[3:]) == pytest.approx(1, abs=1e-12)


def test_two_arms_do_collide(pair):
    mujoco.mj_resetData(pair.model, pair.data)
    pair.pose_arms(READY)
    assert pair.data.ncon == 0
    pair.pose_arms(inverse_kinematics("panda", np.array([0.5, 0, 0.3, 1, 0, 0, 0.0])))
    assert pair.data.ncon > 0, "both hands in the same place"
    owners = {
        pair.model.body(b).name.split("/")[0] for b in pair.model.geom_bodyid[pair.data.contact.geom.ravel()]
    }
    assert owners == {"left", "right"}


# The hand


@pytest.mark.parametrize(
    ("opening", "width"),
    [
        (0.0, 0.0),
        (1.0, 2 * FINGER_TRAVEL),
    ],
)
def test_gripper_opens_and_closes_within_a_second(world, opening, width):
    mujoco.mj_resetData(world.model, world.data)
    world.pose_arms(READY, 1 - opening)
    world.data.actuator("gripper").ctrl = opening * FINGER_TRAVEL or GRIPPER_AIM
    world.run(1.0)
    assert world.fingers().sum() == pytest.approx(width, abs=1e-3)


def test_fingers_move_together_and_leave_the_arm_still(world):
    mujoco.mj_resetData(world.model, world.data)
    world.pose_arms(READY)
    began = world.tcp()
    world.data.actuator("gripper").ctrl = GRIPPER_AIM
    for _ in range(20):
        world.run(0.02)
        left, right = world.fingers()
        assert left == pytest.approx(right, abs=2e-4)
    assert np.linalg.norm(world.tcp() - began) < 1e-4


def test_pads_meet_at_the_tcp(world):
    mujoco.mj_resetData(world.model, world.data)
    world.pose_arms(READY, 0.0)
    pads = [world.data.geom(f"finger_{side}_pad") for side in ("left", "right")]
    np.testing.assert_allclose(sum(pad.xpos for pad in pads) / 2, world.tcp(), atol=1e-9)
    thickness = 2 * world.model.geom("finger_left_pad").size[1]
    assert np.linalg.norm(pads[0].xpos - pads[1].xpos) == pytest.approx(thickness)


@pytest.mark.parametrize("width", [0.002, 0.02, 0.06])
def test_closing_on_an_object_squeezes_it(width):
    """At full force whatever the width, and equally from both sides."""
    world = World(AT_ORIGIN, block=width, gravity=False)
    block = world.data.joint("block")
    block.qpos[:3], block.qpos[3:] = world.tcp(), [1, 0, 0, 0]
    world.data.actuator("gripper").ctrl = GRIPPER_AIM
    world.run(1.0)
    assert world.fingers().sum() == pytest.approx(width, abs=5e-4)
    np.testing.assert_allclose(world.data.body("block").xpos, world.tcp(), atol=1e-3)
    squeeze, force = {"finger_left": 0.0, "finger_right": 0.0}, np.empty(6)
    for i, contact in enumerate(world.data.contact):
        mujoco.mj_contactForce(world.model, world.data, i, force)
        names = {world.model.body(world.model.geom_bodyid[geom]).name for geom in contact.geom}
        squeeze[(names - {"block"}).pop()] += force[0]
    assert squeeze == pytest.approx(dict.fromkeys(squeeze, GRASP_FORCE), rel=0.02)
