"""A run's folder: what goes in, what is refused, and files that are whole at any instant."""

import json
import shutil

import gymnasium
import numpy as np
import pytest
import torch

import hilserl_envs
from hilserl_envs.errors import ConfigError, LearningError, RecordingError
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import save_tensors
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, RecordEpisodes
from hilserl_envs.tasks import TASKS
from hilserl_envs.tasks.pick_cube import PickCube
from tests.learning_run import demonstrations, log, new_run, open_writer, settings
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


def record(folder, steps=2, keep="all", **arguments):
    """A store of one episode, in an environment made with those arguments."""
    task = arguments.pop("task", "PickCube")
    env = hilserl_envs.make_env(task, **{"obs": "state", "flatten": False} | arguments)
    env = RecordEpisodes(env, folder, keep, sync=False)
    env.reset(seed=0)
    for _ in range(steps):
        env.step(np.zeros(env.action_space.shape, np.float32))
    env.close()
    return folder


# What goes in


def test_a_run_knows_what_it_is(tmp_path):
    made = RunFolder.create(tmp_path / "deep" / "run", settings(overseer={}), demonstrations())
    again = RunFolder(made.path)
    assert again.settings == made.settings == settings(overseer={})
    assert again.inputs == made.inputs and again.layout == made.layout
    assert sum(again.inputs.state.values()) == again.inputs.state_size and again.inputs.cameras == {}
    assert again.layout[0].gripper and again.layout[0].stop == 7
    copy, original = EpisodeStore(again.demonstrations), EpisodeStore(demonstrations())
    assert copy.verify() == [] and len(copy) == len(original) == 2
    assert not (again.demonstrations / "lock").exists()
    with EpisodeWriter(demonstrations()):  # the original is nobody's, and what becomes of it is no matter
        pass
    assert json.loads((again.path / "config.json").read_text())["versions"]["torch"] == torch.__version__


def test_demonstrations_with_images_serve_a_run_without(tmp_path):
    """Also where the images are cropped: nobody looks at them."""
    folder = record(tmp_path / "demos", obs="both", crops={"front": (0, 0, 64, 64)}, image_size=64)
    run = RunFolder.create(tmp_path / "run", settings(), folder)
    assert EpisodeStore(run.demonstrations).schema.images and not run.inputs.cameras


def test_who_judged_the_demonstrations_is_no_matter(tmp_path):
    folder = record(tmp_path / "demos", ends_on_success=False, device="expert")
    RunFolder.create(tmp_path / "run", settings(overseer={}), folder)


def test_demonstrations_that_do_not_say_where_they_are_from_are_taken_at_their_word(tmp_path):
    original = EpisodeStore(demonstrations())
    with EpisodeWriter(tmp_path / "demos", original.schema, {"source": {"format": "another's"}}) as writer:
        for row in (0, 1):
            observation = {key: original.take(key, [row])[0] for key in original.schema.observations}
            writer.begin(observation) if row == 0 else writer.step(observation, np.zeros(7), 1.0, True, False)
        writer.end(kept=True)
    RunFolder.create(tmp_path / "run", settings(), tmp_path / "demos")


class OtherCube(PickCube):
    """The same numbers, and another task."""


@pytest.fixture
def other_task():
    name = hilserl_envs.register(OtherCube)
    yield name
    del gymnasium.registry[name], TASKS[name]


def test_another_tasks_demonstrations_are_refused_though_their_shapes_fit(tmp_path, other_task):
    folder = record(tmp_path / "demos", task=other_task)
    with pytest.raises(
        ConfigError,
        match="the environment was hilserl/OtherCube-v0 and is hilserl/PickCube-v0 now.*Record with the same",
    ):
        RunFolder.create(tmp_path / "run", settings(), folder)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recorded", "wanted", "message"),
    [
        ({"frame": "base"}, {}, "RelativeFrame"),
        ({"rotation": "euler"}, {}, "'euler'.*'rotvec'"),
        ({"axes": ["x", "y", "z", "rx"]}, {"axes": ["x", "y", "z", "rz"]}, "ActionSubspace.*'rx'.*'rz'"),
        ({"gripper": "open"}, {"gripper": "closed"}, "FixedGripper.*'open'.*'closed'"),
        (
            {"settings": {"arms": {"arm": {"translation_scale": 0.01}}}},
            {},
            "the translation_scale of the arm 'arm' was 0.01 and is 0.03 now",
        ),
    ],
)
def test_actions_and_poses_that_mean_something_else_are_refused(tmp_path, recorded, wanted, message):
    folder = record(tmp_path / "demos", **recorded)
    with pytest.raises(ConfigError, match=f"recorded in another environment: .*{message}"):
        RunFolder.create(tmp_path / "run", settings(env=wanted), folder)


def test_demonstrations_that_lack_something_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="'images/front' is absent.*obs=both"):
        RunFolder.create(tmp_path / "run", settings(obs="pixels"), demonstrations())


