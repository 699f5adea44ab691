"""What all agents share: they go on to the bit from their state, and stop at what is not finite."""

import dataclasses
import math

import pytest
import torch

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.bc import BehaviourCloning
from hilserl_envs.learning.fresh_crops import FreshCrops
from hilserl_envs.learning.sac import SAC
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
from tests.learning_batches import (
    ACTIONS,
    IMAGES,
    MAPS,
    STATE,
    TINY,
    batch_of_squares,
    random_batch,
    random_observations,
)
from tests.one_thread import one_thread  # noqa: F401

SUBSETS = dataclasses.replace(TINY, critic_ensemble_size=4, critic_subsample_size=2, imitation=0.5)


@pytest.fixture(params=[SAC, BehaviourCloning])
def kind(request):
    return request.param


def make(kind, seed=0, settings=SUBSETS, maps=MAPS, grippers=1):
    return kind(STATE, maps, ACTIONS, grippers, settings, seed)


def batches(first: int, grippers: int = 1):
    return [random_batch(first + number, grippers=grippers) for number in range(2)]


def test_on_another_kind_of_device_it_goes_on_with_other_noise(kind):
    """A GPU's generator has a state of 16 bytes."""
    agent, other = make(kind), make(kind, seed=1)
    agent.update(batches(0))
    state = agent.state() | {"generator": torch.zeros(16, dtype=torch.uint8)}
    other.load_state(state)
    assert changed(state | {"generator": other.generator.get_state()}, other) == set()
    first = other.noise((3,))
    other.load_state(state)
    assert torch.equal(other.noise((3,)), first)  # to the bit again, there


def copy_of(agent) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.state().items()}


