"""SAC's laws, and small problems that it solves."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from hilserl_envs.learning.batch import Batch, Observations
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.fresh_crops import FreshCrops
from hilserl_envs.learning.networks import sample_tanh
from hilserl_envs.learning.returns import Returns
from hilserl_envs.learning.sac import SAC
from hilserl_envs.learning.settings import AgentSettings
from tests.learning_batches import ACTIONS, IMAGES, MAPS, STATE, TINY, batch_of_squares, random_batch
from tests.one_thread import one_thread  # noqa: F401

DISCOUNT = 0.9
LAWS = dataclasses.replace(TINY, discount=DISCOUNT, activation="relu")
QUICK = AgentSettings(
    hidden_dims=(32, 32), proprioception_dim=16, learning_rate=5e-3, activation="relu", discount=0.5,
    soft_target_update_rate=0.05,
)  # fmt: skip


def make(settings=LAWS, maps=MAPS, grippers=1, seed=0) -> SAC:
    return SAC(STATE, maps, ACTIONS, grippers, settings, seed)


def copy_of(tensors) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def parameters(agent: SAC, *names: str) -> list[torch.Tensor]:
    return [p for name in names for p in agent.modules[name].parameters()]


def same(these, those) -> bool:
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def learned(agent: SAC) -> list[torch.Tensor]:
    """What the targets follow, in their order."""
    parts = [agent.policy.observation, agent.critics]
    parts += [] if agent.policy.gripper is None else [agent.policy.gripper]
    return [parameter for part in parts for parameter in part.parameters()]


def next_values(agent: SAC, batch: Batch) -> torch.Tensor:
    """The target critics' values (E, N) of the actions that the next update will draw."""
    generator = torch.Generator()
    generator.set_state(agent.generator.get_state())
    observe, critics, *_ = agent.modules["targets"]
    with torch.no_grad():
        mean, deviation = agent.policy.gaussian(agent.policy.observation(batch.next_observations))
        actions, _ = sample_tanh(mean, deviation, torch.randn(mean.shape, generator=generator))
        return critics(observe(batch.next_observations), actions)


@pytest.mark.parametrize("grippers", [0, 1])
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_targets_follow_by_their_rate(grippers, rate):
    agent = make(dataclasses.replace(LAWS, soft_target_update_rate=rate), grippers=grippers)
    targets = parameters(agent, "targets")
    assert same(targets, learned(agent))  # where they start
    for step in range(3):
        before = copy_of(targets)
        agent.update([random_batch(step, grippers=grippers)])
        for was, now, goal in zip(before, targets, learned(agent), strict=True):
            torch.testing.assert_close(now, was + rate * (goal - was))


def test_targets_follow_once_for_every_batch():
    agent = make(dataclasses.replace(LAWS, soft_target_update_rate=1.0))
    agent.update([random_batch(0), random_batch(1)])
    assert same(parameters(agent, "targets"), learned(agent))


def test_nothing_follows_a_termination():
    agent, batch = make(), random_batch(masks=torch.zeros(8))
    assert agent.update([batch])["target_q"] == pytest.approx(batch.rewards.mean().item(), abs=1e-6)


def test_a_truncation_bootstraps_from_the_least_critic():
    agent, batch = make(), random_batch(masks=torch.ones(8))
    values = next_values(agent, batch)
    assert (values[0] < values[1]).any() and (values[0] > values[1]).any()
    expected = (batch.rewards + DISCOUNT * values.min(0).values).mean().item()
    assert agent.update([batch])["target_q"] == pytest.approx(expected, abs=1e-5)


def test_of_a_subset_of_the_critics_the_least_counts_and_the_subset_changes():
    agent = make(dataclasses.replace(LAWS, critic_ensemble_size=4, critic_subsample_size=2))
    pairs = list(itertools.combinations(range(4), 2))
    seen = set()
    for step in range(40):
        batch = random_batch(step, count=1, masks=torch.ones(1), rewards=torch.zeros(1))
        values = next_values(agent, batch)[:, 0]
        target = agent.update([batch])["target_q"]
        fits = [pair for pair in pairs if DISCOUNT * values[list(pair)].min().item() == pytest.approx(target)]
        assert fits
        seen.add(fits[0])
    assert len(seen) > 2