def test_a_run_needs_the_demonstrations_that_it_shall_have_and_no_others(tmp_path):
    create = RunFolder.create
    with pytest.raises(ConfigError, match="no demonstrations: record some"):
        create(tmp_path / "run", settings(), None)
    with pytest.raises(ConfigError, match="leave them out"):
        create(tmp_path / "run", settings(demonstrations=False), demonstrations())
    with pytest.raises(RecordingError, match="holds no episodes"):
        create(tmp_path / "run", settings(), tmp_path / "nowhere")
    for steps, keep in ((2, "success"), (0, "all")):
        with pytest.raises(ConfigError, match="holds no episode that is kept"):
            create(tmp_path / "run", settings(), record(tmp_path / f"none{steps}", steps, keep))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"obs": "pixels", "encoder": "resnet"}, "did you mean 'resnet10'"),
        ({"overseer": {"stall_step": 3}}, "did you mean 'stall_steps'"),
        ({"env": {"frame": "world"}}, "unknown frame"),
        ({"task": "PickCub"}, "did you mean"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_folder(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        RunFolder.create(tmp_path / "run", settings(**wrong), demonstrations())
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_over(run, tmp_path):
    with pytest.raises(ConfigError, match="holds a run already; resume it"):
        RunFolder.create(run.path, settings(), demonstrations())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="not empty, and holds no run"):
        RunFolder.create(tmp_path / "full", settings(), demonstrations())


def test_a_disk_that_is_full_leaves_no_half_a_run(tmp_path):
    with no_room_beyond(3000), pytest.raises(LearningError, match="demonstrations: .*File too large.*room"):
        RunFolder.create(tmp_path / "run", settings(), demonstrations())
    assert not any((tmp_path / "run").iterdir())
    RunFolder.create(tmp_path / "run", settings(), demonstrations())


# What is there


def test_what_is_no_run_is_said(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ConfigError, match="is no run: it has no config.json; give the folder of one"):
            RunFolder(path)


@pytest.mark.parametrize("damage", ['{"format": 1,', "[]", '{"format": 1}', "{}"])
def test_a_damaged_config_is_said(run, damage):
    (run.path / "config.json").write_text(damage)
    with pytest.raises(LearningError, match="config.json is damaged: .*restore it"):
        RunFolder(run.path)


def test_another_versions_run_is_refused(run):
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(ConfigError, match="has format 2, this version reads 1"):
        RunFolder(run.path)
    config["settings"]["colour"] = "red"
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="unknown RunSettings setting 'colour'"):
        RunFolder(run.path)


def test_a_side_of_a_run_is_one_process(run):
    release = run.hold("learner")
    with pytest.raises(ConfigError, match="trained already: another process is its learner; stop"):
        RunFolder(run.path).hold("learner")
    run.hold("actor")()
    release()
    run.hold("learner")()


def test_what_it_is_and_needs_in_words(tmp_path, run):
    assert "PickCube, sac from state" in run.describe()
    assert "demonstrations: 2 episodes" in run.describe() and "GB are free" in run.describe()
    pixels = settings(obs="pixels", demonstrations=False, replay_capacity=1000, env={"image_size": 64})
    lines = RunFolder.create(tmp_path / "pixels", pixels, None).describe()
    # 4 crops of 2 cameras: 112 channels of 4 x 4 bytes, and a scale of 2 bytes each; and room to spare.
    assert f"up to {1250 * 4 * 2 * 112 * 18 / 1e9:.2f}"[:-1] in lines and "newest 1000 frames" in lines
    assert "demonstrations" not in lines
    pixels = settings(obs="pixels", demonstrations=False, encoder="none", env={"image_size": 64})
    lines = RunFolder.create(tmp_path / "none", pixels, None).describe()
    assert f"up to {125_000 * 2 * 64 * 64 * 3 / 1e9:.1f} GB of frames (of the newest 100000" in lines


def test_lines_of_the_log_are_whole_after_a_kill(run):
    log(run, 25)
    with open(run.learner_log, "a") as file:
        file.write('{"updates": 50, "st')
    log(run, 50)
    lines = run.learner_log.read_text().splitlines()
    assert [json.loads(line)["updates"] for line in (lines[0], lines[2])] == [25, 50]
    with no_room_beyond(run.learner_log.stat().st_size + 5):
        with pytest.raises(LearningError, match="cannot write .*learner.jsonl: File too large.*Make room"):
            log(run, 75)
    log(run, 100)
    assert json.loads(run.learner_log.read_text().splitlines()[-1])["updates"] == 100


def test_its_time_is_that_of_the_last_checkpoint(run):
    assert run.seconds() == 0.0
    save_tensors(run.checkpoint(), {"a": torch.zeros(1)}, {"seconds": 12.5})
    assert run.seconds() == 12.5


# Files


def test_its_experience_is_one_store_or_one_a_robot(run):
    assert run.experience == [run.replay]
    for name in ("right", "left"):
        (run.replays / name).mkdir(parents=True)
    assert run.experience == [run.replays / "left", run.replays / "right"]
    run.replay.mkdir()  # of a time when there was one
    assert run.experience == [run.replay, run.replays / "left", run.replays / "right"]


def test_copied_elsewhere_it_is_the_same_run(run, tmp_path):
    with open_writer(run):
        pass
    moved = RunFolder(shutil.copytree(run.path, tmp_path / "elsewhere"))
    assert moved.settings == run.settings and EpisodeStore(moved.replay).schema
