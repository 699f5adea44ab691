"""The actor's side: its episodes follow from the run's seed, whatever stops it in between."""

import os
import time

import numpy as np
import pytest
import torch

from hilserl_envs import teleop
from hilserl_envs.errors import LearningError
from hilserl_envs.learning.actor import REDONE, Actor, PublishedPolicy, redo_from
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.learner import Learner, make_agent
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.session import Outcome
from hilserl_envs.teleop import FakeDevice, TeleopCommand
from tests.learning_run import new_run, settings
from tests.one_thread import one_thread  # noqa: F401

SHORT = {"env": {"max_episode_steps": 6}, "demonstrations": False}


def make_run(folder, **changes) -> RunFolder:
    return RunFolder.create(folder, settings(**SHORT | changes), None)


def make_actor(run: RunFolder) -> Actor:
    network = make_agent(run, None).policy
    policy = LearnedPolicy(network, run.inputs, ActionParts(run.layout), None, sample=True)
    return Actor(run, policy)


def recorded(run: RunFolder) -> list[np.ndarray]:
    """The actions of the episodes that count."""
    store = EpisodeStore(run.replay)
    assert store.verify() == []
    return [store.episode(e.number).actions for e in store.episodes if is_usable(e)]


def check_counts(actor: Actor, run: RunFolder) -> None:
    episodes = [e for e in EpisodeStore(run.replay).episodes if e.why != REDONE]
    assert actor.episodes == len(episodes)
    assert actor.steps == sum(e.steps for e in episodes if is_usable(e))


def test_it_acts_and_records_and_counts(tmp_path):
    run = make_run(tmp_path / "run")
    actor, asked = make_actor(run), []
    for _ in range(3):
        assert actor.run_episode(lambda: asked.append(actor.steps)) == Outcome.TIME_LIMIT
    actor.close()
    check_counts(actor, run)
    assert actor.steps == 18 and asked == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17]
    store = EpisodeStore(run.replay)
    assert store.meta["session"] == {"command": "train"} and len(store) == 3
    assert len({episode.seed for episode in store.episodes}) == 3


def test_another_actor_goes_on_with_the_episodes_that_the_first_would_have_had(tmp_path):
    whole, parted = make_run(tmp_path / "whole"), make_run(tmp_path / "parted")
    actor = make_actor(whole)
    for _ in range(4):
        actor.run_episode()
    actor.close()
    for episodes in (1, 2, 1):
        actor = make_actor(parted)
        check_counts(actor, parted)
        for _ in range(episodes):
            actor.run_episode()
        actor.close()
    for one, other in zip(recorded(whole), recorded(parted), strict=True):
        np.testing.assert_array_equal(one, other)
    other = make_actor(make_run(tmp_path / "other", seed=1))
    other.run_episode()
    other.close()
    assert not np.array_equal(recorded(RunFolder(tmp_path / "other"))[0], recorded(whole)[0])


def test_episodes_that_were_taken_back_are_made_again(tmp_path):
    run = make_run(tmp_path / "run")
    actor = make_actor(run)
    for _ in range(3):
        actor.run_episode()
    actor.close()
    first = recorded(run)
    redo_from(run, 1)
    assert len(recorded(run)) == 1
    actor = make_actor(run)
    assert (actor.episodes, actor.steps) == (1, 6)
    for _ in range(2):
        actor.run_episode()
    actor.close()
    check_counts(actor, run)
    for one, again in zip(first, recorded(run), strict=True):
        np.testing.assert_array_equal(one, again)
    redo_from(run, 100)
    assert len(recorded(run)) == 3
    redo_from(make_run(tmp_path / "new"), 0)  # nothing to take back


def test_an_episode_can_be_stopped_and_counts(tmp_path):
    run = make_run(tmp_path / "run")
    actor = make_actor(run)
    assert actor.run_episode(lambda: actor.steps == 4) == Outcome.STOPPED
    actor.close()
    (episode,) = EpisodeStore(run.replay).episodes
    assert (episode.steps, episode.kept, episode.why) == (4, True, "stopped")
    check_counts(actor, run)


def test_an_overseer_remembers_how_it_went(tmp_path):
    run = make_run(tmp_path / "run", overseer={"memory": 4, "least_attention": 0.05, "last_steps": 0})
    actor = make_actor(run)
    actor.env.get_wrapper_attr("remember")([True, True, True])
    actor.run_episode()
    assert actor.env.get_wrapper_attr("attention") == 0.25
    actor.close()
    again = make_actor(run)
    assert again.env.get_wrapper_attr("attention") == 1.0  # of its one episode, which failed
    again.close()


class Told(FakeDevice):
    """What the test tells it to say, in every environment that is made."""

    script: list[TeleopCommand] = []

    @classmethod
    def for_env(cls, env, settings):
        return cls(cls.script)


@pytest.fixture
def person(monkeypatch):
    """A device whose commands, one a look, are in the list."""
    monkeypatch.setitem(teleop.DEVICES, "told", f"{__name__}:Told")
    monkeypatch.setattr(Told, "script", [])
    return Told.script


def press(role: str) -> TeleopCommand:
    return TeleopCommand(pressed=frozenset({role}))


