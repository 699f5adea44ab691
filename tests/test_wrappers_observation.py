"""Rotation representation, crops, fixed gripper and flat proprioception."""

import doctest
import importlib

import gymnasium
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.wrappers import CropImages, FixedGripper, FlattenProprioception, RotationRepresentation
from tests.generic_env import GenericEnv


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("representation", ["rotvec", "euler", "6d"])
def test_rotation_representations_agree_with_scipy(representation, arms):
    raw, _ = GenericEnv(arms).reset(seed=4)
    env = RotationRepresentation(GenericEnv(arms), representation, objects=representation)
    seen, _ = env.reset(seed=4)
    assert env.observation_space.contains(seen)
    for key, pose in raw["state"].items():
        if not key.endswith("pose") or pose.shape != (7,):
            np.testing.assert_array_equal(seen["state"][key], pose)
            continue
        rotation = Rotation.from_quat(pose[3:])
        expected = {
            "rotvec": lambda r: r.as_rotvec(),
            "euler": lambda r: r.as_euler("xyz"),
            "6d": lambda r: r.as_matrix()[:, :2].T.ravel(),
        }[representation](rotation)
        np.testing.assert_allclose(seen["state"][key][:3], pose[:3])
        np.testing.assert_allclose(seen["state"][key][3:], expected, atol=1e-5)


def test_objects_have_a_representation_of_their_own():
    """Seen from a hand that points down, an upright cube is half a turn away: only 6d does not jump there."""
    env = hilserl_envs.make_env("PickCube", obs="state", flatten=False, frame="base")
    assert env.observation_space["state"]["tcp_pose"].shape == (6,)
    assert env.observation_space["state"]["cube_pose"].shape == (9,)
    env.close()
    base = gymnasium.make("hilserl/PickCube-v0", obs="state")
    env = RotationRepresentation(base, "6d", objects="euler")
    observation, _ = env.reset(seed=0)
    raw, _ = base.reset(seed=0)
    assert env.observation_space.contains(observation)
    expected = Rotation.from_quat(raw["state"]["cube_pose"][3:]).as_euler("xyz")
    np.testing.assert_allclose(observation["state"]["cube_pose"][3:], expected, atol=1e-5)
    expected = Rotation.from_quat(raw["state"]["tcp_pose"][3:]).as_matrix()[:, :2].T.ravel()
    np.testing.assert_allclose(observation["state"]["tcp_pose"][3:], expected, atol=1e-5)
    env.close()


def test_the_usual_representation_of_objects_does_not_jump_where_the_others_do():
    half_a_turn = [Rotation.from_rotvec([0, 0, sign * (np.pi - 0.001)]).as_quat() for sign in (1, -1)]

    def seen(objects):
        def poses(quat):
            state = {
                "tcp_pose": np.zeros(7, np.float32) + [0, 0, 0, 0, 0, 0, 1],
                "cube_pose": np.array([0, 0, 0, *quat]),
            }
            return RotationRepresentation(env, objects=objects).observation({"state": state})["state"][
                "cube_pose"
            ]

        env = gymnasium.make("hilserl/PickCube-v0", obs="state")
        one, other = (poses(quat) for quat in half_a_turn)
        env.close()
        return np.abs(one - other).max()

    assert seen("6d") < 0.01 and seen("rotvec") > 6 and seen("euler") > 6


def test_rotation_representation_refuses_nonsense():
    with pytest.raises(ConfigError, match="did you mean 'rotvec'"):
        RotationRepresentation(GenericEnv(), "rotvek")
    with pytest.raises(ConfigError, match="did you mean '6d'"):
        RotationRepresentation(GenericEnv(), objects="7d")
    with pytest.raises(ConfigError, match="finds no pose"):
        RotationRepresentation(RotationRepresentation(GenericEnv()))


def test_crops_show_the_part_asked_for():
    raw, _ = GenericEnv().reset(seed=0)
    env = CropImages(GenericEnv(), {"front": (2, 3, 6, 8)})
    seen, _ = env.reset(seed=0)
    np.testing.assert_array_equal(seen["images"]["front"], raw["images"]["front"][2:8, 3:11])
    assert env.observation_space.contains(seen)