@pytest.mark.parametrize("clip", [True, False])
def test_targets_are_kept_to_what_rewards_allow(clip):
    """Success is worth 1 and ends the episode: nothing can be worth 5."""
    agent = make(dataclasses.replace(LAWS, clip_targets=clip))
    agent.returns = Returns.of(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    batch = random_batch(rewards=torch.full((8,), 5.0), masks=torch.zeros(8))
    assert agent.update([batch])["target_q"] == pytest.approx(1.0 if clip else 5.0)
    batch = random_batch(rewards=torch.full((8,), -5.0), penalties=torch.zeros(8), masks=torch.zeros(8))
    assert agent.update([batch])["target_q"] == pytest.approx(0.0 if clip else -5.0)


def test_entropy_is_in_the_target_only_where_it_is_asked_for():
    settings = dataclasses.replace(LAWS, temperature_init=1.0)
    batch = random_batch(masks=torch.ones(8))
    without = make(settings).update([batch])["target_q"]
    with_entropy = make(dataclasses.replace(settings, backup_entropy=True)).update([batch])["target_q"]
    agent = make(settings)
    with torch.no_grad():
        mean, deviation = agent.policy.gaussian(agent.policy.observation(batch.next_observations))
        _, log_density = sample_tanh(mean, deviation, agent.noise(mean.shape))
    assert with_entropy - without == pytest.approx(-DISCOUNT * log_density.mean().item(), abs=1e-5)


def test_the_critics_step_leaves_the_policy_alone_and_the_policys_the_critics():
    agent = make()
    policy, temperature = list(agent.policy.gaussian.parameters()), agent.temperature.item()
    before = copy_of(policy)
    agent._update_critics(random_batch())
    assert same(policy, before) and agent.temperature.item() == temperature
    critics = [*learned(agent), *parameters(agent, "targets")]
    before_critics = copy_of(critics)
    agent._update_actor(random_batch())
    assert same(critics, before_critics)
    assert not same(policy, before) and agent.temperature.item() != temperature


def test_everything_that_is_learned_moves():
    agent = make()
    before = copy_of([*learned(agent), *agent.policy.gaussian.parameters()])
    agent.update([random_batch()])
    after = [*learned(agent), *agent.policy.gaussian.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize(("scale", "grows"), [(10.0, False), (0.0, True)])
def test_the_temperature_brings_the_entropy_towards_its_target(scale, grows):
    """A target far below the entropy makes it colder; one above, warmer."""
    settings = dataclasses.replace(LAWS, target_entropy_scale=scale, std_init=0.1, learning_rate=1e-2)
    agent = make(settings)
    first = agent.temperature.item()
    entropy = agent.update([random_batch()])["entropy"]
    assert (entropy < -scale * ACTIONS) == grows
    assert (agent.temperature.item() > first) == grows


def bandit(agent: SAC, reward, updates: int, mask: float = 0.0) -> list[dict[str, float]]:
    """Learn from actions at random, each an episode (or, with a mask of 1, followed by its like)."""
    count, metrics = 64, []
    commands = 1 if agent.policy.gripper is None else agent.policy.gripper.value.out_features
    grippers = round(math.log(commands, 3))
    for step in range(updates):
        batch = random_batch(
            step, count, grippers, {}, masks=torch.full((count,), mask), penalties=torch.zeros(count),
            expert=torch.zeros(count),
        )  # fmt: skip
        rewards, penalties = reward(batch)
        metrics.append(agent.update([batch._replace(rewards=rewards, penalties=penalties)]))
    return metrics


def test_a_bandit_is_solved():
    """The best action depends on the state."""
    agent = make(QUICK, maps={}, grippers=0)

    def best(state):
        return torch.tanh(torch.stack([state[:, 0], -state[:, 1]], -1)) / 2

    def reward(batch):
        return -((batch.actions - best(batch.observations.state)) ** 2).sum(-1), batch.penalties

    bandit(agent, reward, updates=300)
    states = torch.randn(200, STATE, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        mean, _ = agent.policy.gaussian(agent.policy.observation(Observations(states, {})))
    assert ((torch.tanh(mean) - best(states)) ** 2).mean().sqrt().item() < 0.12


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_entropy_comes_near_its_target_where_actions_matter(scale):
    settings = dataclasses.replace(QUICK, target_entropy_scale=scale, temperature_init=0.05)
    agent = make(settings, maps={}, grippers=0)
    metrics = bandit(agent, lambda batch: (-2 * (batch.actions**2).sum(-1), batch.penalties), 200)
    entropy = sum(each["entropy"] for each in metrics[-20:]) / 20
    assert entropy == pytest.approx(-scale * ACTIONS, abs=0.6)


def test_what_follows_for_ever_is_worth_the_discounted_sum():
    """Reward 1 at every step: 1 where the episode terminates, 1 / (1 - discount) where it goes on."""
    for mask, worth in [(0.0, 1.0), (1.0, 2.0)]:
        agent = make(QUICK, maps={}, grippers=1)
        last = bandit(agent, lambda batch: (torch.ones(64), batch.penalties), 150, mask=mask)[-1]
        assert last["q"] == pytest.approx(worth, rel=0.1)
        assert last["gripper_q"] == pytest.approx(worth, rel=0.1)


def test_a_chain_of_two_steps_is_solved():
    """Only the second step is rewarded: the first is worth the discount, which must be bootstrapped."""
    agent = make(QUICK, maps={}, grippers=0)
    states = torch.eye(3)
    step = torch.arange(64) % 2
    for number in range(150):
        batch = random_batch(
            number, 64, 0, {}, rewards=step.float(), masks=1.0 - step, penalties=torch.zeros(64)
        )
        agent.update(
            [
                batch._replace(
                    observations=Observations(states[step], {}),
                    next_observations=Observations(states[step + 1], {}),
                )
            ]
        )
    with torch.no_grad():
        latent = agent.policy.observation(Observations(states[:2], {}))
        first, second = agent.value(latent, torch.zeros(2, ACTIONS)).tolist()
    assert second == pytest.approx(1.0, abs=0.1) and first == pytest.approx(QUICK.discount, abs=0.1)


def commands(agent: SAC, states: torch.Tensor) -> list[int]:
    with torch.no_grad():
        return agent.policy.gripper(agent.policy.observation(Observations(states, {}))).argmax(-1).tolist()


def test_a_gripper_learns_when_to_close_and_when_to_open():
    agent = make(QUICK, maps={}, grippers=1)

    def reward(batch):
        wanted = torch.where(batch.observations.state[:, 0] > 0, 2, 0)
        return (batch.grippers == wanted).float(), batch.penalties

    bandit(agent, reward, 150)
    states = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.7, 1.0, -1.0], [-0.7, 1.0, -1.0]])
    assert commands(agent, states) == [2, 0, 2, 0]


