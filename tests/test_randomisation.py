"""Domain randomisation of environments: nothing where it is off, by seed where it is on, and saved."""

import json

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.cli import main
from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.recording import EpisodeStore, RecordEpisodes, rebuild_env
from hilserl_envs.recording.replay import replay_episode
from hilserl_envs.robot import FakeRobot
from hilserl_envs.tasks import TASKS
from hilserl_envs.twin.randomised import RandomisedTwin
from tests.randomised_worlds import NOTHING, PICK


def play(env: gymnasium.Env, seed: int, steps: int = 4) -> list[dict]:
    rng = np.random.default_rng(seed)
    observations = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observations.append(env.step(rng.uniform(-1, 1, env.action_space.shape))[0])
    return observations


def assert_same(a: list[dict], b: list[dict]) -> None:
    for one, other in zip(a, b, strict=True):
        for kind in one:
            for key in one[kind]:
                np.testing.assert_array_equal(one[kind][key], other[kind][key], err_msg=key)


@pytest.mark.parametrize("name", TASKS)
def test_without_any_range_every_episode_is_as_without_randomisation(name):
    off = gymnasium.make(name, obs="both")
    zero = gymnasium.make(name, obs="both", randomise=True, settings={"randomisation": NOTHING})
    for seed in (5, 6):
        assert_same(play(off, seed), play(zero, seed))
    off.close()
    zero.close()


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_is_an_episode_to_the_bit(name):
    env = gymnasium.make(name, obs="both", randomise=True)
    first, other = play(env, 5), play(env, 6)
    assert_same(first, play(env, 5))
    again = gymnasium.make(env.spec)
    assert_same(first, play(again, 5))
    camera = next(iter(env.unwrapped.task.cameras))
    assert not np.array_equal(first[0]["images"][camera], other[0]["images"][camera])
    for made in (env, again):
        made.close()


def test_what_else_a_seed_decides_stays_as_it_is():
    on, off = FrankaEnv("PickCube", obs="state", randomise=True), FrankaEnv("PickCube", obs="state")
    for seed in (3, None):
        poses = [env.reset(seed=seed)[0]["state"]["cube_pose"] for env in (on, off)]
        np.testing.assert_array_equal(*poses)
        assert on.np_random.bit_generator.state == off.np_random.bit_generator.state
    on.close()
    off.close()


def test_episodes_without_a_seed_of_their_own_differ():
    env = FrankaEnv("PickCube", obs="state", randomise=True)
    masses = []
    for seed in (1, None, None):
        env.reset(seed=seed)
        masses.append(float(env.robot.scene.model.body("cube").mass[0]))
    assert len(set(masses)) == 3
    env.close()


def test_many_at_once_are_each_as_alone():
    vector = gymnasium.make_vec("hilserl/PickCube-v0", num_envs=2, obs="state", randomise=True)
    alone = gymnasium.make("hilserl/PickCube-v0", obs="state", randomise=True)
    together, _ = vector.reset(seed=4)
    stepped, *_ = vector.step(np.full(vector.action_space.shape, 0.3, np.float32))
    for number in range(2):
        before, _ = alone.reset(seed=4 + number)
        after, *_ = alone.step(np.full(alone.action_space.shape, 0.3, np.float32))
        for key in before["state"]:
            np.testing.assert_array_equal(together["state"][key][number], before["state"][key])
            np.testing.assert_array_equal(stepped["state"][key][number], after["state"][key])
    vector.close()
    alone.close()


def test_arms_that_move_back_find_another_world_each_time():
    env = FrankaEnv("PickCube", obs="state", randomise=True, reset_mode="motion")
    masses = []
    for _ in range(3):
        env.reset(seed=1 if not masses else None)
        env.step(np.array([1.0, 0, 0, 0, 0, 0, 0]))
        masses.append(float(env.robot.scene.model.body("cube").mass[0]))
    assert len(set(masses)) == 3
    env.close()


def test_a_recording_replays_to_the_bit_and_nothing_else_goes_behind_it(tmp_path):
    arguments = {"randomise": True, "settings": {"randomisation": {"mass": 0.5}}}
    env = RecordEpisodes(
        hilserl_envs.make_env("PickCube", obs="state", flatten=False, **arguments), tmp_path / "store", "all"
    )
    expert = ExpertPolicy(env)
    observation, _ = env.reset(seed=7)
    expert.start(7)
    over = False
    while not over:
        observation, _, terminated, truncated, _ = env.step(expert(observation))
        over = terminated or truncated
    env.close()
    store = EpisodeStore(tmp_path / "store")
    again = rebuild_env(store.meta)
    assert isinstance(again.unwrapped.robot, RandomisedTwin)
    replay = replay_episode(again, store.episode(0))
    again.close()
    assert replay.success and max(replay.state_drift.values()) == 0
    nominal = hilserl_envs.make_env("PickCube", obs="state", flatten=False, settings=arguments["settings"])
    with pytest.raises(ConfigError, match="its randomise was True and is False now"):
        RecordEpisodes(nominal, tmp_path / "store", "all").reset(seed=0)
    nominal.close()


def test_it_is_saved_with_a_run():
    settings = RunSettings.from_json(
        RunSettings(task="PickCube", obs="state", env={"randomise": True}).to_json()
    )
    env = settings.make_env()
    assert isinstance(env.unwrapped.robot, RandomisedTwin)
    env.close()


@pytest.mark.parametrize(("flag", "told"), [((), None), (("--randomise", "True"), True)])
def test_hilserl_eval_has_a_flag_for_it(capsys, flag, told):
    line = ["eval", "PickCube", "--policy", "random", "--episodes", "1", "--workers", "1", *flag, "--json"]
    assert main(line) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["policies"]
    assert row["env"].get("randomise") is told


def test_only_the_twin_has_it():
    for robot in (FakeRobot(cameras={name: (128, 128) for name in PICK.cameras}), "http://127.0.0.1:1"):
        with pytest.raises(ConfigError, match="has its own light, friction, latency and noise"):
            FrankaEnv("PickCube", robot=robot, randomise=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"randomise": 0.5}, "its ranges are settings"),
        ({"settings": {"randomisation": {"mass": 1.5}}}, r"mass = 1.5 is outside \[0, 0.9\]"),
        ({"settings": {"randomisation": {"lightangle": 1}}}, "did you mean 'light_angle'"),
        ({"settings": {"randomisation": True}}, "expected Randomisation"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FrankaEnv("PickCube", **arguments)
