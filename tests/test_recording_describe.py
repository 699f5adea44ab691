"""What made a recording, as JSON, and the environment made again from it."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, RescaleAction

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.recording import Leaf, Schema, describe_env, rebuild_env
from hilserl_envs.recording.describe import check_demonstrates, check_same, json_value, versions
from hilserl_envs.teleop import FakeDevice
from hilserl_envs.wrappers import Intervention
from tests.generic_env import GenericEnv


def through_json(env) -> dict:
    return json.loads(json.dumps(describe_env(env), allow_nan=False))


def test_everything_is_in_it():
    env = hilserl_envs.make_env("PickCube", obs="both", keys=["tcp_pose"], settings={"cube_range": 0.05})
    description = through_json(env)
    assert description["env"]["id"] == "hilserl/PickCube-v0"
    assert description["env"]["spec"]["kwargs"]["obs"] == "both"
    assert description["task"]["name"] == "PickCube" and description["task"]["settings"]["cube_range"] == 0.05
    assert description["task"]["settings"]["arms"]["arm"]["limits"]["low"][2] > 0
    names = [wrapper["name"] for wrapper in description["wrappers"]]
    assert names[-3:] == ["RelativeFrame", "RotationRepresentation", "FlattenProprioception"]
    assert [w["name"] for w in description["wrappers"] if w["converts"]] == names[-3:]
    assert description["wrappers"][-1]["kwargs"] == {"keys": ["tcp_pose"]}
    assert description["action_names"] == ["x", "y", "z", "rx", "ry", "rz", "gripper"]
    assert description["fps"] == 10
    env.close()


def test_two_arms_and_things_that_json_cannot_hold():
    description = through_json(Intervention(GenericEnv(arms=2, gripper=False), FakeDevice()))
    (wrapper,) = description["wrappers"]
    assert wrapper["kwargs"]["device"]["repr"].startswith("<") and not wrapper["converts"]
    assert description["action_names"][:1] + description["action_names"][6:7] == ["left/x", "right/x"]
    assert description["env"] == {"id": "GenericEnv", "spec": None} and description["task"] is None


def test_values():
    values = {"a": (1, np.float32(0.5)), "b": np.eye(2), "n": float("nan"), 3: "x"}
    assert json_value(values) == {"repr": repr(values)}  # a key that is no name
    values.pop(3)
    assert json_value(values) == {"a": [1, 0.5], "b": [[1, 0], [0, 1]], "n": {"repr": "nan"}}
    assert json_value(b"x") == {"repr": "b'x'"} and json_value(None) is None


def test_versions():
    assert set(versions()) == {"python", "hilserl_envs", "gymnasium", "mujoco", "numpy"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"obs": "state"},
        {"obs": "state", "frame": "base", "rotation": "6d", "keys": ["tcp_pose"], "max_episode_steps": 7},
        {"gripper": "closed", "crops": {"front": (0, 0, 64, 64)}, "image_size": 64},
    ],
)
def test_made_again(arguments):
    env = hilserl_envs.make_env("PickCube", **arguments)
    again = rebuild_env(through_json(gymnasium.wrappers.RecordEpisodeStatistics(env)))
    assert again.observation_space == env.observation_space and again.action_space == env.action_space
    assert describe_env(again) == describe_env(env)
    one, two = env.reset(seed=3)[0], again.reset(seed=3)[0]
    np.testing.assert_array_equal(one["state"], two["state"])
    env.close()
    again.close()


def test_arguments_in_place_of_the_recorded_ones():
    env = hilserl_envs.make_env("PickCube", obs="state")
    again = rebuild_env(through_json(env), obs="both")
    assert "images" in again.observation_space.spaces
    env.close()
    again.close()


def description_of(**changes) -> dict:
    spec = {"id": "hilserl/PickCube-v0", "kwargs": {"obs": "state"}, **changes.pop("spec", {})}
    return {"env": {"id": spec["id"], "spec": spec}, "wrappers": [], **changes}


def wrapper(entry_point: str, **kwargs) -> dict:
    return {"name": "W", "entry_point": entry_point, "kwargs": kwargs, "converts": True}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "does not say how its environment was made"),
        (description_of(spec={"id": "other/Task-v0"}), "'other/Task-v0' is not registered"),
        (description_of(spec={"id": "antigravity:Task-v0"}), "is not registered"),
        (description_of(spec={"kwargs": {"robot": {"repr": "<R>"}}}), "made with robot=<R>"),
        (description_of(wrappers=[wrapper("os:system")]), "os:system is not of this package"),
        (description_of(wrappers=[wrapper("hilserl_envs.robot:Robot")]), "not a wrapper"),
        (description_of(wrappers=[wrapper("gymnasium.wrappers:Gone")]), "cannot load the wrapper"),
        (
            description_of(wrappers=[wrapper("gymnasium.wrappers:TimeLimit", f={"repr": "<f>"})]),
            "made with f=<f>",
        ),
    ],
)
def test_what_cannot_be_made_again(description, message):
    with pytest.raises(ConfigError, match=message):
        rebuild_env(description)


def test_wrappers_that_change_spaces_convert_whatever_they_are():
    low, high = np.float32([-2, 2])
    for env in (FrameStackObservation(GenericEnv(), 2), RescaleAction(GenericEnv(), low, high)):
        assert describe_env(env)["wrappers"][0]["converts"]


def made(**arguments) -> dict:
    env = hilserl_envs.make_env("PickCube", **{"obs": "both", "flatten": False} | arguments)
    try:
        return through_json(env)
    finally:
        env.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"device": "expert", "max_episode_steps": 7},
        {"obs": "state", "ends_on_success": False},
        {"settings": {"cube_range": 0.05}},
    ],
)
def test_what_may_differ_between_demonstrations_and_who_learns_from_them(arguments):
    check_demonstrates(made(**arguments), made(), "it")
    check_demonstrates(made(), made(**arguments), "it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame": "base"}, "converting wrapper 1 was RotationRepresentation.* and is RelativeFrame"),
        ({"rotation": None}, "converting wrapper 2 was absent and is RotationRepresentation"),
        ({"settings": {"arms": {"arm": {"rotation_scale": 0.1}}}}, "rotation_scale of the arm 'arm' was 0.1"),
        ({"crops": {"front": (0, 0, 64, 64)}}, "converting wrapper 3 was CropImages.* and is absent"),
    ],
)
def test_what_may_not(arguments, message):
    with pytest.raises(
        ConfigError, match=f"it was recorded in another environment: .*{message}.*Record with"
    ):
        check_demonstrates(made(**arguments), made(), "it")


@pytest.mark.parametrize("said", [{"ends_on_success": True}, {"randomise": False}, {"settings": None}])
def test_to_say_what_is_so_anyway_makes_no_other_store(said):
    schema = Schema({"state": Leaf((1,))}, {}, Leaf((1,)))
    for was, now in ((made(), made(**said)), (made(**said), made())):
        check_same({"schema": schema, **was}, schema, now)
    with pytest.raises(ConfigError, match="its ends_on_success was True and is False now"):
        check_same({"schema": schema, **made(**said)}, schema, made(ends_on_success=False))


def test_crops_are_no_matter_to_who_sees_no_images():
    check_demonstrates(made(crops={"front": (0, 0, 64, 64)}), made(), "it", images=False)


def test_another_tasks_demonstrations_are_refused():
    other = made() | {"env": {"id": "hilserl/Other-v0", "spec": None}}
    with pytest.raises(ConfigError, match="the environment was hilserl/Other-v0 and is hilserl/PickCube-v0"):
        check_demonstrates(other, made(), "it")


def test_demonstrations_that_do_not_tell_are_taken_at_their_word():
    check_demonstrates({"source": {"format": "another's"}}, made(), "it")