def test_two_grippers_learn_a_joint_command():
    agent = make(QUICK, maps={}, grippers=2)
    bandit(agent, lambda batch: ((batch.grippers == 5).float(), batch.penalties), 100)
    assert commands(agent, torch.zeros(1, STATE)) == [5]


def test_the_penalty_of_a_command_decides_where_nothing_else_does():
    agent = make(QUICK, maps={}, grippers=1)
    bandit(agent, lambda batch: (torch.zeros(64), -0.3 * (batch.grippers != 1).float()), 150)
    assert commands(agent, torch.randn(20, STATE)) == [1] * 20


def test_the_penalty_is_the_gripper_critics_alone():
    batch = random_batch(masks=torch.zeros(8))
    costly = batch._replace(penalties=batch.penalties - 1.0)
    assert make().update([batch])["critic_loss"] == make().update([costly])["critic_loss"]
    assert make().update([batch])["gripper_loss"] != make().update([costly])["gripper_loss"]


def test_the_gripper_critic_chooses_by_itself_and_values_by_its_target():
    """Double DQN."""
    agent = make(maps={}, grippers=2)
    batch = random_batch(1, grippers=2, maps={}, masks=torch.ones(8))
    with torch.no_grad():
        for parameter in agent.modules["targets"].parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        observe, _, target = agent.modules["targets"]
        after = batch.next_observations
        by_target = target(observe(after))
        chosen = agent.policy.gripper(agent.policy.observation(after)).argmax(-1)
        assert (chosen != by_target.argmax(-1)).any()
        value = by_target[torch.arange(8), chosen]
        goal = batch.rewards + batch.penalties + DISCOUNT * value
        now = agent.policy.gripper(agent.policy.observation(batch.observations))[
            torch.arange(8), batch.grippers
        ]
    assert agent.update([batch])["gripper_loss"] == pytest.approx(((now - goal) ** 2).mean().item(), rel=1e-4)


