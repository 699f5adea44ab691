"""What is evaluated, and in which environment."""

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation import make_candidate, run_episodes
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.load_policy import load_policy
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.policies import ExpertPolicy, RandomPolicy
from tests.learning_run import demonstrations, settings
from tests.saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    env = {"max_episode_steps": 30, "axes": ["x", "y", "z"], "intervention": {"mode": "toggle"}}
    env["reward"] = "person"
    return save_run(tmp_path_factory.mktemp("runs") / "run", best=True, env=env, device="browser")


@pytest.mark.parametrize(("name", "kind"), [("expert", ExpertPolicy), ("random", RandomPolicy)])
def test_policies_by_name_act_in_the_standard_stack(name, kind):
    candidate = make_candidate("PickCube", name, max_episode_steps=7)
    with candidate.open() as (env, policy):
        assert isinstance(policy, kind)
        assert env.spec.max_episode_steps == 7 and env.unwrapped.obs_mode == "state"
        assert env.observation_space["state"].shape is not None
    assert (candidate.name, candidate.task) == (name, "hilserl/PickCube-v0")


def test_a_run_acts_in_its_own_environment_alone(run):
    candidate = make_candidate("PickCube-v0", str(run.path))
    with candidate.open() as (env, policy):
        assert env.action_space.shape == (4,) and env.spec.max_episode_steps == 30
        assert not env.has_wrapper_attr("intervenes") and not env.has_wrapper_attr("judged_by_person")
        observation, _ = env.reset(seed=0)
        assert (policy(observation) == load_policy(run, "best")(observation)).all()
    assert candidate.name == f"{run.path} (best)"
    assert candidate.about["algorithm"] == "sac" and candidate.about["trained"]["updates"] == 0


def test_settings_given_go_before_the_runs(run):
    candidate = make_candidate("PickCube", str(run.path), checkpoint="last", sample=True, max_episode_steps=4)
    assert candidate.name == f"{run.path} (last, sampled)"
    with candidate.open(render_mode="rgb_array") as (env, policy):
        assert env.spec.max_episode_steps == 4 and env.unwrapped.render_mode == "rgb_array"
        assert policy.sample
    with pytest.raises(Exception, match="closed"):
        env.reset()


@pytest.mark.parametrize("trained", [False, True])
def test_the_overseer_watches_every_episode(run, trained):
    candidate = make_candidate("PickCube", str(run.path) if trained else "expert", overseer={})
    with candidate.open() as (env, policy):
        env.get_wrapper_attr("remember")([True] * 100)  # of an episode that went well alone
        assert env.get_wrapper_attr("attention") == 1.0
        (episode,) = run_episodes(env, policy, [0])
    assert (episode.interventions > 0) == trained  # the expert needs none
    assert candidate.only_here is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, None),
        ({"device": "expert:skill=0.5"}, None),
        ({"device": "browser"}, "a person acts"),
        ({"reset_mode": "motion"}, "depends on the one before it"),
        ({"robot": "http://robot:5000"}, "one robot"),
        ({"render_mode": "human"}, "shown"),
        ({"view": "window"}, "shown"),
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_what_has_to_stay_in_this_process(run, trained, settings, reason):
    candidate = make_candidate("PickCube", str(run.path) if trained else "random", **settings)
    assert candidate.only_here is None if reason is None else reason in candidate.only_here


def test_the_runs_own_robot_and_resets_count(tmp_path):
    run = save_run(tmp_path / "run", env={"reset_mode": "motion"})
    assert "depends on the one before it" in make_candidate("PickCube", str(run.path)).only_here


def test_a_person_takes_over_as_the_run_says(run):
    candidate = make_candidate("PickCube", str(run.path), device="browser", view="none")
    with candidate.open() as (env, _):
        assert env.get_wrapper_attr("device").real_time and env.get_wrapper_attr("judged_by_person")
        assert env.spec.additional_wrappers  # described, as every stack is
        intervention = next(w for w in env.spec.additional_wrappers if w.name == "Intervention")
        assert intervention.kwargs["mode"] == "toggle"


def test_and_as_whoever_evaluates_says_beyond_that(run):
    given = {"device": "browser", "view": "none", "intervention": {"frame": "tcp"}}
    with make_candidate("PickCube", str(run.path), **given).open() as (env, _):
        intervention = next(w for w in env.spec.additional_wrappers if w.name == "Intervention")
        assert (intervention.kwargs["mode"], intervention.kwargs["frame"]) == ("toggle", "tcp")


def test_a_script_gives_no_reward_in_a_persons_place(run):
    with make_candidate("PickCube", str(run.path), device="expert").open() as (env, _):
        assert env.has_wrapper_attr("intervenes") and not env.has_wrapper_attr("judged_by_person")
        assert env.unwrapped.ends_on_success


def test_what_imitates_is_not_drawn_from_and_that_is_said_at_once(tmp_path):
    run = RunFolder.create(tmp_path / "run", settings(algorithm="bc"), demonstrations())
    Learner(run).checkpoint()
    with pytest.raises(ConfigError, match="no spread that was learned"):
        make_candidate("PickCube", str(run.path), sample=True)
