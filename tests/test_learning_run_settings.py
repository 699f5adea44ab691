"""What a run is: kept as JSON, changed by name, refused where it makes no sense."""

import json

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.run_settings import RunSettings, with_changes
from hilserl_envs.learning.settings import PRESETS
from hilserl_envs.wrappers import ScriptedOverseer
from tests.learning_run import settings


def test_through_json_and_back():
    made = settings(overseer={"memory": 3}, env={"axes": ["x", "y"]}, utd_ratio=2.5, seed=7)
    assert RunSettings.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_another_versions_settings_are_refused():
    values = settings().to_json()
    with pytest.raises(ConfigError, match="unknown RunSettings setting 'colour'"):
        RunSettings.from_json(values | {"colour": "red"})


def test_settings_are_changed_by_name():
    changed = with_changes(
        settings(),
        ["discount=0.98", "crops=2", "hidden_dims=[8, 4]", "activation=relu", "utd_ratio=0.5", "device=null"],
    )
    assert (changed.agent.discount, changed.crops, changed.utd_ratio) == (0.98, 2, 0.5)
    assert (changed.agent.hidden_dims, changed.agent.activation) == ((8, 4), "relu")
    assert changed.agent.batch_size == settings().agent.batch_size and changed.device is None
    assert with_changes(settings(), []) == settings()


def test_the_environments_are_added_to_those_there_are():
    changes = ['env={"max_episode_steps": 5}', 'env={"image_size": 32}']
    changed = with_changes(settings(env={"frame": "base"}), changes)
    assert changed.env == {"frame": "base", "max_episode_steps": 5, "image_size": 32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("discont=0.98", "unknown setting 'discont': did you mean 'discount'"),
        ("discount", "NAME=VALUE, such as discount=0.98; got 'discount'"),
        ("discount=high", "discount must be a number, got 'high'"),
        ("crops=2.5", "crops is a whole number"),
        ("crops=0", r"crops = 0 is outside \[1, 64\]"),
        ("demonstrations=perhaps", "demonstrations is true or false, got 'perhaps'"),
        ("hidden_dims=64", "widths of layers"),
        ("env=5", "env is settings by name, got 5"),
        ("overseer=5", "overseer is settings by name"),
        ("device=5", "device is a name, got 5"),
        ("agent=5", "unknown setting 'agent'"),
    ],
)
def test_changes_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        with_changes(settings(), [change])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algorithm": "sacc"}, "did you mean 'sac'"),
        ({"obs": "both"}, "unknown obs 'both'"),
        ({"device": "spacemose:x=1"}, "did you mean 'spacemouse'"),
        ({"interventions": False, "overseer": {}}, "neither device nor overseer"),
        ({"interventions": False, "device": "keyboard"}, "neither device nor overseer"),
        ({"algorithm": "bc", "demonstrations": False}, "imitates demonstrations"),
        ({"algorithm": "hg-dagger"}, "needs somebody who corrects"),
        ({"fresh_crops": True}, "fresh_crops is about images, and obs='state' has none; leave one out"),
        (
            {"obs": "state", "env": {"robot": "http://127.0.0.1:5000"}},
            "only the twin knows, and robot is 'http",
        ),
        ({"env": {"reward": "person"}}, "reward 'person': nobody is there to say so"),
        ({"env": {"reward": "person"}, "device": "expert"}, "give the person's device"),
        ({"env": {"intervention": {"mode": "toggle"}}}, "'mode': 'toggle'}, needs a device; give one"),
        ({"wait": True, "overseer": {}}, "wait is for a person, and there is none"),
        ({"encoder": "none"}, "encoder='none' is about images, and obs='state' has none"),
        (
            {"obs": "pixels", "encoder": "none", "encoder_weights": "a.pkl"},
            "no weights, got 'a.pkl'; leave out",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        settings(**wrong)


def test_who_takes_over_is_there_only_where_the_run_is_watched():
    made = settings(overseer={"memory": 3}, env={"max_episode_steps": 9})
    watched, alone = made.make_env(), made.make_env(watched=False)
    assert isinstance(watched, ScriptedOverseer) and watched.get_wrapper_attr("attention") == 1.0
    assert not alone.has_wrapper_attr("intervenes")
    assert alone.spec.max_episode_steps == watched.spec.max_episode_steps == 9
    assert alone.observation_space == watched.observation_space
    watched.close()
    alone.close()


def test_a_person_gives_the_reward_where_one_is_and_the_task_where_none_is():
    made = settings(device="browser", env={"reward": "person", "intervention": {"mode": "toggle"}})
    alone = made.make_env(watched=False)
    assert alone.unwrapped.ends_on_success and not alone.has_wrapper_attr("judged_by_person")
    again = made.make_env(watched=False, device="browser:port=0")
    assert not again.unwrapped.ends_on_success and again.get_wrapper_attr("judged_by_person")
    alone.close()
    again.close()


def test_who_acts_and_who_may_take_over():
    assert settings().acts and not settings(algorithm="bc").acts
    assert not settings(device="expert:noise=0.1").with_person and not settings().with_person
    assert settings(device="keyboard").with_person


def test_a_task_by_any_of_its_names():
    assert all(settings().is_of(name) for name in ("PickCube", "PickCube-v0", "hilserl/PickCube-v0"))
    assert not settings().is_of("RamInsertion")
    with pytest.raises(ConfigError, match="did you mean"):
        settings().is_of("PickCub")


def test_state_needs_no_encoder_and_pixels_have_the_one_named():
    assert settings().make_encoder() is None
    assert settings(obs="pixels").make_encoder().name == "efficientnet-lite0"
    with pytest.raises(ConfigError, match="needs weights"):
        settings(obs="pixels", encoder="resnet10").make_encoder()
    assert settings(obs="pixels", encoder="none").make_encoder() is None
    with pytest.raises(ConfigError, match="unknown encoder dtype 'bfloat'"):
        settings(obs="pixels", encoder="none", encoder_dtype="bfloat").make_encoder()
    with pytest.raises(ConfigError, match="unknown image encoder 'non': did you mean 'none'.*resnet10"):
        settings(obs="pixels", encoder="non").make_encoder()


def test_without_a_frozen_encoder_crops_are_always_fresh():
    assert settings(obs="pixels", encoder="none").crops_at_update
    assert settings(obs="pixels", fresh_crops=True).crops_at_update
    assert not settings(obs="pixels").crops_at_update and not settings().crops_at_update
    assert with_changes(
        settings(obs="pixels"), ["encoder=none", "cnn_channels=[8, 4]"]
    ).agent.cnn_channels == (8, 4)


def test_the_fast_preset_is_the_default():
    assert RunSettings(task="PickCube").agent == PRESETS["fast"]
