"""A learned policy acts as its network says."""

import numpy as np
import pytest
import torch

import hilserl_envs
from hilserl_envs.learning.batch import ActionParts, Inputs
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.features import pack, unpack
from hilserl_envs.learning.networks import PolicyNetwork
from hilserl_envs.learning.policy import LearnedPolicy
from tests.learning_batches import TINY
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture(scope="module")
def seen():
    """An environment's inputs and layout, and one of its observations."""
    env = hilserl_envs.make_env("PickCube", obs="both", flatten=False, image_size=32)
    observation, _ = env.reset(seed=0)
    yield Inputs.of_env(env), env.get_wrapper_attr("action_layout"), observation, env.action_space
    env.close()


def make(seen, images=False, **settings) -> LearnedPolicy:
    inputs, layout, *_ = seen
    if not images:
        inputs = Inputs(inputs.state, {})
    encoder = make_encoder() if images else None
    maps = {key: encoder.feature_shape(*shape[:2]) for key, shape in inputs.cameras.items()}
    torch.manual_seed(0)
    network = PolicyNetwork(inputs.state_size, maps, 6, 1, TINY)
    return LearnedPolicy(network, inputs, ActionParts(layout), encoder, **settings)


def test_without_sampling_it_takes_the_mean_and_the_best_command(seen):
    policy, observation = make(seen), seen[2]
    action = policy(observation)
    assert action.shape == (7,) and action.dtype == np.float32 and seen[3].contains(action)
    with torch.no_grad():
        latent = policy.network.observation(policy.observe(observation))
        mean, _ = policy.network.gaussian(latent)
        values = policy.network.gripper(latent)
    np.testing.assert_array_equal(action[:6], torch.tanh(mean)[0])
    assert action[6] == int(values.argmax()) - 1
    np.testing.assert_array_equal(policy(observation), action)


def test_each_command_can_be_the_best(seen):
    policy = make(seen)
    for command, told in enumerate([-1.0, 0.0, 1.0]):
        with torch.no_grad():
            policy.network.gripper.value.bias.copy_(torch.eye(3)[command] * 100)
        assert policy(seen[2])[6] == told


def test_samples_are_the_seeds_and_spread_as_the_network_says(seen):
    policy, observation = make(seen, sample=True), seen[2]
    policy.start(3)
    first = [policy(observation) for _ in range(500)]
    policy.start(3)
    np.testing.assert_array_equal(first, [policy(observation) for _ in range(500)])
    policy.start(4)
    assert not np.array_equal(policy(observation), first[0])
    with torch.no_grad():
        mean, deviation = policy.network.gaussian(policy.network.observation(policy.observe(observation)))
    before_tanh = np.arctanh(np.array(first)[:, :6].astype(np.float64))
    np.testing.assert_allclose(before_tanh.mean(0), mean[0], atol=0.25 * float(deviation.max()))
    np.testing.assert_allclose(before_tanh.std(0), deviation[0], rtol=0.15)


def test_images_are_seen_uncropped_and_as_the_learner_sees_them(seen):
    """Acting takes features as they are, learning packs them: nearly the same."""
    policy, observation = make(seen, images=True), seen[2]
    observed = policy.observe(observation)
    assert list(observed.images) == ["images/front", "images/wrist_1"]
    for key, packed in observed.images.items():
        features = policy._encoder(observation["images"][key.partition("/")[2]][None])
        torch.testing.assert_close(packed.values * packed.scale[..., None, None], features)
        rounded = unpack(*pack(features))
        assert (rounded - features).abs().max() < 0.02 * features.abs().max()
    assert policy(observation).shape == (7,)


def test_cameras_may_have_images_of_different_sizes(seen):
    _, layout, observation, _ = seen
    wide = {"images/front": (32, 32, 3), "images/wrist_1": (64, 32, 3)}
    inputs, encoder = Inputs(seen[0].state, wide), make_encoder()
    maps = {key: encoder.feature_shape(*shape[:2]) for key, shape in wide.items()}
    policy = LearnedPolicy(
        PolicyNetwork(inputs.state_size, maps, 6, 1, TINY), inputs, ActionParts(layout), encoder
    )
    images = {key.partition("/")[2]: np.zeros(shape, np.uint8) for key, shape in wide.items()}
    observed = policy.observe({**observation, "images": images})
    assert {key: packed.values.shape[1:] for key, packed in observed.images.items()} == maps
    assert policy({**observation, "images": images}).shape == (7,)


def test_a_cnn_of_its_own_sees_the_images_themselves_uncropped(seen):
    inputs, layout, observation, space = seen
    maps = {key: (3, *shape[:2]) for key, shape in inputs.cameras.items()}
    network = PolicyNetwork(inputs.state_size, maps, 6, 1, TINY, cnn=torch.float32)
    policy = LearnedPolicy(network, inputs, ActionParts(layout), None)
    observed = policy.observe(observation)
    assert list(observed.images) == ["images/front", "images/wrist_1"]
    for key, image in observed.images.items():
        np.testing.assert_array_equal(image, observation["images"][key.partition("/")[2]][None])
    before = policy(observation)
    assert space.contains(before)
    for camera in ("front", "wrist_1"):
        dark = observation["images"] | {camera: np.zeros_like(observation["images"][camera])}
        assert not np.array_equal(policy({**observation, "images": dark}), before)


def test_it_says_what_its_critic_thinks_of_the_action(seen):
    asked = []

    def critic(latent, motion):
        asked.append(motion)
        return torch.tensor([0.25])

    policy = make(seen, critic=critic)
    assert policy.value is None
    action = policy(seen[2])
    assert policy.value == 0.25
    np.testing.assert_array_equal(asked[0][0], action[:6])
    assert make(seen, critic=lambda latent, motion: None)(seen[2]) is not None
    assert make(seen).value is None


def test_it_works_on_one_thread_and_leaves_the_others_as_they_were(seen):
    threads, before = [], torch.get_num_threads()
    policy = make(seen, critic=lambda latent, motion: threads.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        policy(seen[2])
        assert threads == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_weights_may_change_between_two_calls(seen):
    policy = make(seen)
    before = policy(seen[2])
    with torch.no_grad():
        policy.network.gaussian.mean.bias.add_(1.0)
    assert (policy(seen[2])[:6] > before[:6]).all()
