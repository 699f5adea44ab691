"""The world from above: where things are, and what a person would do by hand."""

import math

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hilserl_envs.errors import ConfigError, HilserlError, RobotError
from hilserl_envs.kinematics import FR3, forward_kinematics
from hilserl_envs.poses import compose, displacement, quat_multiply, rotvec_to_quat
from hilserl_envs.tasks import make_task
from hilserl_envs.tasks.pick_cube import PickCube
from hilserl_envs.tasks.setup import Camera
from hilserl_envs.tasks.task import configure
from hilserl_envs.twin.scene import Scene, build_model
from tests.generic_env import TwoArms

TIMESTEP = 0.001
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
SOMEWHERE = np.array([0.5, 0.1, 0.3, 0.0, 0.6, 0.0, 0.8])


@pytest.fixture(scope="module")
def cube_world():
    return Scene(make_task("PickCube"), TIMESTEP)


@pytest.fixture
def scene(cube_world):
    cube_world.reset()
    return cube_world


@pytest.fixture(scope="module")
def slot_world():
    return Scene(make_task("RamInsertion"), TIMESTEP)


@pytest.fixture(scope="module")
def pair():
    return Scene(TwoArms(), TIMESTEP)


# Where things are


def test_pose_of_bodies_and_sites(scene):
    np.testing.assert_allclose(scene.pose("link0"), [0, 0, 0, 0, 0, 0, 1], atol=1e-12)
    tcp = forward_kinematics("panda", scene.physics.arms[0].q)
    np.testing.assert_allclose(displacement(scene.pose("tcp"), tcp), 0, atol=1e-9)
    hand = compose(scene.pose("hand"), np.array([0, 0, 0.1034, 0, 0, 0, 1]))
    np.testing.assert_allclose(displacement(hand, tcp), 0, atol=1e-9)


def test_quaternions_are_xyzw_outside_mujoco(scene):
    turned = np.array([0.5, 0, 0.3, *rotvec_to_quat(np.array([0, 0, 0.3]))])
    scene.place("cube", turned)
    scene.refresh()
    np.testing.assert_allclose(scene.pose("cube"), turned, atol=1e-12)
    matrix = scene.data.body("cube").xmat.reshape(3, 3)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec([0, 0, 0.3]).as_matrix(), atol=1e-12)


def test_poses_are_the_readers_own(scene):
    pose = scene.pose("cube")
    pose[:] = 9.0
    assert scene.pose("cube")[0] != 9.0


