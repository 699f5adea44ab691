"""The scripted overseer takes over for a reason, gives back, and steps back as the policy succeeds."""

import doctest

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.robot import FakeRobot
from hilserl_envs.teleop import ArmMotion, Device, TeleopCommand
from hilserl_envs.wrappers import ScriptedOverseer, overseer
from tests.generic_env import TwoArms

NEVER = {"stall_steps": 1000, "stray_steps": 1000, "last_steps": 0}
UP = np.eye(6)[2]


class Lifter(Device):
    """Wants both arms lifted, forever."""

    in_base_frame = True
    real_time = False

    def __init__(self):
        self.begun = 0

    def read(self):
        return TeleopCommand({"left": ArmMotion(0.5 * UP), "right": ArmMotion(0.5 * UP)}, acting=True)

    def begin(self, seed):
        self.begun += 1


def make(**settings):
    robot = FakeRobot(("left", "right"), {"front": (128, 128)})
    return ScriptedOverseer(FrankaEnv(TwoArms(), robot=robot), Lifter(), **settings)


def run(env, left_z, right_z, steps):
    """Who is in control while the policy moves both arms up by so much."""
    env.reset(seed=0)
    action = np.zeros(13)
    action[2], action[9] = left_z, right_z
    return [env.step(action)[4] for _ in range(steps)]


def test_a_policy_that_stalls_is_helped_for_a_while():
    infos = run(make(**NEVER | {"stall_steps": 4}, shortest=3, longest=3), 0.0, 0.0, 12)
    assert [info["intervened"] for info in infos] == [False] * 4 + [True] * 3 + [False] * 4 + [True]
    assert infos[4]["takeover_reason"] == "stall" and "takeover_reason" not in infos[0]
    np.testing.assert_allclose(infos[4]["intervene_action"][[2, 9]], 0.5)


def test_a_policy_that_goes_the_right_way_is_left_alone():
    infos = run(make(**NEVER | {"stall_steps": 4, "stray_steps": 2}), 0.2, 0.2, 12)
    assert not any(info["intervened"] for info in infos)


def test_a_policy_that_strays_is_stopped_sooner_than_one_that_stalls():
    infos = run(make(**NEVER | {"stall_steps": 8, "stray_steps": 3}), -0.3, -0.3, 5)
    assert [info["intervened"] for info in infos] == [False] * 3 + [True] * 2
    assert infos[3]["takeover_reason"] == "stray"


def test_progress_is_that_of_both_arms_together():
    assert not any(info["intervened"] for info in run(make(**NEVER | {"stall_steps": 3}), 0.5, 0.0, 6))
    assert run(make(**NEVER | {"stall_steps": 3}), 0.4, -0.4, 6)[3]["intervened"]


def test_the_device_starts_afresh_when_it_takes_over():
    env = make(**NEVER | {"stall_steps": 4}, shortest=3, longest=3)
    run(env, 0.0, 0.0, 4)
    assert env.device.begun == 1
    env.step(np.zeros(13))
    assert env.device.begun == 2


def test_near_the_time_limit_it_finishes_the_episode():
    env = hilserl_envs.make_env("PickCube", obs="state", overseer=NEVER | {"last_steps": 60, "shortest": 5})
    env.reset(seed=0)
    infos, over = [], False
    while not over:
        *_, terminated, truncated, info = env.step(np.zeros(7))
        infos.append(info)
        over = terminated or truncated
    assert [info["intervened"] for info in infos] == [False] * 40 + [True] * (len(infos) - 40)
    assert infos[-1]["is_success"] and infos[-1]["takeover_reason"] == "limit"
    env.close()


class Succeeding(gymnasium.Wrapper):
    """Episodes of one step that end as they are told."""

    outcome = True

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, True, False, info | {"is_success": self.outcome}