def changed(before: dict[str, torch.Tensor], agent) -> set[str]:
    """Names of what is another now."""
    return {name for name, tensor in agent.state().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("grippers", [0, 1, 2])
def test_from_its_state_it_goes_on_to_the_bit(kind, grippers, tmp_path):
    agent = make(kind, grippers=grippers)
    for step in range(3):
        agent.update(batches(10 * step, grippers))
    save_tensors(tmp_path / "state.safetensors", agent.state(), {})
    other = make(kind, seed=1, grippers=grippers)
    other.update(batches(7, grippers))
    other.load_state(load_tensors(tmp_path / "state.safetensors")[0])
    assert other.updates == 3
    for step in range(3, 6):
        assert agent.update(batches(10 * step, grippers)) == other.update(batches(10 * step, grippers))
    assert not changed(copy_of(agent), other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_from_pixels_whose_crops_it_draws(kind, dtype, tmp_path):
    def make(seed: int):
        agent = kind(STATE, IMAGES, ACTIONS, 1, SUBSETS, seed, cnn=dtype)
        agent.fresh_crops = FreshCrops(None)
        return agent

    def batches(step: int):
        return [batch_of_squares(2 * step + number)[0] for number in range(2)]

    agent, other = make(0), make(1)
    for step in range(2):
        agent.update(batches(step))
        other.update(batches(step))
    save_tensors(tmp_path / "state.safetensors", agent.state(), {})
    other.load_state(load_tensors(tmp_path / "state.safetensors")[0])
    for step in range(2, 4):
        assert agent.update(batches(step)) == other.update(batches(step))
    assert not changed(copy_of(agent), other)
    uncropped = make(0)
    uncropped.fresh_crops = None
    assert uncropped.update(batches(0)) != make(0).update(batches(0))


def test_a_step_goes_by_place_however_its_gradient_lies_in_memory(kind):
    """As a convolution's does: Adam's first step is as long as the learning rate, everywhere."""
    agent = make(kind)
    weight, towards = torch.nn.Parameter(torch.zeros(4, 3, 2, 2)), torch.randn(4, 3, 2, 2)
    agent.add_optimizer("other", [weight])
    loss = -(weight * towards.to(memory_format=torch.channels_last)).sum()
    assert not torch.autograd.grad(loss, [weight], retain_graph=True)[0].is_contiguous()
    agent.step("other", {"loss": loss})
    torch.testing.assert_close(weight.detach(), agent.settings.learning_rate * towards.sign())


def test_the_average_is_over_all_policies_at_first_and_then_over_the_newest(kind):
    """Weights of updates that lie far back count for less and less."""
    agent = make(kind, settings=dataclasses.replace(SUBSETS, policy_average_rate=0.25))
    seen = []
    for step in range(6):
        agent.update(batches(10 * step))
        seen.append(copy_of(agent)["policy.gaussian.mean.weight"])
    average = sum(seen[:4]) / 4
    for newest in seen[4:]:
        average = 0.75 * average + 0.25 * newest
    torch.testing.assert_close(agent.state()["average.gaussian.mean.weight"], average)


def test_the_newest_policy_alone_needs_no_average(kind):
    assert not any(name.startswith("average") for name in make(kind).state())


def test_a_fresh_agents_state_can_be_taken_too(kind):
    agent, other = make(kind), make(kind, seed=1)
    other.load_state(copy_of(agent))
    assert agent.update(batches(0)) == other.update(batches(0))


def test_the_seed_decides_on_everything(kind):
    assert not changed(copy_of(make(kind)), make(kind))
    assert changed(copy_of(make(kind)), make(kind, seed=1))
    assert make(kind).update(batches(0)) == make(kind).update(batches(0))


def test_pytorchs_own_random_numbers_are_left_alone(kind):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make(kind).update(batches(0))
    assert torch.equal(torch.rand(3), expected)


def test_another_agents_state_is_refused(kind):
    state = copy_of(make(kind))
    for settings, maps, grippers in [
        (dataclasses.replace(SUBSETS, hidden_dims=(8,), bc_hidden_dims=(8,)), MAPS, 1),
        (SUBSETS, {}, 1),
        (SUBSETS, MAPS, 2),
    ]:
        with pytest.raises(LearningError, match="state of another agent.*give the settings it had"):
            make(kind, settings=settings, maps=maps, grippers=grippers).load_state(state)
    other = BehaviourCloning if kind is SAC else SAC
    with pytest.raises(LearningError, match="another agent"):
        make(other).load_state(state)


def test_who_takes_what_is_published_acts_the_same(kind):
    agent, actor = make(kind), make(kind, seed=1)
    agent.update(batches(0))
    actor.load_published({name: tensor.clone() for name, tensor in agent.published_state().items()})
    observations = random_observations(4, torch.Generator().manual_seed(3))
    latent, expected = (a.policy.observation(observations) for a in (actor, agent))
    assert torch.equal(latent, expected)
    for given, wanted in zip(actor.policy.gaussian(latent), agent.policy.gaussian(latent), strict=True):
        assert torch.equal(given, wanted)
    assert torch.equal(actor.policy.gripper(latent), agent.policy.gripper(latent))
    values = [a.value(latent, torch.zeros(4, ACTIONS)) for a in (actor, agent)]
    assert values == [None, None] if kind is BehaviourCloning else torch.equal(*values)


def test_another_agents_weights_are_refused(kind):
    published = make(kind).published_state()
    with pytest.raises(LearningError, match="another agent's weights"):
        make(kind, maps={}).load_published(published)


def with_nan(batch, part: str, rows: list[int]):
    observations = part if part.endswith("observations") else None
    if observations is not None:
        state = getattr(batch, part).state.clone()
        state[rows, 1] = math.nan
        return batch._replace(**{part: getattr(batch, part)._replace(state=state)})
    values = getattr(batch, part).clone()
    values[rows] = math.nan
    return batch._replace(**{part: values})


@pytest.mark.parametrize("part", ["rewards", "actions", "observations", "next_observations"])
def test_what_is_not_finite_stops_it_and_changes_nothing(part):
    agent = make(SAC)
    agent.update(batches(0))
    before = copy_of(agent)
    bad = with_nan(random_batch(5), part, [2, 6])
    with pytest.raises(
        LearningError, match=r"update 2: .*nan.*the transitions \[2, 6\] are not finite.*good"
    ):
        agent.update([bad, random_batch(6)])
    assert changed(before, agent) == {"generator"}


@pytest.mark.parametrize("part", ["actions", "observations"])
def test_the_same_when_it_clones(part):
    agent = make(BehaviourCloning)
    agent.update(batches(0))
    before = copy_of(agent)
    with pytest.raises(LearningError, match=r"the transitions \[3\] are not finite"):
        agent.update([with_nan(random_batch(5), part, [3])])
    assert changed(before, agent) == {"generator"}


def test_a_loss_that_overflows_is_told_without_a_transition_to_blame():
    agent = make(SAC)
    before = copy_of(agent)
    with pytest.raises(LearningError, match="critic_loss.*inf.*learning_rate"):
        agent.update([random_batch(0, rewards=torch.full((8,), 1e30))])
    assert changed(before, agent) == {"generator"}


def test_what_states_look_like_is_told_to_every_part(kind):
    agent = make(kind)
    agent.normalise([1.0, 2.0, 3.0], [0.1, 0.2, 0.3])
    means = [tensor for name, tensor in agent.state().items() if name.endswith("state_mean")]
    assert len(means) == (2 if kind is SAC else 1)  # the targets' too
    assert all(mean.tolist() == [1.0, 2.0, 3.0] for mean in means)
