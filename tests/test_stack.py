import doctest

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FrameStackObservation

import hilserl_envs
from hilserl_envs import stack
from hilserl_envs.errors import ConfigError
from hilserl_envs.policies import ExpertPolicy, RandomPolicy, make_policy
from hilserl_envs.teleop import FakeDevice, TeleopCommand
from hilserl_envs.wrappers import ClassifierReward, intervention

STACKS = [
    {"frame": frame, "rotation": rotation, "gripper": gripper}
    for frame in ("relative", "base")
    for rotation in ("rotvec", "euler", "6d", None)
    for gripper in (None, "open")
]


@pytest.mark.parametrize("options", STACKS, ids=str)
def test_an_action_out_of_any_standard_stack_moves_the_twin_the_same(options):
    """What the expert wants inside and what it says outside have the same effect."""
    poses = []
    for wrapped in (True, False):
        env = hilserl_envs.make_env("PickCube", obs="state", **(options if wrapped else {"frame": "base"}))
        env.reset(seed=2)
        policy = ExpertPolicy(env)
        for _ in range(4):
            env.step(policy(None))
        poses.append(env.unwrapped.robot_state.arms["arm"].tcp_pose)
        env.close()
    np.testing.assert_allclose(poses[0], poses[1], atol=1e-6)


def test_the_spec_of_a_standard_stack_survives_json():
    env = hilserl_envs.make_env("PickCube", obs="state", rotation="6d", keys=["tcp_pose", "cube_pose"])
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gymnasium.make(spec)
    assert again.observation_space == env.observation_space
    first, _ = env.reset(seed=7)
    second, _ = again.reset(seed=7)
    np.testing.assert_array_equal(first["state"], second["state"])