def test_what_the_person_discards_does_not_count(tmp_path, person):
    person += [TeleopCommand()] * 6 + [TeleopCommand()] * 2 + [press("discard")]
    run = make_run(tmp_path / "run", device="told")
    actor = make_actor(run)
    outcomes = [actor.run_episode() for _ in range(3)]
    actor.close()
    assert outcomes == [Outcome.TIME_LIMIT, Outcome.DISCARDED, Outcome.TIME_LIMIT]
    assert actor.steps == 12 and len(recorded(run)) == 2
    check_counts(actor, run)
    again = make_actor(run)
    check_counts(again, run)
    again.close()


def test_what_the_person_discards_after_its_end_no_longer_counts(tmp_path, person, monkeypatch):
    """They press during the reset that follows, and once more than there is to take back."""
    still, tapped = TeleopCommand(), [press("discard"), TeleopCommand()]
    whole = [still, still, *[still] * 5]  # what was tapped while nobody looked; then a look a step
    person += [*tapped, *whole, *whole, *tapped, *tapped, *whole]
    monkeypatch.setattr(Told, "real_time", True)
    run = make_run(tmp_path / "run", device="told")
    actor = make_actor(run)
    outcomes = [actor.run_episode() for _ in range(6)]
    actor.close()
    before, over = Outcome.PREVIOUS_DISCARDED, Outcome.TIME_LIMIT
    assert outcomes == [before, over, over, before, before, over]
    assert actor.steps == 12 and len(recorded(run)) == 2
    whys = [info.why for info in EpisodeStore(run.replay).episodes]
    assert whys == ["not begun", "", "discarded", "not begun", "not begun", ""]
    check_counts(actor, run)


def test_while_the_person_pauses_it_can_be_stopped(tmp_path, person):
    person += [TeleopCommand(), press("pause")]
    actor = make_actor(make_run(tmp_path / "run", device="told"))
    asked = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 4

    assert actor.run_episode(stop) == Outcome.STOPPED
    assert actor.steps == 2
    actor.close()


def test_a_simulation_that_diverges_costs_its_episode_and_nothing_else(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    actor = make_actor(run)
    actor.run_episode()

    def spoil() -> bool:
        actor.env.unwrapped.robot.scene.physics.data.qpos[:] = np.nan
        return False

    assert actor.run_episode(spoil) == Outcome.DISCARDED
    assert "diverged" in capsys.readouterr().err
    assert actor.run_episode() == Outcome.TIME_LIMIT
    actor.close()
    episodes = EpisodeStore(run.replay).episodes
    assert [(e.steps, e.kept) for e in episodes] == [(6, True), (1, False), (6, True)]
    assert episodes[1].why == "the simulation diverged"
    check_counts(actor, run)


def test_a_reset_that_diverges_takes_no_good_episode_with_it(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    actor = make_actor(run)
    actor.run_episode()
    base, reset = actor.env.unwrapped, actor.env.unwrapped.task.arrange

    def spoil(scene, rng, in_motion):
        reset(scene, rng, in_motion)
        scene.physics.data.qpos[:] = np.nan
        scene.physics.advance(0.1)

    object.__setattr__(base.task, "arrange", spoil)
    assert actor.run_episode() == Outcome.DISCARDED
    object.__delattr__(base.task, "arrange")
    assert actor.run_episode() == Outcome.TIME_LIMIT
    actor.close()
    assert [e.kept for e in EpisodeStore(run.replay).episodes] == [True, True]


def test_a_robot_that_is_busy_elsewhere_is_let_go(tmp_path, person):
    """Whatever goes wrong while it starts, the device is free again."""
    run = make_run(tmp_path / "run", device="told")
    actor = make_actor(run)
    with pytest.raises(ValueError, match="recording into .* already"):
        make_actor(run)
    actor.close()
    make_actor(run).close()


# Policies that come from the learner


def test_the_newest_policy_is_taken(tmp_path):
    run = new_run(tmp_path / "run")
    policy = PublishedPolicy(run, None)
    assert not policy.refresh() and policy.meta == {}
    learner = Learner(run)
    learner.publish()
    assert policy.refresh() and policy.meta["updates"] == 0
    assert not policy.refresh()
    learner.update()
    learner.publish()
    assert policy.refresh() and policy.meta["updates"] == 1
    expected = learner.agent.policy.state_dict()
    for name, tensor in policy.network.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_a_policy_that_makes_no_sense_is_said_and_the_old_one_stays(tmp_path):
    run = new_run(tmp_path / "run")
    learner, policy = Learner(run), PublishedPolicy(run, None)
    learner.publish()
    policy.refresh()
    before = policy.network.state_dict()["gaussian.mean.weight"].clone()
    whole = run.policy.read_bytes()
    run.policy.write_bytes(whole[:100])
    with pytest.raises(LearningError, match="policy.safetensors is damaged"):
        policy.refresh()
    other = make_run(tmp_path / "other", env={"axes": ["x", "y"]})
    Learner(other).publish()
    os.replace(other.policy, run.policy)
    with pytest.raises(LearningError, match="another agent's weights"):
        policy.refresh()
    assert torch.equal(policy.network.state_dict()["gaussian.mean.weight"], before)
