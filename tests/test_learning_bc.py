"""Behaviour cloning does what it was shown."""

import dataclasses

import torch

from hilserl_envs.learning.batch import Observations
from hilserl_envs.learning.bc import BehaviourCloning
from tests.learning_batches import ACTIONS, STATE, TINY, random_batch
from tests.one_thread import one_thread  # noqa: F401

QUICK = dataclasses.replace(TINY, bc_hidden_dims=(32, 32), bc_dropout=0.0, learning_rate=5e-3)


def shown(step: int, count: int = 64):
    """Actions and commands that follow from the state."""
    batch = random_batch(step, count, maps={})
    state = batch.observations.state
    actions = torch.tanh(torch.stack([state[:, 0], -state[:, 1]], -1)) / 2
    return batch._replace(actions=actions, grippers=torch.where(state[:, 2] > 0, 2, 0))


def test_it_does_what_it_was_shown():
    agent = BehaviourCloning(STATE, {}, ACTIONS, 1, QUICK)
    losses = [agent.update([shown(2 * step), shown(2 * step + 1)]) for step in range(150)]
    assert losses[-1]["bc_loss"] < 0.1 * losses[0]["bc_loss"]
    test = shown(10_000)
    with torch.no_grad():
        latent = agent.policy.observation(Observations(test.observations.state, {}))
        mean, _ = agent.policy.gaussian(latent)
        commands = agent.policy.gripper(latent).argmax(-1)
    assert (torch.tanh(mean) - test.actions).abs().mean() < 0.05
    sure = test.observations.state[:, 2].abs() > 0.2
    assert torch.equal(commands[sure], test.grippers[sure])


def test_rewards_and_ends_mean_nothing_to_it():
    agents = [BehaviourCloning(STATE, {}, ACTIONS, 1, QUICK) for _ in range(2)]
    batch = shown(0)
    first = agents[0].update([batch])
    other = batch._replace(rewards=batch.rewards + 5, masks=1 - batch.masks, penalties=batch.penalties - 1)
    assert agents[1].update([other]) == first


def test_its_deviation_is_not_learned():
    agent = BehaviourCloning(STATE, {}, ACTIONS, 0, QUICK)
    before = [parameter.clone() for parameter in agent.policy.gaussian.log_std.parameters()]
    agent.update([random_batch(0, grippers=0, maps={})])
    after = agent.policy.gaussian.log_std.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_every_batch_is_a_step_and_all_are_one_update():
    agent, other = (BehaviourCloning(STATE, {}, ACTIONS, 1, QUICK) for _ in range(2))
    agent.update([shown(0), shown(1)])
    other.update([shown(0)])
    other.update([shown(1)])
    assert (agent.updates, other.updates) == (1, 2)
    left_out = {"updates"}
    for name, tensor in agent.state().items():
        assert name in left_out or torch.equal(tensor, other.state()[name]), name
