import doctest

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, TransformObservation

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.wrappers import ClassifierReward, FlattenProprioception, classifier_reward
from tests.generic_env import GenericEnv


def rewards(answers, **settings) -> list[tuple[float, bool]]:
    """(reward, terminated) of steps on which the classifier answers so; the first is the reset's."""
    rest = iter(answers)
    env = ClassifierReward(
        settings.pop("env", None) or GenericEnv(), lambda observation: next(rest), **settings
    )
    env.reset(seed=0)
    steps = [env.step(np.zeros(7)) for _ in answers[1:]]
    return [(step[1], step[2]) for step in steps]


def test_success_above_the_threshold_ends_the_episode():
    assert rewards([0, 0.5, 0.85, 0.9]) == [(0, False), (0, False), (1, True)]


def test_one_good_frame_may_not_be_enough():
    answers = [0, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9]
    assert rewards(answers, consecutive=3) == [(0, False)] * 5 + [(1, True)]


def test_the_reset_frame_counts_towards_a_row():
    assert rewards([0.9, 0.9], consecutive=2) == [(1, True)]


def test_a_stage_reached_at_reset_is_paid_at_the_first_step():
    assert rewards([0.9, 0.9]) == [(1, True)]
    assert rewards([0.9, 0.1, 0.9]) == [(0, False), (1, True)]


def test_each_stage_is_paid_once():
    answers = [(0, 0), (0.9, 0), (0.9, 0), (0.1, 0.1), (0.9, 0.9), (0.9, 0.9)]
    assert rewards(answers) == [(1, False), (0, False), (0, False), (1, True), (0, True)]


def test_each_stage_may_have_its_own_threshold():
    assert rewards([(0, 0), (0.6, 0.6), (0, 0.8)], threshold=(0.5, 0.7)) == [(1, False), (1, True)]


@pytest.mark.parametrize("flat", [False, True])
def test_conditions_are_on_keys_of_the_state(flat):
    env = GenericEnv()
    openings = iter([1.0, 1.0, 0.2, 0.2])

    def state():
        return env._random_state() | {"gripper_pose": np.array([next(openings)], np.float32)}

    env._state = state
    inner = FlattenProprioception(env) if flat else env
    conditions = {"gripper_pose": (0.1, 0.5), "tcp_vel": ([-9] * 6, [9, 9, 9, 9, 9, np.inf])}
    assert rewards([1, 1, 1, 0], env=inner, conditions=conditions) == [(0, False), (1, True), (0, True)]


@pytest.mark.parametrize("flat", [False, True])
def test_of_a_state_stacked_in_time_the_newest_counts(flat):
    env = GenericEnv()
    openings = iter([0.2, 1.0, 0.2])

    def state():
        return env._random_state() | {"gripper_pose": np.array([next(openings)], np.float32)}

    env._state = state
    inner = FrameStackObservation(FlattenProprioception(env) if flat else env, 3)
    conditions = {"gripper_pose": (0, 0.5)}
    assert rewards([0, 1, 1], env=inner, conditions=conditions) == [(0, False), (1, True)]


def test_a_flattened_state_that_changed_again_is_refused():
    flat = FlattenProprioception(GenericEnv())
    space = flat.observation_space
    longer = gymnasium.spaces.Box(-1, 1, (space["state"].shape[0] + 1,))
    changed = TransformObservation(flat, lambda o: o, gymnasium.spaces.Dict({**space, "state": longer}))
    with pytest.raises(ConfigError, match="was changed after that"):
        ClassifierReward(changed, lambda observation: 0.0, conditions={"gripper_pose": (0, 1)})


def test_info_tells_the_classifiers_word_from_the_tasks():
    env = GenericEnv(info=lambda action: {"is_success": True})
    wrapped = ClassifierReward(env, lambda observation: 0.25)
    assert wrapped.reset(seed=0)[1]["success_probability"] == np.float32(0.25)
    info = wrapped.step(np.zeros(7))[4]
    assert info["task_success"] and not info["is_success"] and not info["succeed"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, r"in \[0, 1\)"),
        ({"threshold": "high"}, "one a stage"),
        ({"consecutive": 0}, "at least 1"),
        ({"conditions": {"gripper_poes": (0, 1)}}, "did you mean 'gripper_pose'"),
        ({"threshold": [0.5, [0.1]]}, "threshold"),
        ({"conditions": ["gripper_pose"]}, "a mapping"),
        ({"conditions": {"tcp_pose": 3}}, r"is \(low, high\)"),
        ({"conditions": {"tcp_pose": ([0, 1], 2)}}, "7 each"),
        ({"conditions": {"gripper_pose": (1, 0)}}, "no value"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ClassifierReward(GenericEnv(), lambda observation: 0.0, **settings)


@pytest.mark.parametrize("answer", [1.5, np.nan, "yes", None, [], [[0.5]], (0.1, 0.2, 0.3)])
def test_a_classifier_that_answers_nonsense_is_named(answer):
    env = ClassifierReward(GenericEnv(), lambda observation: answer, threshold=(0.5, 0.5))
    with pytest.raises(ConfigError, match="the classifier answers"):
        env.reset(seed=0)
    with pytest.raises(ConfigError, match="is called with observations"):
        ClassifierReward(GenericEnv(), 0.5)


def test_in_the_twin_the_classifier_decides_alone():
    """The episode goes on past what the task knows, until the classifier says so."""
    inner = hilserl_envs.make_env(
        "PickCube", frame="base", obs="state", device="expert", ends_on_success=False
    )
    height = inner.get_wrapper_attr("slices")["cube_pose"].start + 2
    env = ClassifierReward(inner, lambda observation: float(observation["state"][height] > 0.13))
    env.reset(seed=0)
    infos, over = [], False
    while not over:
        *_, reward, terminated, truncated, info = env.step(np.zeros(7))
        infos.append(info)
        over = terminated or truncated
    assert terminated and reward == 1 and infos[-1]["is_success"] and infos[-2]["task_success"]
    env.close()


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(classifier_reward).failed == 0