def test_pose_in_base_turns_with_the_base(pair):
    pair.reset()
    pair.place("block", SOMEWHERE)
    pair.refresh()
    np.testing.assert_allclose(displacement(pair.pose_in_base("block", "left"), SOMEWHERE), 0, atol=1e-12)
    from_right = pair.pose_in_base("block", "right")
    np.testing.assert_allclose(from_right[:3], [0.5, -0.1, 0.3], atol=1e-12)
    base = np.array([1.0, 0, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(displacement(compose(base, from_right), SOMEWHERE), 0, atol=1e-12)
    assert from_right[6] >= 0


def test_pose_in_tcp(scene):
    tcp = scene.pose("tcp")
    ahead = compose(tcp, np.array([0.01, 0.02, 0.03, 0, 0, 0, 1]))
    scene.place("cube", ahead)
    scene.refresh()
    np.testing.assert_allclose(scene.pose_in_tcp("cube", "arm")[:3], [0.01, 0.02, 0.03], atol=1e-12)
    np.testing.assert_allclose(scene.pose_in_tcp("tcp", "arm"), [0, 0, 0, 0, 0, 0, 1], atol=1e-12)


# What a person does by hand


def test_placed_things_are_at_rest(scene):
    scene.data.joint("cube").qvel[:] = 1.0
    scene.place("cube", SOMEWHERE)
    assert not scene.data.joint("cube").qvel.any()


def test_a_placed_thing_falls_on_the_table_and_lies_still(scene):
    scene.place("cube", np.array([0.5, 0.1, 0.05, 0, 0, 0, 1]))
    scene.refresh()
    scene.settle(1.0)
    assert scene.pose("cube")[2] == pytest.approx(0.02, abs=2e-4)
    assert np.abs(scene.data.joint("cube").qvel).max() < 1e-3


def test_a_gripped_thing_stays_in_the_fingers(scene):
    in_tcp = np.array([0.0, 0, 0, 1, 0, 0, 0])
    scene.teleport({"arm": np.array([0.5, 0, 0.2, *DOWN])}, {"arm": 1.0})
    scene.grip("cube", "arm", in_tcp, thickness=0.04)
    np.testing.assert_allclose(scene.pose_in_tcp("cube", "arm")[:3], 0, atol=1e-9)
    scene.settle(2.0)
    np.testing.assert_allclose(scene.pose_in_tcp("cube", "arm")[:3], 0, atol=2e-3)
    assert scene.pose("cube")[2] > 0.19


def test_joints_of_props_are_set_at_rest(slot_world):
    slot_world.reset()
    slot_world.data.joint("slot_latch_left").qvel[:] = 1.0
    slot_world.set_joint("slot_latch_left", 0.2)
    slot_world.refresh()
    latch = slot_world.data.joint("slot_latch_left")
    assert latch.qpos[0] == 0.2 and latch.qvel[0] == 0.0
    turned = 2 * math.acos(min(1.0, abs(slot_world.pose("slot_latch_left")[6])))
    assert turned == pytest.approx(0.2, abs=1e-9)


def test_teleported_arms_stand_still_where_they_were_put(scene):
    target = np.array([0.45, -0.1, 0.25, *quat_multiply(rotvec_to_quat(np.array([0.1, 0, 0.3])), DOWN)])
    scene.data.qvel[:] = 0.5
    scene.teleport({"arm": target}, {"arm": 0.5})
    np.testing.assert_allclose(displacement(scene.pose("tcp"), target), 0, atol=1e-6)
    assert not scene.physics.arms[0].dq.any()
    scene.settle(1.0)
    np.testing.assert_allclose(displacement(scene.pose("tcp"), target), 0, atol=1e-5)


def test_teleporting_one_arm_leaves_the_other(pair):
    pair.reset()
    left = pair.pose("left/tcp")
    target = np.array([0.4, 0.1, 0.25, *DOWN])
    pair.teleport({"right": target}, {"right": 0.0})
    np.testing.assert_array_equal(pair.pose("left/tcp"), left)
    np.testing.assert_allclose(displacement(pair.pose_in_base("right/tcp", "right"), target), 0, atol=1e-6)


def test_teleporting_keeps_the_joint_limits_of_the_arm_there_is():
    q = np.array([0.0, -0.5, 0.0, -2.0, 0.0, 0.3, 0.8])  # joint 6: within the Panda's range, not the FR3's
    task = configure(make_task("PickCube"), {"arm_model": "fr3"})
    scene = Scene(task, TIMESTEP)
    try:
        scene.teleport({"arm": forward_kinematics("panda", q)}, {"arm": 1.0})
    except RobotError:
        return
    low, high = np.array(FR3.joint_limits).T
    assert (scene.physics.arms[0].q >= low).all() and (scene.physics.arms[0].q <= high).all()


def test_reset_puts_everything_back_as_built(scene):
    built = scene.data.qpos.copy()
    scene.place("cube", SOMEWHERE)
    scene.teleport({"arm": np.array([0.5, 0, 0.2, *DOWN])}, {"arm": 0.0})
    scene.settle(0.5)
    scene.reset()
    np.testing.assert_array_equal(scene.data.qpos, built)
    assert scene.data.time == 0 and not scene.data.qvel.any()
    reset_pose = PickCube().arms["arm"].reset_pose
    np.testing.assert_allclose(displacement(scene.pose("tcp"), np.array(reset_pose)), 0, atol=1e-8)


def test_closing_twice_is_safe(scene):
    scene.close()
    scene.close()
    scene.settle(0.01)


# Cameras


def test_cameras_of_the_task_are_there_with_their_mounts(scene):
    names = [scene.model.camera(i).name for i in range(scene.model.ncam)]
    assert sorted(names) == ["front", "overview", "wrist_1"]
    wrist, hand = scene.model.camera("wrist_1"), scene.model.body("hand").id
    assert wrist.bodyid[0] == hand and scene.model.camera("front").bodyid[0] == 0
    forward = -scene.data.camera("wrist_1").xmat.reshape(3, 3)[:, 2]
    to_tcp = scene.pose("tcp")[:3] - scene.data.camera("wrist_1").xpos
    off_centre = math.degrees(math.acos(forward @ to_tcp / np.linalg.norm(to_tcp)))
    assert off_centre < wrist.fovy[0] / 2, "it sees the fingertips"


def build(**camera) -> mujoco.MjModel:
    return build_model(configure(make_task("PickCube"), {"cameras": {"front": Camera(**camera)}}), TIMESTEP)


def test_a_camera_whose_up_is_where_it_looks_is_refused():
    with pytest.raises(ConfigError, match="needs an `up` that is not parallel"):
        build(position=(0.5, 0, 1), look_at=(0.5, 0, 0), up=(0, 0, 1))
    build(position=(0.5, 0, 1), look_at=(0.5, 0, 0), up=(1, 0, 0))


def test_a_camera_on_an_unknown_body_is_refused():
    with pytest.raises(
        ConfigError, match="'front' is mounted on 'hnad', which is not a body; known: .*'hand'"
    ):
        build(mount="hnad")


# Errors name the alternatives


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.pose("cub"), "unknown body or site 'cub': did you mean 'cube'.*link7.*tcp"),
        (lambda s: s.place("cub", SOMEWHERE), "unknown free body 'cub': did you mean 'cube'"),
        (lambda s: s.place("hand", SOMEWHERE), "unknown free body 'hand': known: cube"),
        (
            lambda s: s.place("cube", SOMEWHERE[:3]),
            r"pose of 'cube' must have shape \(7,\), got shape \(3,\)",
        ),
        (lambda s: s.place("cube", SOMEWHERE * np.nan), "pose of 'cube' must be finite"),
        (lambda s: s.grip("cube", "left", SOMEWHERE, 0.04), "unknown arm 'left': known: arm"),
        (lambda s: s.grip("cub", "arm", SOMEWHERE, 0.04), "unknown free body 'cub'"),
        (lambda s: s.teleport({"left": SOMEWHERE}, {"left": 1}), "unknown arm 'left': known: arm"),
        (lambda s: s.pose_in_base("cub", "arm"), "unknown body or site 'cub'"),
        pytest.param(lambda s: s.pose_in_base("cube", "left"), "unknown arm 'left': known: arm"),
        pytest.param(lambda s: s.pose_in_tcp("cube", "left"), "unknown arm 'left': known: arm"),
        pytest.param(lambda s: s.set_joint("latch", 0.1), "unknown joint 'latch'.*known: "),
    ],
)
def test_wrong_names_and_values_are_refused(scene, call, says):
    with pytest.raises(HilserlError, match=says):
        call(scene)


def test_an_unreachable_teleport_is_told(scene):
    with pytest.raises(RobotError, match=r"reach the pose \[2.0, 0.0, 0.2"):
        scene.teleport({"arm": np.array([2.0, 0, 0.2, *DOWN])}, {"arm": 1.0})
