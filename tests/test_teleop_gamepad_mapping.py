"""Mapping files: the one that ships covers everything, and a wrong entry is named."""

import json

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.teleop.gamepad_mapping import read_mapping
from hilserl_envs.teleop.gamepad_process import AXES
from hilserl_envs.teleop.keys import FINE, MOTIONS


def test_the_default_moves_every_axis_both_ways():
    controls = read_mapping().controls
    sticks = {controls[axis][1:] for axis in AXES[:4]}
    buttons = {meaning for control, meaning in controls.items() if control not in AXES[:4]}
    for motion in MOTIONS:
        assert motion[1:] in sticks or motion in buttons
    assert {"gripper", "takeover", "success", "failure", "discard", "pause", "switch_arm", FINE} <= buttons


def write(tmp_path, text: str):
    path = tmp_path / "mine.json"
    path.write_text(text)
    return path


def test_a_file_of_ones_own_replaces_the_default(tmp_path):
    line = "030000004c0500006802000011010000,My Pad,a:b0,b:b1,platform:Linux,"
    mapping = read_mapping(write(tmp_path, json.dumps({"controls": {"a": "close"}, "sdl": [line]})))
    assert mapping.controls == {"a": "close"} and mapping.sdl == (line,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"controls": {"a": "gripper",}}', "line 1 column"),
        ("[]", 'an object with "controls"'),
        ('{"controls": {}, "control": {}}', "unknown field 'control': did you mean 'controls'"),
        ('{"controls": ["a"]}', '"controls" must hold meanings by control, got'),
        ('{"controls": {"leftz": "+x"}}', "unknown control 'leftz': did you mean 'lefty'"),
        ('{"controls": {"b": "griper"}}', "unknown meaning of 'b' 'griper': did you mean 'gripper'"),
        ('{"controls": {"lefty": "pause"}}', "'lefty' is a stick's axis, it means a motion"),
        ('{"controls": {}, "sdl": ["a:b0"]}', '"sdl" must be a list of lines'),
    ],
)
def test_an_error_names_the_file_and_the_entry(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_mapping(path)
    assert str(path) in str(error.value) and said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.json: No such file"):
        read_mapping(tmp_path / "none.json")
