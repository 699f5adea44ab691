"""A store's keys and layout, from an environment's spaces."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording import Leaf, Schema
from hilserl_envs.recording.schema import flatten
from hilserl_envs.wrappers import FlattenProprioception
from tests.generic_env import GenericEnv


class Env(gymnasium.Env):
    """Spaces and nothing else."""

    def __init__(self, observation_space, action_space=None):
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Box(-1, 1, (2,), np.float32)


def test_nested_keys_are_joined_and_pictures_are_images():
    schema = Schema.of_env(GenericEnv(arms=2), {"label": "int8", "force": Leaf((3,))})
    assert schema.observations["state/left/tcp_pose"] == Leaf((7,), "float32")
    assert schema.images == {"images/front": (12, 16, 3)}
    assert schema.action == Leaf((14,), "float32")
    assert schema.extras == {"label": Leaf((), "int8"), "force": Leaf((3,), "float32")}
    observation = GenericEnv(arms=2).reset(seed=0)[0]
    assert {key for key, _ in flatten(observation)} == {*schema.observations, *schema.images}


def test_observations_without_keys():
    schema = Schema.of_env(Env(spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Discrete(4)))
    assert list(schema.images) == ["observation"] and schema.action.shape == ()
    assert str(schema.blob("observation")) == "images/observation.bin"
    assert dict(flatten(np.ones(2))).keys() == {"observation"}


def test_flat_state_keeps_its_keys():
    schema = Schema.of_env(FlattenProprioception(GenericEnv(), ["tcp_vel", "gripper_pose"]))
    assert schema.observations == {"state": Leaf((7,), "float32")}
    assert schema.slices == {"state/tcp_vel": ("state", 0, 6), "state/gripper_pose": ("state", 6, 7)}


def test_slices_of_a_state_that_was_changed_again_are_left_out():
    env = FlattenProprioception(GenericEnv(), ["tcp_vel"])
    space = spaces.Dict({**env.observation_space, "state": spaces.Box(-1, 1, (9,), np.float32)})
    assert Schema.of_env(gymnasium.wrappers.TransformObservation(env, lambda o: o, space)).slices == {}


def test_records_are_packed_little_endian_and_end_in_their_check():
    record = Schema({"x": Leaf((2,), ">f8"), "n": Leaf((), "int64")}, {"eye": (4, 4, 3)}, Leaf((3,))).record
    assert record.names[-1] == "crc" and record.fields["crc"][1] == record.itemsize - 4
    assert record["observation"]["x"].base == np.dtype("<f8")
    assert record.itemsize == 1 + 4 + 4 + 8 + 12 + 4 + 4 + (16 + 8) + 16 + 4


@pytest.mark.parametrize("key", ["", "a//b", "../up", "a/..", "a\\b", "nul\0"])
def test_keys_that_cannot_be_files(key):
    with pytest.raises(ConfigError, match="cannot be a key"):
        Schema({}, {key: (2, 2, 3)}, Leaf((1,)))


def test_one_name_is_one_thing():
    with pytest.raises(ConfigError, match="'x' is there twice"):
        Schema({"x": Leaf()}, {}, Leaf((1,)), {"x": Leaf()})
    with pytest.raises(ConfigError, match="share a file"):
        Schema({}, {"front": (2, 2, 3), "images/front": (2, 2, 3)}, Leaf((1,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Leaf((), "text"), "'text' is not a type"),
        (lambda: Leaf((), "S3"), "holds booleans"),
        (lambda: Schema({}, {}, Leaf(), image_format="webp"), "unknown image format 'webp'"),
        (lambda: Schema({}, {"eye": (4, 4, 1)}, Leaf()), r"'eye' must have shape .* got \(4, 4, 1\)"),
        (lambda: Schema({"s": Leaf((3,))}, {}, Leaf(), {}, {"s/a": ("s", 1, 4)}), "cannot be s"),
        (lambda: Schema.of_env(Env(spaces.Dict({"said": spaces.Text(5)}))), "'said' cannot be recorded"),
        (lambda: Schema.of_env(Env(spaces.Box(0, 1), spaces.Dict(a=spaces.Box(0, 1)))), "'action' cannot"),
        (lambda: Schema.from_json({"observations": {}}), "not the schema"),
        (lambda: Schema.from_json([]), "not the schema"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_as_json_and_back():
    schema = Schema.of_env(FlattenProprioception(GenericEnv()), {"label": "int8"}, "raw")
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert schema.differences(schema) == []


def test_differences_name_the_key_and_both_shapes():
    one = Schema({"x": Leaf((2,)), "y": Leaf()}, {"eye": (4, 4, 3)}, Leaf((3,)))
    two = Schema({"x": Leaf((2,), "float64")}, {"eye": (8, 4, 3)}, Leaf((3,)), image_format="raw")
    words = "\n".join(one.differences(two))
    assert "'x' is (2,) float32 in the store and (2,) float64 now" in words
    assert "'y' is () float32 in the store and absent now" in words
    assert "'eye' is an image 4x4x3 in the store and an image 8x4x3 now" in words
    assert "the image format is png in the store and raw now" in words
    assert "action" not in words
