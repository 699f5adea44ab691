import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hilserl_envs.errors import ConfigError
from hilserl_envs.wrappers import FlattenProprioception, RelativeFrame, RotationRepresentation
from tests.generic_env import GenericEnv, random_pose


def states(*states):
    """A source of one state after the other."""
    remaining = iter(states)
    return lambda: dict(next(remaining))


def state(tcp_pose, thing_pose=None, tcp_vel=None):
    return {
        "tcp_pose": np.asarray(tcp_pose, np.float32),
        "thing_pose": np.asarray(tcp_pose if thing_pose is None else thing_pose, np.float32),
        "tcp_vel": np.zeros(6, np.float32) if tcp_vel is None else np.asarray(tcp_vel, np.float32),
        "gripper_pose": np.ones(1, np.float32),
    }


DOWN = [0.5, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0]  # half a turn about x: the TCP's z points down


def test_a_pure_z_action_moves_along_the_tool_and_turns_nothing():
    """The public code's adjoint turned it into a rotation."""
    base = GenericEnv(state=lambda: state(DOWN))
    env = RelativeFrame(base)
    env.reset(seed=0)
    env.step(np.array([0, 0, 1.0, 0, 0, 0, 0]))
    np.testing.assert_allclose(base.actions[-1], [0, 0, -1.0, 0, 0, 0, 0], atol=1e-7)
    env.step(np.array([0, 0, 0, 0, 1.0, 0, 0.7]))
    np.testing.assert_allclose(base.actions[-1], [0, 0, 0, 0, -1.0, 0, 0.7], atol=1e-7)


@pytest.mark.parametrize("arms", [1, 2])
def test_actions_and_velocities_turn_with_the_measured_rotation(arms):
    base = GenericEnv(arms)
    env = RelativeFrame(base)
    seen, _ = env.reset(seed=3)
    inner, _ = GenericEnv(arms).reset(seed=3)
    action = np.random.default_rng(0).uniform(-1, 1, 7 * arms)
    env.step(action)
    for i, arm in enumerate(base.action_layout):
        rotation = Rotation.from_quat(inner["state"][f"{arm.prefix}tcp_pose"][3:])
        part = action[7 * i : 7 * i + 7]
        expected = np.concatenate([rotation.apply(part[:3]), rotation.apply(part[3:6]), part[6:]])
        np.testing.assert_allclose(base.actions[-1][7 * i : 7 * i + 7], expected, atol=1e-6)
        velocity = inner["state"][f"{arm.prefix}tcp_vel"].astype(float)
        expected = np.concatenate([rotation.inv().apply(velocity[:3]), rotation.inv().apply(velocity[3:])])
        np.testing.assert_allclose(seen["state"][f"{arm.prefix}tcp_vel"], expected, atol=1e-6)


def test_poses_are_relative_to_the_reset_pose():
    rng = np.random.default_rng(0)
    poses = [random_pose(rng) for _ in range(4)]
    env = RelativeFrame(GenericEnv(state=states(state(poses[0], poses[1]), state(poses[2], poses[3]))))
    first, _ = env.reset(seed=0)
    np.testing.assert_allclose(first["state"]["tcp_pose"], [0, 0, 0, 0, 0, 0, 1], atol=1e-6)
    second, *_ = env.step(np.zeros(7))

    def matrix(pose):
        homogeneous = np.eye(4)
        homogeneous[:3, :3] = Rotation.from_quat(pose[3:]).as_matrix()
        homogeneous[:3, 3] = pose[:3]
        return homogeneous

    for key, pose in (("tcp_pose", poses[2]), ("thing_pose", poses[3])):
        expected = np.linalg.inv(matrix(poses[0])) @ matrix(pose)
        np.testing.assert_allclose(matrix(second["state"][key]), expected, atol=1e-5)
        assert second["state"][key][6] >= 0
        assert second["state"][key].dtype == np.float32


def test_what_is_seen_does_not_depend_on_where_the_robot_stands():
    rng = np.random.default_rng(5)
    a, b, thing = (random_pose(rng) for _ in range(3))
    moved = Rotation.random(rng=rng)

    def elsewhere(pose):
        turned = (moved * Rotation.from_quat(pose[3:])).as_quat(canonical=True)
        return np.concatenate([moved.apply(pose[:3]) + [1, 2, 3], turned])

    seen = []
    for place in (lambda pose: pose, elsewhere):
        env = RelativeFrame(
            GenericEnv(state=states(state(place(a), place(thing)), state(place(b), place(thing))))
        )
        env.reset(seed=0)
        seen.append(env.step(np.zeros(7))[0]["state"])
    for key in ("tcp_pose", "thing_pose"):
        np.testing.assert_allclose(seen[0][key], seen[1][key], atol=1e-5)


def test_inner_observations_and_spaces_are_left_alone():
    base = GenericEnv()
    env = RelativeFrame(base)
    raw = state(DOWN)
    base._state = lambda: raw
    env.reset(seed=0)
    np.testing.assert_array_equal(raw["tcp_pose"], np.array(DOWN, np.float32))
    assert env.observation_space is base.observation_space


def test_wrong_orders_are_refused():
    with pytest.raises(ConfigError, match="RelativeFrame needs tcp_pose"):
        RelativeFrame(RotationRepresentation(GenericEnv()))
    with pytest.raises(ConfigError, match="dictionary `state`"):
        RelativeFrame(FlattenProprioception(GenericEnv()))