def test_crops_are_resized_and_uncropped_images_too():
    env = CropImages(GenericEnv(), {}, size=(24, 32))
    raw, _ = GenericEnv().reset(seed=0)
    seen, _ = env.reset(seed=0)
    assert seen["images"]["front"].shape == (24, 32, 3)
    assert env.observation_space.contains(seen)
    assert abs(seen["images"]["front"].mean() - raw["images"]["front"].mean()) < 3


@pytest.mark.parametrize(
    ("crops", "size", "message"),
    [
        ({"side": (0, 0, 2, 2)}, None, "unknown camera 'side'"),
        ({"front": (0, 0, 13, 2)}, None, "leaves the image, which is 12 high and 16 wide"),
        ({"front": (-1, 0, 2, 2)}, None, "leaves the image, which is 12 high and 16 wide"),
        ({"front": (0, 0, 0, 2)}, None, "leaves the image, which is 12 high and 16 wide"),
        ({"front": (0, 0, 2)}, None, "top, left, height, width"),
        ({}, (0, 3), "at least 1 pixel"),
    ],
)
def test_bad_crops_are_refused(crops, size, message):
    with pytest.raises(ConfigError, match=message):
        CropImages(GenericEnv(), crops, size)


def test_crops_need_images():
    with pytest.raises(ConfigError, match="`images`"):
        CropImages(gymnasium.make("CartPole-v1"), {})


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize(("command", "value"), [("closed", -1), ("stay", 0), ("open", 1)])
def test_a_fixed_gripper_gets_its_command_and_leaves_the_motion(arms, command, value):
    base = GenericEnv(arms)
    env = FixedGripper(base, command)
    env.reset(seed=0)
    action = env.action_space.sample()
    assert action.shape == (6 * arms,)
    env.step(action)
    inner = base.actions[-1].reshape(arms, 7)
    np.testing.assert_allclose(inner[:, :6].ravel(), action)
    np.testing.assert_array_equal(inner[:, 6], value)
    np.testing.assert_array_equal(env.reverse_action(base.actions[-1]), action.astype(float))


def test_a_fixed_gripper_needs_a_gripper():
    with pytest.raises(ConfigError, match="no arm of this environment has a gripper"):
        FixedGripper(GenericEnv(gripper=False))
    with pytest.raises(ConfigError, match="unknown gripper command"):
        FixedGripper(GenericEnv(), "shut")


def test_flat_state_has_the_keys_asked_for_in_their_order():
    raw, _ = GenericEnv(2).reset(seed=0)
    env = FlattenProprioception(GenericEnv(2), ["right/tcp_vel", "left/gripper_pose"])
    seen, _ = env.reset(seed=0)
    expected = np.concatenate([raw["state"]["right/tcp_vel"], raw["state"]["left/gripper_pose"]])
    np.testing.assert_array_equal(seen["state"], expected)
    np.testing.assert_array_equal(seen["state"][env.slices["right/tcp_vel"]], raw["state"]["right/tcp_vel"])
    assert env.observation_space.contains(seen)
    assert env.observation_space["state"].high[6] == 1.0


def test_flat_state_takes_all_keys_in_the_order_of_the_space():
    env = FlattenProprioception(GenericEnv())
    assert list(env.slices) == sorted(env.slices)
    assert env.observation_space["state"].shape == (21,)


def test_flat_state_refuses_unknown_and_repeated_keys():
    with pytest.raises(ConfigError, match="did you mean 'tcp_pose'"):
        FlattenProprioception(GenericEnv(), ["tcp_pos"])
    with pytest.raises(ConfigError, match="different keys"):
        FlattenProprioception(GenericEnv(), ["tcp_vel", "tcp_vel"])
    with pytest.raises(ConfigError, match="different keys"):
        FlattenProprioception(GenericEnv(), [])


@pytest.mark.parametrize("module", ["relative_frame", "rotation", "crop", "fixed_gripper", "proprioception"])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(f"hilserl_envs.wrappers.{module}"))
    assert result.attempted > 0 and result.failed == 0