@pytest.mark.parametrize(
    "options",
    [
        {"device": "expert"},
        {"overseer": {"stall_steps": 3}, "gripper_penalty": 0.02},
        {"device": "expert:noise=0.2", "axes": ["x", "z"], "flatten": False},
        {
            "overseer": {},
            "reward": lambda env: ClassifierReward(env, lambda observation: 0.5),
            "ends_on_success": False,
        },
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*WARN")  # that the stack is wrapped, that forces have no bound
def test_gymnasiums_own_checker_finds_nothing(options):
    env = hilserl_envs.make_env("PickCube", obs="state", **options)
    check_env(env, skip_render_check=True)


def test_wrappers_of_ones_own_go_on_in_their_order():
    """Outside of all that the stack itself puts on, but for what flattens."""
    named = "hilserl_envs.wrappers:GripperPenalty"
    env = hilserl_envs.make_env(
        "PickCube", obs="state", wrappers=[named, lambda env: gymnasium.wrappers.ClipReward(env, 0.0, 0.5)]
    )
    layers = [type(env.env).__name__, type(env.env.env).__name__]
    env.close()
    assert layers == ["ClipReward", "GripperPenalty"]
    for wrong, message in (
        ("GripperPenalty", "module:name"),
        ("nowhere:Wrapper", "PYTHONPATH"),
        ("hilserl_envs.wrappers:Nothing", "Nothing"),
    ):
        with pytest.raises(ConfigError, match=message):
            hilserl_envs.make_env("PickCube", obs="state", wrappers=[wrong])


def test_bad_arguments_are_refused():
    for options, message in (
        ({"intervention": {"frame": "tcp"}}, "needs a device"),
        ({"device": "expert", "intervention": {"mod": "hold"}}, "did you mean 'mode'"),
        ({"overseer": {"stall_step": 3}}, "did you mean 'stall_steps'"),
        ({"overseer": True}, "a mapping"),
        ({"overseer": {}, "intervention": {}}, "one of them"),
        ({"flatten": False, "keys": ["tcp_pose"]}, "flatten=False"),
    ):
        with pytest.raises(ConfigError, match=message):
            hilserl_envs.make_env("PickCube", obs="state", **options)
    with pytest.raises(ConfigError, match="one person cannot drive 2 twins"):
        hilserl_envs.make_vec_env("PickCube", 2, device="keyboard")
    with pytest.raises(ConfigError, match="did you mean 'hilserl/PickCube-v0'"):
        hilserl_envs.make_env("PickCubes")
    with pytest.raises(ConfigError, match="unknown frame"):
        hilserl_envs.make_env("PickCube", frame="world")
    env = hilserl_envs.make_env("PickCube", obs="state")
    with pytest.raises(ConfigError, match="unknown policy"):
        make_policy("experts", env)
    with pytest.raises(ConfigError, match="needs a FrankaEnv"):
        ExpertPolicy(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devce": "browser"}, "unknown argument of make_env 'devce'"),
        ({"image_sise": 64}, "did you mean 'image_size'"),
        ({"wrappers": "tests.generic_env:Marked"}, "wrappers are a list, got 'tests"),
        ({"keys": "tcp_pose"}, "keys are a list, got 'tcp_pose'"),
        ({"crops": 3}, "by camera, got 3"),
        ({"reward": 3}, "reward is 'person', a classifier's file.*got 3"),
        ({"wrappers": [FrameStackObservation]}, "takes other arguments than {}.*stack_size.*beside its name"),
        (
            {"wrappers": [("gymnasium.wrappers:FrameStackObservation", {"stack": 2})]},
            "FrameStackObservation' takes other arguments than {'stack': 2}",
        ),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(options, message):
    with pytest.raises(ConfigError, match=message):
        hilserl_envs.make_env("PickCube", obs="state", **options)


def test_a_wrapper_of_ones_own_may_have_arguments():
    named = ["gymnasium.wrappers:TimeLimit", {"max_episode_steps": 3}]
    env = hilserl_envs.make_env("PickCube", obs="state", wrappers=[named])
    env.reset(seed=0)
    assert [env.step(np.zeros(7))[3] for _ in range(3)] == [False, False, True]
    env.close()


def test_a_device_that_was_opened_for_nothing_is_free_again(monkeypatch):
    device = FakeDevice()
    monkeypatch.setattr(intervention, "make_device", lambda name, env: device)
    with pytest.raises(ConfigError, match="unknown state key|unknown key"):
        hilserl_envs.make_env("PickCube", obs="state", device="fake", keys=["nothing"])
    assert device.closed


def test_the_person_who_takes_over_gives_the_reward():
    device = FakeDevice([TeleopCommand(), TeleopCommand(pressed=frozenset({"success"}))])
    env = hilserl_envs.make_env("PickCube", obs="state", device=device, reward="person")
    assert not env.unwrapped.ends_on_success
    env.reset(seed=0)
    assert [env.step(np.zeros(7))[1:3] for _ in range(2)] == [(0.0, False), (1.0, True)]
    env.close()
    with pytest.raises(ConfigError, match="nobody is there to ask"):
        hilserl_envs.make_env("PickCube", obs="state", reward="person")


def test_the_overseer_learns_of_the_classifiers_success():
    env = hilserl_envs.make_env(
        "PickCube",
        obs="state",
        ends_on_success=False,
        reward=lambda env: ClassifierReward(env, lambda observation: 1.0),
        overseer={"memory": 2},
    )
    for seed in range(2):
        env.reset(seed=seed)
        assert env.step(np.zeros(7))[2]
    assert env.get_wrapper_attr("attention") == 0.1
    env.close()


def test_crops_keep_the_image_size():
    env = hilserl_envs.make_env("PickCube", crops={"front": (10, 20, 64, 64)})
    observation, _ = env.reset(seed=0)
    assert observation["images"]["front"].shape == (128, 128, 3)


def test_random_policies_repeat_with_their_seed():
    env = hilserl_envs.make_env("PickCube", obs="state")
    policy = RandomPolicy(env)
    policy.start(3)
    first = policy({})
    policy.start(3)
    np.testing.assert_array_equal(policy({}), first)
    assert env.action_space.contains(first)


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(stack).failed == 0


def test_many_environments_in_the_standard_stack():
    envs = hilserl_envs.make_vec_env("PickCube", 2, autoreset_mode=AutoresetMode.SAME_STEP, obs="state")
    observation, _ = envs.reset(seed=0)
    assert observation["state"].shape == (2, 28)
    envs.close()