def test_the_more_the_policy_succeeds_the_less_it_watches():
    robot = FakeRobot(("left", "right"), {"front": (128, 128)})
    inner = Succeeding(FrankaEnv(TwoArms(), robot=robot))
    env = ScriptedOverseer(inner, Lifter(), **NEVER, memory=10, least_attention=0.2)
    attention = []
    for episode in range(30):
        inner.outcome = episode < 15
        env.reset(seed=episode)
        env.step(np.zeros(13))
        attention.append(env.attention)
    np.testing.assert_allclose(attention[:10], np.maximum(0.2, np.arange(9, -1, -1) / 10))
    assert attention[14] == 0.2 and attention[-1] == 1.0


def test_it_goes_on_from_what_earlier_sessions_saw():
    """The newest count, as many as it remembers."""
    env = make(**NEVER, memory=4, least_attention=0.1)
    env.remember([])
    assert env.attention == 1.0
    env.remember([True, True, False])
    assert env.attention == 0.5
    env.remember([True, True, True])
    assert env.attention == 0.25
    env.remember([True])
    assert env.attention == 0.1


def test_success_with_help_does_not_count():
    robot = FakeRobot(("left", "right"), {"front": (128, 128)})
    env = ScriptedOverseer(FrankaEnv(TwoArms(), robot=robot), Lifter(), **NEVER | {"stall_steps": 1})
    env.env.step = lambda action, step=env.env.step: (*step(action)[:4], {"is_success": True})
    env.reset(seed=0)
    env.step(np.zeros(13))
    env.env.step = lambda action, step=env.env.step: (*step(action)[:2], True, False, {"is_success": True})
    assert env.step(np.zeros(13))[4]["intervened"]
    assert env.attention == 1.0


def test_the_same_seed_gives_the_same_session():
    def session():
        env = make(**NEVER | {"stall_steps": 2}, shortest=1, longest=9)
        taken = []
        for seed in (3, None, None):
            env.reset(seed=seed)
            taken += [env.step(np.zeros(13))[4]["intervened"] for _ in range(40)]
        return taken

    assert session() == session()


def test_which_episodes_it_watches_has_nothing_to_do_with_how_they_start():
    """Both come from one seed; with few episodes watched they must not be those of one corner."""
    robot = FakeRobot(("left", "right"), {"front": (128, 128)})
    inner = Succeeding(FrankaEnv(TwoArms(), robot=robot))
    env = ScriptedOverseer(inner, Lifter(), **NEVER, memory=5, least_attention=0.2)
    starts, watched = [], []
    for seed in range(200):
        observation, _ = env.reset(seed=seed)
        env.step(np.zeros(13))
        starts.append(observation["state"]["left/tcp_pose"][:3])
        watched.append(env._watching)
    assert env.attention == 0.2 and 20 < np.sum(watched[5:]) < 60
    spread = np.ptp(np.array(starts)[5:][watched[5:]], axis=0) / np.ptp(starts, axis=0)
    assert spread.min() > 0.7


def test_an_episode_counts_once_however_long_it_is_looked_at():
    robot = FakeRobot(("left", "right"), {"front": (128, 128)})
    env = ScriptedOverseer(Succeeding(FrankaEnv(TwoArms(), robot=robot)), Lifter(), **NEVER, memory=10)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(13))
    assert env.attention == pytest.approx(0.9)


def test_its_settings_are_in_the_spec():
    env = hilserl_envs.make_env("PickCube", obs="state", overseer={"stall_steps": 5, "memory": 7})
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gymnasium.make(spec)
    assert again.get_wrapper_attr("_settings") == env.get_wrapper_attr("_settings")
    assert again.get_wrapper_attr("_settings").stall_steps == 5


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="stall_steps is a whole number"):
        make(last_steps=0, stall_steps=2.5)
    person = Lifter()
    person.real_time = True
    with pytest.raises(ConfigError, match="in a person's place"):
        ScriptedOverseer(hilserl_envs.make_env("PickCube", obs="state"), person)
    with pytest.raises(ConfigError, match="did you mean 'stall_steps'"):
        make(stall_step=3)
    with pytest.raises(ConfigError, match="shortest 9 is above longest 3"):
        make(last_steps=0, shortest=9, longest=3)
    with pytest.raises(ConfigError, match="no time limit"):
        make()


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(overseer).failed == 0
