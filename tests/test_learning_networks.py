"""The networks' laws: densities, packed features, ensembles, dropout."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from hilserl_envs.learning.batch import Observations, Packed
from hilserl_envs.learning.features import pack, unpack
from hilserl_envs.learning.networks import (
    LARGEST_STATE,
    MLP,
    CameraHead,
    Critics,
    GaussianPolicy,
    ObservationNetwork,
    PolicyNetwork,
    drop_out,
    sample_tanh,
)
from tests.learning_batches import ACTIONS, MAPS, STATE, TINY, random_observations
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_the_density_of_an_action_is_that_of_the_transformed_normal():
    mean, deviation, noise = torch.randn(50, 4), torch.rand(50, 4) + 0.1, torch.randn(50, 4)
    actions, density = sample_tanh(mean, deviation, noise)
    reference = TransformedDistribution(
        Normal(mean.double(), deviation.double()), TanhTransform(cache_size=1)
    )
    expected = reference.log_prob(torch.tanh((mean + deviation * noise).double())).sum(-1)
    torch.testing.assert_close(density.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(actions, torch.tanh(mean + deviation * noise))


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.3), (-0.4, 2.0)])
def test_the_density_integrates_to_one(mean, deviation):
    actions = torch.linspace(-1 + 1e-6, 1 - 1e-6, 200_001, dtype=torch.float64)[:, None]
    noise = (torch.atanh(actions) - mean) / deviation
    _, density = sample_tanh(torch.full_like(actions, mean), torch.full_like(actions, deviation), noise)
    assert torch.trapezoid(density.exp(), actions[:, 0]).item() == pytest.approx(1, abs=5e-3)


def test_far_out_the_density_stays_finite():
    far = torch.tensor([[-30.0], [30.0]])
    actions, density = sample_tanh(far, torch.ones(2, 1), torch.zeros(2, 1))
    assert actions.abs().tolist() == [[1.0], [1.0]]  # to rounding
    # log(1 - tanh(x)^2) goes like log 4 - 2 |x|
    expected = -0.5 * math.log(2 * math.pi) - (math.log(4) - 60)
    torch.testing.assert_close(density, torch.full((2,), expected))


def test_a_head_on_packed_features_is_that_on_the_features():
    head, features = CameraHead((6, 3, 4), TINY), torch.randn(5, 6, 3, 4)
    packed = Packed(*pack(features))
    ones = torch.ones(5, 6)
    as_numbers = head(Packed(unpack(*packed), ones))
    torch.testing.assert_close(head(packed), as_numbers, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(head(Packed(features, ones)), as_numbers, atol=0.05, rtol=0)


def test_the_spatial_embedding_is_a_weighted_sum_over_each_channels_map():
    head, features = CameraHead((2, 2, 3), TINY), torch.randn(4, 2, 2, 3)
    kernel = head.spatial.kernel.reshape(2, 2, 3, TINY.spatial_features)
    expected = torch.einsum("nchw,chwf->ncf", features, kernel).flatten(1)
    torch.testing.assert_close(head.spatial(Packed(features, torch.ones(4, 2))), expected)


def test_observations_become_one_vector_each_camera_by_its_head():
    network = ObservationNetwork(STATE, MAPS, TINY)
    observations = random_observations(7, torch.Generator().manual_seed(1))
    latent = network(observations)
    assert latent.shape == (7, network.width)
    assert network.width == TINY.proprioception_dim + 2 * TINY.bottleneck_dim
    left, right = MAPS
    other = observations._replace(
        images={left: observations.images[left], right: Packed(*pack(torch.randn(7, *MAPS[right])))}
    )
    changed = (network(other) != latent).any(0)
    assert not changed[: -TINY.bottleneck_dim].any() and changed[-TINY.bottleneck_dim :].all()


def test_states_are_normalised_and_what_is_far_out_is_cut():
    network = ObservationNetwork(STATE, {}, TINY)
    mean, deviation = np.array([1.0, -2.0, 0.0]), np.array([0.1, 10.0, 1.0])
    states = torch.randn(5, STATE)
    expected = network(Observations(states, {}))
    network.normalise(mean, deviation)
    given = states * torch.tensor(deviation).float() + torch.tensor(mean).float()
    torch.testing.assert_close(network(Observations(given, {})), expected, rtol=1e-4, atol=1e-5)
    blow, harder = (
        network(Observations(torch.tensor([[1.0, -2.0 + 10 * far, 0.0]]), {}))
        for far in (LARGEST_STATE, 100 * LARGEST_STATE)
    )
    torch.testing.assert_close(blow, harder)


def test_dropout_needs_a_generator_and_keeps_the_mean():
    x = torch.ones(400, 500)
    assert drop_out(x, 0.5, None) is x
    assert drop_out(x, 0.0, torch.Generator()) is x
    dropped = drop_out(x, 0.3, torch.Generator().manual_seed(0))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    again = drop_out(x, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(dropped, again)


def test_acting_has_no_dropout():
    network = ObservationNetwork(STATE, MAPS, dataclasses.replace(TINY, dropout=0.5))
    observations = random_observations(4, torch.Generator().manual_seed(1))
    assert torch.equal(network(observations), network(observations))
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(network(observations, generator), network(observations, generator))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_ensemble_is_its_members_side_by_side(activation):
    settings = dataclasses.replace(
        TINY, critic_ensemble_size=3, critic_subsample_size=2, activation=activation
    )
    critics = Critics(5, ACTIONS, settings)
    latent, actions = torch.randn(7, 5), torch.randn(7, ACTIONS)
    values = critics(latent, actions)
    assert values.shape == (3, 7)
    for member in range(3):
        x = torch.cat([latent, actions], -1)
        for layer, norm in zip(critics.layers, critics.norms, strict=True):
            x = x @ layer.weight[member] + layer.bias[member]
            x = torch.nn.functional.layer_norm(x, x.shape[-1:], norm.weight[member, 0], norm.bias[member, 0])
            x = getattr(torch, activation)(x)
        expected = (x @ critics.value.weight[member] + critics.value.bias[member]).squeeze(-1)
        torch.testing.assert_close(values[member], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(values[0], values[1])  # they start apart


def test_a_policys_deviation_stays_in_its_range_and_starts_about_where_it_should():
    settings = dataclasses.replace(TINY, std_min=0.05, std_max=2.0, std_init=0.3)
    policy = GaussianPolicy(MLP(4, (16,), "tanh"), ACTIONS, settings)
    _, deviation = policy(torch.randn(100, 4))
    assert deviation.median().item() == pytest.approx(0.3, rel=0.5)
    with torch.no_grad():
        policy.log_std.weight.mul_(100)
    _, deviation = policy(torch.randn(100, 4))
    assert deviation.min().item() == pytest.approx(0.05) and deviation.max().item() == pytest.approx(2.0)


@pytest.mark.parametrize(("grippers", "commands"), [(1, 3), (2, 9)])
def test_one_head_values_the_joint_commands_of_all_grippers(grippers, commands):
    policy = PolicyNetwork(STATE, {}, ACTIONS, grippers, TINY)
    assert policy.gripper(torch.randn(4, policy.observation.width)).shape == (4, commands)


def test_without_grippers_there_is_no_head_for_them():
    policy = PolicyNetwork(STATE, {}, ACTIONS, 0, TINY)
    assert policy.gripper is None and not any("gripper" in name for name in policy.state_dict())
