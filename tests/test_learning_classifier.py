"""A classifier's file, what it refuses, and how it judges an environment by name."""

import dataclasses
import json
import shutil

import gymnasium
import numpy as np
import pytest
import torch

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.classifier import (
    ClassifierInfo,
    ClassifierNetwork,
    RewardClassifier,
    encode,
    feature_shapes,
    load_classifier,
    probabilities,
)
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
from hilserl_envs.recording import describe_env
from hilserl_envs.wrappers import ClassifierReward, CropImages
from tests.generic_env import GenericEnv
from tests.mirrored_run import open_inbox, open_mirror

SIZE = 48


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(stages: int = 1, **info) -> RewardClassifier:
    """A classifier that nobody trained."""
    encoder = make_encoder()
    told = {
        "task": "GenericEnv",
        "stages": ("grasped", "placed")[:stages],
        "thresholds": (0.6, 0.7)[:stages],
        "cameras": {"images/front": (SIZE, SIZE, 3)},
        "crops": [],
        "encoder": encoder.name,
        "encoder_weights": None,
    }
    made = ClassifierInfo(**{**told, **info})
    torch.manual_seed(0)
    network = ClassifierNetwork(feature_shapes(encoder, made.cameras), stages)
    return RewardClassifier(made, encoder, network)


@pytest.fixture
def env():
    env = GenericEnv(image_size=(SIZE, SIZE))
    env.reset(seed=0)
    return env


def test_a_file_holds_all_of_it(tmp_path, env):
    classifier = make(stages=2, crops=[{"crops": {"front": [0, 0, 9, 9]}, "size": [48, 48]}])
    classifier.save(tmp_path / "new" / "classifier.safetensors")
    loaded = load_classifier(tmp_path / "new" / "classifier.safetensors")
    assert loaded.info == classifier.info and loaded.thresholds == (0.6, 0.7)
    observation = env.reset()[0]
    answer = loaded(observation)
    assert answer.shape == (2,) and answer.dtype == np.float32 and ((answer > 0) & (answer < 1)).all()
    np.testing.assert_array_equal(answer, classifier(observation))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["classifier.safetensors"]


def test_many_frames_at_once_are_judged_as_one_by_one(env):
    classifier = make()
    observations = [env.reset()[0] for _ in range(5)]
    images = {"images/front": np.stack([observation["images"]["front"] for observation in observations])}
    together = probabilities(classifier.network, encode(classifier.encoder, images))
    alone = np.stack([classifier(observation) for observation in observations])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_it_finds_its_cameras_in_any_observation(env):
    classifier, observation = make(), env.reset()[0]
    more = {"images/front": observation["images"]["front"], "images/side": 0, "state": np.zeros(3)}
    np.testing.assert_array_equal(classifier(more), classifier(observation))
    with pytest.raises(ConfigError, match=r"'images/front' of shape \(48, 48, 3\), got \(32, 32, 3\)"):
        classifier({"images": {"front": np.zeros((32, 32, 3), np.uint8)}})
    with pytest.raises(ConfigError, match=r"'images/front'.* got \(\)"):
        classifier({"state": np.zeros(3)})


def test_what_is_no_classifier_is_named(tmp_path):
    path = tmp_path / "classifier.safetensors"
    with pytest.raises(ConfigError, match="named ....safetensors"):
        make().save(tmp_path / "classifier.pt")
    with pytest.raises(ConfigError, match="classifier.safetensors is not there"):
        load_classifier(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(ConfigError, match="damaged.*hilserl classifier"):
        load_classifier(path)
    save_tensors(path, {"weight": torch.zeros(1)}, {"what": "a policy"})
    with pytest.raises(ConfigError, match="no classifier of this version"):
        load_classifier(path)


def test_another_encoder_than_it_was_trained_on_is_refused(tmp_path):
    path = tmp_path / "classifier.safetensors"
    make().save(path)
    tensors, about = load_tensors(path)
    tensors["encoder_check"] += 0.5
    save_tensors(path, tensors, about)
    with pytest.raises(ConfigError, match="with other weights"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"task": "hilserl/PickCube-v0"}, "it is GenericEnv, not hilserl/PickCube-v0"),
        ({"cameras": {"images/front": (64, 64, 3)}}, r"'images/front' is \(48, 48, 3\), not \(64, 64, 3\)"),
        ({"cameras": {"images/side": (48, 48, 3)}}, "'images/side' is absent"),
        ({"crops": [{"crops": {}, "size": None}]}, "its images are cropped by"),
    ],
)
def test_an_environment_of_other_images_is_refused(info, message, tmp_path, env):
    make(**info).save(tmp_path / "classifier.safetensors")
    with pytest.raises(ConfigError, match=message):
        ClassifierReward(env, tmp_path / "classifier.safetensors")