def test_without_a_gripper_nothing_is_said_of_one():
    metrics = make(grippers=0).update([random_batch(grippers=0)])
    assert not any("gripper" in name for name in metrics)
    assert {"q", "critic_loss", "actor_loss", "entropy", "temperature"} <= set(metrics)


def test_imitation_brings_the_policy_to_the_experts_actions_and_to_no_others():
    settings = dataclasses.replace(QUICK, imitation=50.0)
    agent = make(settings, maps={}, grippers=0)
    expert = (torch.arange(64) % 2).float()
    actions = torch.where(expert[:, None] == 1, 0.5, -0.9).expand(64, ACTIONS).contiguous()
    for step in range(100):
        agent.update([random_batch(step, 64, 0, {}, rewards=torch.zeros(64), expert=expert, actions=actions)])
    with torch.no_grad():
        mean, _ = agent.policy.gaussian(agent.policy.observation(random_batch(5, 64, 0, {}).observations))
    torch.testing.assert_close(torch.tanh(mean), torch.full((64, ACTIONS), 0.5), atol=0.15, rtol=0)


# From pixels


def make_from_pixels(settings=LAWS, grippers=1) -> SAC:
    agent = SAC(STATE, IMAGES, ACTIONS, grippers, settings, cnn=torch.float32)
    agent.fresh_crops = FreshCrops(None)
    return agent


def test_a_cnn_learns_with_the_critics_and_its_target_follows():
    agent = make_from_pixels(dataclasses.replace(LAWS, soft_target_update_rate=0.2))
    cnn, batch = list(agent.policy.observation.cnn.parameters()), batch_of_squares()[0]
    target = list(agent.modules["targets"][0].cnn.parameters())
    assert len(cnn) == 4 and same(target, cnn)
    before = copy_of(cnn)
    agent._update_actor(batch)
    assert same(cnn, before)
    agent._update_critics(batch)
    for was, now, follows in zip(before, cnn, target, strict=True):
        assert not torch.equal(now, was)
        torch.testing.assert_close(follows, was + 0.2 * (now - was))


def test_what_images_are_worth_is_learned_from_pixels():
    """An action is rewarded for being where the squares are, in images that it never saw."""
    settings = dataclasses.replace(QUICK, cnn_channels=(8, 16), spatial_features=4, bottleneck_dim=32)
    agent = make_from_pixels(settings, grippers=0)

    def drawn(step: int) -> Batch:
        batch, places = batch_of_squares(step, 64, 0)
        return batch._replace(rewards=(places > 0).all(-1).float(), masks=torch.zeros(64))

    losses = [agent.update([drawn(step)])["critic_loss"] for step in range(120)]
    assert sum(losses[-10:]) < 0.4 * sum(losses[:10])
    unseen = drawn(10_000)
    with torch.no_grad():
        value = agent.value(agent.policy.observation(unseen.observations), unseen.actions)
    assert value[unseen.rewards == 1].mean() > value[unseen.rewards == 0].mean() + 0.4


def test_crops_keep_it_from_learning_a_batch_by_heart():
    settings = dataclasses.replace(QUICK, cnn_channels=(8, 16), dropout=0.0)
    batch = batch_of_squares(count=16)[0]._replace(masks=torch.zeros(16))
    cropped, uncropped = make_from_pixels(settings), make_from_pixels(settings)
    uncropped.fresh_crops = None
    for _ in range(50):
        moving, still = (agent.update([batch])["critic_loss"] for agent in (cropped, uncropped))
    assert still < 0.02 and moving > 5 * still


def test_a_frozen_encoder_may_see_crops_that_are_drawn_anew_at_every_update():
    encoder = make_encoder()
    maps = {camera: encoder.feature_shape(32, 32) for camera in IMAGES}
    agents = [make(maps=maps) for _ in range(3)]
    for agent in agents[:2]:
        agent.fresh_crops = FreshCrops(encoder)
    batch = batch_of_squares()[0]
    first, again = (agent.update([batch]) for agent in agents[:2])
    assert first == again != agents[0].update([batch])
    # As on features of the same crops.
    seen = {
        name: agents[2].see(FreshCrops(encoder)(getattr(batch, name), agents[2].generator))
        for name in ("observations", "next_observations")
    }
    assert agents[2].update([batch._replace(**seen)]) == first
