"""Behaviour cloning does what it was shown."""

import dataclasses

import torch

from hilserl_envs.learning.batch import Observations
from hilserl_envs.learning.bc import BehaviourCloning
from hilserl_envs.learning.fresh_crops import FreshCrops
from tests.learning_batches import ACTIONS, IMAGES, STATE, TINY, batch_of_squares, random_batch
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


def test_from_pixels_it_does_what_it_was_shown():
    """Actions that only the images tell, on images that it never saw."""
    settings = dataclasses.replace(QUICK, cnn_channels=(8, 16), spatial_features=4, bottleneck_dim=32)
    agent = BehaviourCloning(STATE, IMAGES, ACTIONS, 1, settings, cnn=torch.float32)
    agent.fresh_crops = FreshCrops(None)

    def shown(step: int, count: int = 64):
        batch, places = batch_of_squares(step, count)
        return batch._replace(actions=places / 2, grippers=torch.where(places[:, 1] > 0, 2, 0))

    def errors() -> tuple[float, float]:
        with torch.no_grad():
            latent = agent.policy.observation(unseen.observations)
            mean, _ = agent.policy.gaussian(latent)
            commands = agent.policy.gripper(latent).argmax(-1)
        wrong = (commands != unseen.grippers).float().mean().item()
        return ((torch.tanh(mean) - unseen.actions) ** 2).mean().item(), wrong

    unseen = shown(10_000)
    before, _ = errors()
    for step in range(150):
        agent.update([shown(step)])
    after, wrong = errors()
    # A shift by 4 of 20 pixels moves what is shown: the square's own place is all that it can learn.
    assert after < 0.15 * before and wrong < 0.15


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
