"""`hilserl classifier`, from labels recorded in the twin to an environment that pays by what it sees."""

import json

import numpy as np
import pytest
import torch

import hilserl_envs
from hilserl_envs.cli import main
from hilserl_envs.learning.classifier import load_classifier
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.recording import EpisodeStore
from tests.labelled_stores import TASK, write_labels

QUICK = ["--crops", "1", "--steps", "30"]


@pytest.fixture(scope="module", autouse=True)
def threads():
    """The command takes one; what comes after has as many as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_labels(tmp_path_factory.mktemp("labels") / "store")


def hilserl(capsys, *args: object, status: int = 0) -> dict:
    """What a subcommand reports."""
    assert main([*map(str, args), "--json"]) == status
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_labels_of_the_twin_become_a_reward(tmp_path, capsys):
    labels, out = tmp_path / "labels", tmp_path / "lifted.safetensors"
    args = ["--device", "expert:noise=0.2", "--successes", "40", "--failures", "120", "--out", labels]
    hilserl(capsys, "label", "PickCube", *args)
    report = hilserl(
        capsys, "classifier", "PickCube", "--labels", labels, "--cameras", "front", "--out", out, "--crops", 1
    )
    (stage,) = report["stages"]
    assert stage["auc"] > 0.95 and report["classifier"] == str(out)
    assert load_classifier(out).thresholds == (stage["threshold"],)
    assert all(tmp_path in file.parents for file in map(type(out), report["report"]))
    env = hilserl_envs.make_env("PickCube", reward=str(out))
    policy = ExpertPolicy(env)
    assert not env.reset(seed=100)[1]["is_success"]
    policy.start(100)
    for _ in range(60):
        _, reward, terminated, truncated, _ = env.step(policy(None))
        if terminated or truncated:
            break
    assert terminated and reward == 1
    # Success is a cube more than 8 cm above where it lay, its middle at 2 cm.
    assert env.unwrapped.robot.scene.pose("cube")[2] > 0.06
    env.close()


def test_a_classifier_without_labels_from_demonstrations(tmp_path, capsys):
    demos = write_labels(tmp_path / "demos", episodes=15, label=False, keep_failures=True)
    out = tmp_path / "classifier.safetensors"
    report = hilserl(capsys, "classifier", TASK, "--from-demos", demos, "--out", out, *QUICK)
    assert report["learned"] + report["held_out"] == sum(
        info.steps + 1 for info in EpisodeStore(demos).episodes
    )
    assert load_classifier(out).info.stages == ("success",)


def test_several_stages_from_several_stores(tmp_path, labels, capsys):
    others = [write_labels(tmp_path / str(seed), seed=seed, episodes=6) for seed in (1, 2)]
    out = tmp_path / "classifier.safetensors"
    stages = ["--stage", f"near={labels}", f"home={others[0]}", "--stage", f"home={others[1]}"]
    report = hilserl(capsys, "classifier", TASK, *stages, "--exclusive", "--out", out, *QUICK)
    assert [stage["stage"] for stage in report["stages"]] == ["near", "home"]
    assert len(report["confusion"]) == 4 and report["stores"] == list(map(str, [labels, *others]))
    assert load_classifier(out).thresholds == tuple(stage["threshold"] for stage in report["stages"])


def test_people_read_how_good_it_is_and_how_sure(tmp_path, labels, capsys):
    args = ["classifier", TASK, "--labels", str(labels), "--out", str(tmp_path / "c.safetensors"), *QUICK]
    assert main([*args, "--false-positive-rate", "0.001"]) == 0
    text = capsys.readouterr().out
    assert "held out by episodes" in text and "AUC" in text and "doubt: success: " in text
    assert f"wrote {tmp_path / 'c.safetensors'}, and the report to {tmp_path / 'c.md'}" in text


def test_the_same_seed_writes_the_same_file(tmp_path, labels, capsys):
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file in files:
        hilserl(capsys, "classifier", TASK, "--labels", labels, "--out", file, "--crops", 1, "--steps", 3)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no frames to learn from"),
        (["--labels", "nowhere"], "holds no episodes"),
        (["--labels", "LABELS", "--labels", "LABELS"], "named twice"),
        (["--labels", "LABELS", "--cameras", "wrist_9"], "unknown camera"),
        (["--labels", "LABELS", "--stage", "grasped=LABELS"], "leave out --labels"),
        (["--stage", "grasped"], "NAME=STORE"),
        (["--labels", "LABELS", "--encoder", "resnet10"], "needs weights=FILE"),
        (["--labels", "LABELS", "--seed", "-1"], "at least 0"),
        (["--labels", "LABELS", "--held-out", "0.9"], "is outside"),
        (["--labels", "LABELS", "--false-positive-rate", "1"], "is outside"),
        (["--labels", "LABELS", "--out", "classifier.pkl"], "named ....safetensors"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing_behind(args, message, tmp_path, labels, capsys):
    out = tmp_path / "classifier.safetensors"
    args = [arg.replace("LABELS", str(labels)) for arg in args]
    error = hilserl(capsys, "classifier", TASK, "--out", out, *args, status=1)["error"]
    assert message in error and not list(tmp_path.iterdir())


def test_labels_of_another_task_are_refused(tmp_path, labels, capsys):
    args = ["classifier", "PickCube", "--labels", labels, "--out", tmp_path / "c.safetensors"]
    assert "is of hilserl/RamInsertion-v0" in hilserl(capsys, *args, status=1)["error"]


def test_images_are_written_that_people_can_look_at(tmp_path, labels, capsys):
    from PIL import Image

    out = tmp_path / "c.safetensors"
    report = hilserl(capsys, "classifier", TASK, "--labels", labels, "--out", out, *QUICK)
    pictures = [file for file in report["report"] if file.endswith(".png")]
    assert len(pictures) == 2
    assert all(np.asarray(Image.open(file).convert("RGB")).std() > 5 for file in pictures)
