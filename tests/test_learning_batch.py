"""Actions in their parts and back; states as rows, in an order of their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.batch import ActionParts, Inputs
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.tasks.setup import laid_out
from tests.generic_env import GenericEnv

AXES = ("x", "y", "z", "rx", "ry", "rz")
LAYOUTS = [
    [("", False, AXES)],
    [("", True, AXES)],
    [("", True, ("x", "rz"))],
    [("left/", True, AXES), ("right/", True, ("z",))],
    [("left/", True, AXES), ("right/", False, AXES)],
    [("left/", True, ("x",)), ("mid/", True, ("y",)), ("right/", True, ("z",))],
]


@pytest.fixture(params=LAYOUTS, ids=str)
def parts(request):
    return ActionParts(laid_out(request.param))


def test_joint_commands_are_all_different_and_come_back(parts):
    motion = np.linspace(-0.9, 0.9, len(parts.motions), dtype=np.float32)
    actions = np.array([parts.join(motion, command) for command in range(3 ** len(parts.grippers))])
    assert actions.dtype == np.float32
    assert len(np.unique(actions[:, parts.grippers], axis=0)) == len(actions)
    assert set(actions[:, parts.grippers].ravel()) <= {-1.0, 0.0, 1.0}
    motions, commands = parts.split(actions)
    np.testing.assert_array_equal(motions, np.tile(motion, (len(actions), 1)))
    np.testing.assert_array_equal(commands, np.arange(len(actions)))


@given(st.integers(0, 2**32 - 1))
def test_an_action_does_the_same_once_it_was_split(seed):
    """What is between the thresholds stays, on either side of zero."""
    layout = laid_out(LAYOUTS[3])
    parts = ActionParts(layout)
    action = np.random.default_rng(seed).uniform(-1, 1, (1, layout[-1].stop))
    (motion,), (command,) = parts.split(action)
    again = parts.join(motion, command)
    np.testing.assert_allclose(again[parts.motions], action[0, parts.motions], atol=1e-7)
    asked = action[0, parts.grippers]
    expected = np.where(asked > 0.5, 1, np.where(asked < -0.5, -1, 0))
    np.testing.assert_array_equal(again[parts.grippers], expected)


def test_a_task_without_a_gripper_has_one_command():
    parts = ActionParts(laid_out([("", False, AXES)]))
    _, commands = parts.split(np.ones((3, 6)))
    assert parts.grippers == [] and commands.tolist() == [0, 0, 0]


def test_rows_are_the_same_from_an_environment_and_from_a_store(tmp_path):
    env = GenericEnv(arms=2)
    inputs, schema = Inputs.of_env(env), Schema.of_env(env)
    observation, _ = env.reset(seed=3)
    with EpisodeWriter(tmp_path, schema, sync=False) as writer:
        writer.begin(observation)
        writer.end(kept=True)
    row = inputs.row(observation)
    assert row.shape == (inputs.state_size,) and row.dtype == np.float32
    np.testing.assert_array_equal(inputs.rows(EpisodeStore(tmp_path).records), row[None])
    first = 0
    for key, size in inputs.state.items():
        _, arm_and_key = key.split("/", 1)
        np.testing.assert_array_equal(row[first : first + size], observation["state"][arm_and_key])
        first += size
    assert inputs.cameras == schema.images and inputs.cameras


def test_every_number_has_a_least_deviation():
    env = hilserl_envs.make_env("PickCube", obs="state", flatten=False)
    inputs = Inputs.of_env(env)
    env.close()
    assert inputs.scales.shape == (inputs.state_size,) and (inputs.scales > 0).all()
    first = list(inputs.state).index("state/tcp_pose")
    before = sum(list(inputs.state.values())[:first])
    metres, radians = inputs.scales[before : before + 3], inputs.scales[before + 3 : before + 6]
    assert (metres < radians).all()


def test_learning_needs_a_state():
    class Images(GenericEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = self.observation_space["images"]

    with pytest.raises(ConfigError, match="only images"):
        Inputs.of_env(Images())


def test_a_store_that_lacks_something_is_refused():
    inputs = Inputs({"state/tcp_pose": 6, "state/q": 7}, {"images/eye": (32, 32, 3)})
    whole = {"state/tcp_pose": Leaf((6,)), "state/q": Leaf((7,)), "state/more": Leaf((2,))}
    eye = {"images/eye": (32, 32, 3)}
    inputs.check_store(Schema(whole, eye, Leaf((1,))), "it")
    for observations, images, message in [
        ({**whole, "state/tcp_pose": Leaf((7,))}, eye, "'state/tcp_pose' has 7 numbers, not 6"),
        ({"state/tcp_pose": Leaf((6,))}, eye, "'state/q' is absent"),
        (whole, {}, "'images/eye' is absent"),
        (whole, {"images/eye": (64, 64, 3)}, r"\(64, 64, 3\), not \(32, 32, 3\)"),
    ]:
        with pytest.raises(ConfigError, match=f"it does not hold what .*{message}.*Record with the same"):
            inputs.check_store(Schema(observations, images, Leaf((1,))), "it")