def test_the_same_crops_are_accepted(tmp_path):
    env = CropImages(GenericEnv(image_size=(96, 96)), {"front": (9, 9, 60, 60)}, size=(SIZE, SIZE))
    crops = [{"crops": {"front": [9, 9, 60, 60]}, "size": [SIZE, SIZE]}]
    make(crops=crops).save(tmp_path / "classifier.safetensors")
    ClassifierReward(env, tmp_path / "classifier.safetensors")
    make(crops=None).save(tmp_path / "unknown.safetensors")  # of imported frames
    ClassifierReward(env, tmp_path / "unknown.safetensors")


def rewards(env: gymnasium.Env) -> tuple[float, np.ndarray]:
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(7))
    return reward, info["success_probability"]


def test_the_files_thresholds_count_unless_others_are_given(tmp_path, env):
    classifier = make(stages=2)
    _, probability = rewards(ClassifierReward(env, classifier, threshold=0.5))
    low, high = float(probability.min()) - 1e-4, float(probability.max()) + 1e-4
    for thresholds, reward in (((low, low), 2), ((high, high), 0)):
        path = tmp_path / "classifier.safetensors"
        info = dataclasses.replace(classifier.info, thresholds=thresholds)
        trained = RewardClassifier(info, classifier.encoder, classifier.network)
        trained.save(path)
        assert rewards(ClassifierReward(env, str(path)))[0] == reward
        assert rewards(ClassifierReward(env, trained))[0] == reward
        assert rewards(ClassifierReward(env, str(path), threshold=high))[0] == 0


def test_an_environment_can_be_made_and_made_again_with_it(tmp_path):
    path = tmp_path / "classifier.safetensors"
    cameras = {"images/front": (SIZE, SIZE, 3)}
    make(task="hilserl/PickCube-v0", cameras=cameras, thresholds=(0.999,)).save(path)
    stack = {"obs": "both", "image_size": SIZE, "overseer": {}}
    env = hilserl_envs.make_env("PickCube", reward=path, **stack)
    assert not env.unwrapped.ends_on_success
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gymnasium.make(spec)
    for one in (env, again):
        one.reset(seed=0)
    info, same = (one.step(one.action_space.low)[4] for one in (env, again))
    assert info["success_probability"] == same["success_probability"]
    (judging,) = [w for w in describe_env(again)["wrappers"] if w["name"] == "ClassifierReward"]
    assert judging["kwargs"]["classifier"] == str(path) and json.dumps(judging)
    env.close()
    again.close()
    reward = {"classifier": str(path), "consecutive": 2, "conditions": {"gripper_pose": (0, 0.9)}}
    hilserl_envs.make_env("PickCube", reward=reward, **stack).close()


def test_a_run_has_a_copy_of_it_wherever_it_goes(tmp_path, monkeypatch):
    """By a path from where it was begun; then the file is another, and the run somewhere else."""
    monkeypatch.chdir(tmp_path)
    cameras = {"images/front": (SIZE, SIZE, 3)}
    made = make(task="hilserl/PickCube-v0", cameras=cameras)
    made.save("it.safetensors")
    env = {"reward": {"classifier": "it.safetensors", "consecutive": 2}, "image_size": SIZE}
    run = RunFolder.create("run", RunSettings("PickCube", env=env, demonstrations=False), None)
    (tmp_path / "it.safetensors").write_bytes(b"another")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(run.path, tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for folder in ("run", tmp_path / "elsewhere" / "run"):
        reward = RunFolder(folder).settings.env["reward"]
        assert load_classifier(reward["classifier"]).info == made.info and reward["consecutive"] == 2
    RunFolder("run").settings.make_env(watched=False).close()

    # And so has an actor on another machine.
    inbox = open_inbox(RunFolder("run"))
    mirror = open_mirror(tmp_path / "mirror", RunFolder("run"), inbox)
    assert mirror.run.settings.env["reward"]["classifier"].startswith(str(tmp_path / "mirror"))
    mirror.run.settings.make_env(watched=False).close()
    mirror.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "nowhere.safetensors"}, "nowhere.safetensors is not there"),
        ({"reward": {"classifier": "nowhere.safetensors", "treshold": 0.5}}, "did you mean 'threshold'"),
        ({"reward": {"consecutive": 2}}, "name a classifier"),
        ({"reward": "nowhere.safetensors", "ends_on_success": True}, "ends_on_success=False"),
    ],
)
def test_wrong_rewards_are_explained(options, message):
    with pytest.raises(ConfigError, match=message):
        hilserl_envs.make_env("PickCube", obs="state", **options)
