"""A run's checkpoint as a policy: which one, whose actions, and for which environment."""

import json
import shutil

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.load_policy import (
    build_policy,
    check_env,
    choose_checkpoint,
    load_policy,
    read_weights,
)
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.run_folder import RunFolder
from tests.learning_run import demonstrations, settings
from tests.one_thread import one_thread  # noqa: F401
from tests.saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "run", best=True)


@pytest.fixture(scope="module")
def observation(run):
    env = run.settings.make_env(watched=False)
    seen, _ = env.reset(seed=0)
    env.close()
    return seen


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(shutil.copytree(run.path, tmp_path / "copy"))


def test_it_acts_as_the_learners_own_policy(run, observation):
    learner = Learner(run)  # goes on from the last checkpoint
    own = LearnedPolicy(learner.agent.policy, run.inputs, ActionParts(run.layout), None)
    action = load_policy(run.path, "last")(observation)
    np.testing.assert_array_equal(action, own(observation))
    assert action.shape == (7,) and action.dtype == np.float32


def test_the_best_checkpoint_is_taken_where_there_is_one(run, observation, copy):
    best, last = (load_policy(run, name)(observation) for name in ("best", "last"))
    assert not np.array_equal(best, last)
    np.testing.assert_array_equal(load_policy(run)(observation), best)
    copy.checkpoint("best").unlink()
    assert choose_checkpoint(copy) == "last"
    np.testing.assert_array_equal(load_policy(copy)(observation), last)


def test_a_checkpoint_that_is_not_there(copy):
    with pytest.raises(ConfigError, match="unknown checkpoint 'bets': did you mean 'best'"):
        choose_checkpoint(copy, "bets")
    copy.checkpoint("best").unlink()
    with pytest.raises(ConfigError, match="no checkpoint 'best' yet, only last"):
        load_policy(copy, "best")
    copy.checkpoint("last").unlink()
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        load_policy(copy)


def test_its_draws_come_from_the_episodes_seed(run, observation):
    drawn = []
    for seed in (3, 3, 4):
        policy = load_policy(run, sample=True)
        policy.start(seed)
        drawn.append(np.stack([policy(observation) for _ in range(3)]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0][0], drawn[0][1])
    policy = load_policy(run)
    policy.start(3)
    np.testing.assert_array_equal(policy(observation), policy(observation))


def test_weights_that_were_read_stay_what_they_were(copy, observation):
    before = load_policy(copy)(observation)
    weights, meta = read_weights(copy, "best")
    shutil.copy(copy.checkpoint("last"), copy.checkpoint("best"))  # the run goes on
    np.testing.assert_array_equal(build_policy(copy, weights)(observation), before)
    assert not np.array_equal(load_policy(copy)(observation), before)
    assert meta["updates"] == 0


def test_a_checkpoint_of_another_agent(copy):
    config = copy.path / "config.json"
    values = json.loads(config.read_text())
    values["settings"]["agent"]["hidden_dims"] = [24]
    config.write_text(json.dumps(values))
    with pytest.raises(LearningError, match="another agent than its config.json says"):
        load_policy(copy.path)


def test_a_device_that_is_not_there(run):
    with pytest.raises(ConfigError, match="no device 'toaster'"):
        load_policy(run, device="toaster")


def test_what_imitates_has_no_spread_to_draw_from(tmp_path):
    run = RunFolder.create(tmp_path / "run", settings(algorithm="bc"), demonstrations())
    Learner(run).checkpoint()
    with pytest.raises(ConfigError, match="run of 'bc', whose actions have no spread that was learned"):
        load_policy(run, sample=True)
    load_policy(run)


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({}, None),
        ({"rotation": None}, "state/tcp_pose was 6, is 7"),
        ({"obs": "both"}, r"images/front was absent, is \(128, 128, 3\)"),
        ({"gripper": "closed"}, "actions were"),
    ],
)
def test_an_environment_that_is_another_now(run, arguments, difference):
    env = run.settings.make_env(watched=False, **arguments)
    try:
        if difference is None:
            check_env(run, env)
        else:
            with pytest.raises(ConfigError, match=difference):
                check_env(run, env)
    finally:
        env.close()
