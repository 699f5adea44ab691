import threading
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit

from hilserl_envs.errors import ActionError, ConfigError, RobotError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.robot import FakeRobot
from hilserl_envs.twin.vector import ThreadVectorEnv
from tests.generic_env import GenericEnv

NUM_ENVS = 3
HORIZON = 4
STEPS = 11


def flat(tree) -> dict:
    """Leaves of nested dictionaries by path."""
    if isinstance(tree, np.ndarray) and tree.dtype == object:  # a vector's final observations
        tree = {str(i): item for i, item in enumerate(tree)}
    if not isinstance(tree, dict):
        return {"": tree}
    return {f"{key}/{path}": leaf for key, inner in tree.items() for path, leaf in flat(inner).items()}


def assert_same(a, b):
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def make_single():
    return TimeLimit(FrankaEnv("PickCube", obs="both", image_size=16), HORIZON)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_bit_identical_to_single_environments_in_every_autoreset_mode(mode):
    """Against gymnasium's own sequential vector environment of the same environments."""
    threads = gymnasium.make_vec(
        "hilserl/PickCube-v0",
        num_envs=NUM_ENVS,
        obs="both",
        image_size=16,
        max_episode_steps=HORIZON,
        autoreset_mode=mode,
    )
    single = gymnasium.vector.SyncVectorEnv([make_single] * NUM_ENVS, autoreset_mode=mode)
    rng = np.random.default_rng(0)
    for result in zip(threads.reset(seed=5), single.reset(seed=5), strict=True):
        assert_same(*result)
    for _ in range(STEPS):
        actions = rng.uniform(-1, 1, threads.action_space.shape).astype(np.float32)
        stepped = threads.step(actions), single.step(actions)
        for ours, theirs in zip(*stepped, strict=True):
            assert_same(ours, theirs)
        over = stepped[0][2] | stepped[0][3]
        if mode == AutoresetMode.DISABLED and over.any():
            for ours, theirs in zip(
                threads.reset(options={"reset_mask": over}),
                single.reset(options={"reset_mask": over}),
                strict=True,
            ):
                assert_same(ours, theirs)
    threads.close()
    single.close()


def test_the_vector_environment_is_registered_for_every_task():
    envs = gymnasium.make_vec("hilserl/RamInsertion-v0", num_envs=2, obs="state")
    assert isinstance(envs.unwrapped, ThreadVectorEnv)
    observation, info = envs.reset(seed=[4, 9])
    assert envs.observation_space.contains(observation)
    alone = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
    expected, _ = alone.reset(seed=9)
    np.testing.assert_array_equal(observation["state"]["tcp_pose"][1], expected["state"]["tcp_pose"])
    envs.close()
    envs.close()


def test_an_error_in_one_environment_reaches_the_caller_and_mixes_nothing_up():
    class Fragile(GenericEnv):
        broken = True

        def step(self, action):
            if self.broken:
                raise RuntimeError("lost the arm")
            return super().step(action)

    envs = ThreadVectorEnv([Fragile, GenericEnv, GenericEnv])
    expected = gymnasium.vector.SyncVectorEnv([GenericEnv] * 3)
    envs.reset(seed=0)
    with pytest.raises(RuntimeError, match="lost the arm"):
        envs.step(envs.action_space.sample())
    Fragile.broken = False
    envs.reset(seed=1)
    expected.reset(seed=1)
    action = envs.action_space.sample()
    assert_same(envs.step(action)[0], expected.step(action)[0])
    envs.close()


def test_pictures_are_drawn_on_the_environments_own_threads():
    envs = gymnasium.make_vec("hilserl/PickCube-v0", num_envs=2, obs="state", render_mode="rgb_array")
    envs.reset(seed=0)
    first, second = envs.render()
    assert first.shape == second.shape and first.std() > 10
    assert (first != second).any()
    envs.close()


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        ThreadVectorEnv([])
    envs = ThreadVectorEnv([GenericEnv] * 2)
    with pytest.raises(ConfigError, match="got 3 seeds for 2"):
        envs.reset(seed=[1, 2, 3])
    envs.reset(seed=np.int64(3))
    envs.close()


def test_observations_are_fresh_arrays_every_step():
    envs = ThreadVectorEnv([GenericEnv] * 2)
    first, _ = envs.reset(seed=0)
    kept = {path: leaf.copy() for path, leaf in flat(first).items()}
    second, *_ = envs.step(envs.action_space.sample())
    for path, leaf in flat(first).items():
        np.testing.assert_array_equal(leaf, kept[path])
        assert not np.shares_memory(leaf, flat(second)[path])
    envs.close()


def test_a_batch_that_is_refused_moves_nothing():
    envs = gymnasium.make_vec("hilserl/PickCube-v0", num_envs=2, obs="state")
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(envs.action_space.sample())
    envs.reset(seed=0)
    for wrong in (np.zeros((3, 7)), np.zeros((1, 7)), np.zeros(7), np.full((2, 7), np.nan), None):
        with pytest.raises(ActionError):
            envs.step(wrong)
    assert [env.unwrapped.robot_state.time for env in envs.envs] == [0.0, 0.0]
    envs.close()
    for call in (lambda: envs.step(np.zeros((2, 7))), envs.reset):
        with pytest.raises(RobotError, match="closed"):
            call()


def test_many_environments_never_share_a_robot():
    with pytest.raises(ConfigError, match="command one robot"):
        gymnasium.make_vec("hilserl/PickCube-v0", num_envs=2, robot=FakeRobot())
    with pytest.raises(ConfigError, match="whole number"):
        gymnasium.make_vec("hilserl/PickCube-v0", num_envs=2.5)


def test_no_thread_outlives_a_constructor_that_fails():
    before = threading.active_count()
    with pytest.raises(ConfigError):
        gymnasium.make_vec("hilserl/PickCube-v0", num_envs=3, settings={"nothing": 1})

    def fail():
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        ThreadVectorEnv([GenericEnv, GenericEnv, fail])
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
