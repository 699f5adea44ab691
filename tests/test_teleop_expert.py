"""The scripted person: solves the task through Intervention, as well or badly as asked."""

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.robot import FakeRobot
from hilserl_envs.teleop import make_device
from hilserl_envs.teleop.expert import ExpertDevice, ExpertSettings
from hilserl_envs.wrappers import PersonReward
from tests.generic_env import GenericEnv, TwoArms


class Constant(TwoArms):
    """Its expert always wants the same."""

    def expert(self, rng):
        return lambda state, scene: np.array([0.5, 0, 0, 0, 0.4, 0, 1.0, *[0.0] * 5, -0.2])


def on_fake_robot(**settings) -> ExpertDevice:
    env = FrankaEnv(Constant(), robot=FakeRobot(("left", "right"), {"front": (128, 128)}))
    device = ExpertDevice(env, ExpertSettings(**settings))
    device.begin(0)
    return device


@pytest.mark.parametrize("task", ["PickCube", "RamInsertion"])
def test_a_whole_session_without_a_person(task):
    env = hilserl_envs.make_env(task, device="expert", obs="state")
    for seed in range(4):
        env.reset(seed=seed)
        over = False
        while not over:
            *_, terminated, truncated, info = env.step(np.zeros(env.action_space.shape))
            over = terminated or truncated
        assert info["is_success"] and info["teleop"].held == {"failure"}
    env.close()


def test_it_says_what_the_expert_says_for_every_arm():
    command = on_fake_robot().read()
    np.testing.assert_array_equal(command.arms["left"].motion, [0.5, 0, 0, 0, 0.4, 0])
    assert command.arms["left"].gripper == "open" and command.arms["right"].gripper == "stay"
    assert command.acting and command.held == {"failure"}


def test_small_steps_and_tremor():
    np.testing.assert_allclose(on_fake_robot(step_size=0.5).read().arms["left"].motion[0], 0.25)
    device = on_fake_robot(noise=0.1)
    motions = np.array([device.read().arms["left"].motion for _ in range(2000)])
    np.testing.assert_allclose(motions.mean(axis=0), [0.5, 0, 0, 0, 0.4, 0], atol=0.01)
    np.testing.assert_allclose(motions.std(axis=0), 0.1, atol=0.01)


def test_a_reaction_takes_its_time():
    device = on_fake_robot(reaction_delay=0.3)
    assert [device.read().acting for _ in range(5)] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("skill", [0.0, 0.5, 0.9, 1.0])
def test_skill_is_the_share_of_right_motions(skill):
    device = on_fake_robot(skill=skill)
    right = [np.allclose(device.read().arms["left"].motion, [0.5, 0, 0, 0, 0.4, 0]) for _ in range(20_000)]
    assert np.mean(right) == pytest.approx(skill, abs=0.03)


def test_motions_never_leave_their_range():
    device = on_fake_robot(noise=1.0, skill=0.3)
    for _ in range(200):
        for motion in device.read().arms.values():
            assert np.linalg.norm(motion.motion[:3]) <= 1 + 1e-9 and np.abs(motion.motion).max() <= 1


def test_the_same_seed_gives_the_same_person():
    device = on_fake_robot(noise=0.3, skill=0.5)
    first = [device.read().arms["left"].motion for _ in range(50)]
    device.begin(0)
    np.testing.assert_array_equal([device.read().arms["left"].motion for _ in range(50)], first)


def test_success_is_held_while_the_task_is_done():
    env = hilserl_envs.make_env("PickCube", device="expert", obs="state", ends_on_success=False)
    env.reset(seed=0)
    infos = [env.step(np.zeros(7))[4] for _ in range(40)]
    for before, after in zip(infos, infos[1:], strict=False):
        assert ("success" in after["teleop"].held) == before["is_success"]
    assert infos[-1]["is_success"]
    assert [info["teleop"].pressed for info in infos if info["teleop"].pressed] == [{"success"}]
    env.close()


def test_it_can_judge_an_episode_in_a_persons_place():
    env = hilserl_envs.make_env("PickCube", device="expert", obs="state", ends_on_success=False)
    env = PersonReward(env)
    env.reset(seed=0)
    over = False
    while not over:
        *_, reward, terminated, truncated, info = env.step(np.zeros(7))
        over = terminated or truncated
    assert reward == 1 and terminated and info["task_success"] and info["is_success"]
    env.close()


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match=r"outside \[0, 1\]"):
        ExpertSettings(skill=2.0)
    with pytest.raises(ConfigError, match="needs a FrankaEnv"):
        make_device("expert", GenericEnv())
    with pytest.raises(ConfigError, match="did you mean 'noise'"):
        make_device("expert:nois=0.1", gymnasium.make("hilserl/PickCube-v0", obs="state"))
