"""`hilserl record`, `label`, `inspect` and `replay`, one after the other, as a user would."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from hilserl_envs.cli import main
from hilserl_envs.learning.load_policy import load_policy
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.labels import labelled_frames
from tests.saved_runs import save_run


def hilserl(capsys, *args: str, status: int = 0) -> dict:
    """What a subcommand reports."""
    assert main([*args, "--json"]) == status
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """Demonstrations of an expert who is not always right."""
    folder = tmp_path_factory.mktemp("demos") / "pick"
    args = ["--device", "expert:skill=0.5,noise=0.1", "--episodes", "3", "--out", str(folder), "--seed", "4"]
    assert main(["record", "PickCube", *args]) == 0
    return folder


def test_only_successes_are_kept_and_the_session_is_described(demos):
    store = EpisodeStore(demos)
    assert len(store) == 3 and all(episode.info.success for episode in store)
    assert [info.seed for info in store.episodes] == [4 + info.number for info in store.episodes]
    assert store.meta["env"]["id"] == "hilserl/PickCube-v0"
    assert store.meta["session"]["device"] == "expert:skill=0.5,noise=0.1"
    assert "state/tcp_pose" in store.keys and "images/front" in store.keys


def test_the_same_line_again_completes_the_recording(demos, capsys):
    args = ["record", "PickCube", "--device", "expert", "--out", str(demos), "--seed", "4"]
    before = len(EpisodeStore(demos).episodes)
    assert hilserl(capsys, *args, "--episodes", "3")["recorded"] == before  # nothing left to do
    report = hilserl(capsys, *args, "--episodes", "4")
    assert report["kept"] == 4 and report["recorded"] == before + 1
    assert EpisodeStore(demos).episodes[-1].seed == 4 + before


def test_another_stack_is_not_mixed_in(demos, capsys):
    args = ["record", "PickCube", "--device", "expert", "--out", str(demos), "--frame", "base"]
    report = hilserl(capsys, *args, status=1)
    assert "cannot append to this store" in report["error"] and "RelativeFrame" in report["error"]


def test_replay_drifts_nowhere(demos, capsys):
    report = hilserl(capsys, "replay", str(demos))
    assert report["same_outcome"] == report["episodes"] >= 3
    assert report["largest_drift_m"] == 0.0


def test_one_episode_can_be_replayed_and_filmed(demos, capsys, tmp_path):
    film = tmp_path / "replay.mp4"
    shortest = min(EpisodeStore(demos).episodes, key=lambda info: info.steps)
    report = hilserl(capsys, "replay", str(demos), "--episode", str(shortest.number), "--video", str(film))
    assert [replay["episode"] for replay in report["replays"]] == [shortest.number]
    with av.open(film) as video:
        assert sum(1 for _ in video.decode(video=0)) == shortest.steps + 1
    assert (
        "there is no episode 99"
        in hilserl(capsys, "replay", str(demos), "--episode", "99", status=1)["error"]
    )


def test_inspect_sums_up_and_shows(demos, capsys):
    report = hilserl(capsys, "inspect", str(demos), "--verify")
    kept = [run for run in report["runs"] if run["kept"]]
    assert report["episodes"] == report["successes"] == len(kept)
    assert report["steps"] == report["interventions"] == sum(run["steps"] for run in kept)
    assert report["keys"]["images/front"] == [128, 128, 3] and report["bytes"] > 10_000
    assert report["damage"] == [] and report["unfinished"] == 0
    sheet = np.asarray(Image.open(report["contact_sheet"]))
    assert sheet.shape == (len(kept) * 132 + 4, 16 * 132 + 4, 3) and sheet.std() > 20


def test_inspect_takes_episodes_out_and_back_in(demos, capsys):
    kept = hilserl(capsys, "inspect", str(demos))["episodes"]
    first = next(info.number for info in EpisodeStore(demos).episodes if info.kept)
    assert hilserl(capsys, "inspect", str(demos), "--discard", str(first))["episodes"] == kept - 1
    assert EpisodeStore(demos).episodes[first].why == "taken out by hand"
    assert hilserl(capsys, "inspect", str(demos), "--keep", str(first))["episodes"] == kept
    both = ("--keep", str(first), "--discard", str(first))
    assert "both name" in hilserl(capsys, "inspect", str(demos), *both, status=1)["error"]
    assert "is none of the" in hilserl(capsys, "inspect", str(demos), "--discard", "99", status=1)["error"]


def test_inspect_finds_damage(demos, capsys, tmp_path):
    copied = tmp_path / "copied"
    copied.mkdir()
    for file in demos.rglob("*"):
        if file.is_file() and file.name != "lock":
            (copied / file.relative_to(demos)).parent.mkdir(exist_ok=True)
            (copied / file.relative_to(demos)).write_bytes(file.read_bytes())
    steps = bytearray((copied / "steps.bin").read_bytes())
    steps[len(steps) // 2] ^= 1
    (copied / "steps.bin").write_bytes(steps)
    report = hilserl(capsys, "inspect", str(copied), "--verify", status=1)
    assert "not as it was written" in report["damage"][0]


def test_a_whole_session_judged_by_a_scripted_person(tmp_path, capsys):
    folder = str(tmp_path / "demos")
    args = ["--device", "expert", "--episodes", "1", "--reward", "person", "--out", folder, "--keep-all"]
    assert hilserl(capsys, "record", "PickCube", *args)["outcomes"]["success"] == 1
    (episode,) = EpisodeStore(folder)
    assert episode.rewards[-1] == 1 and episode.terminated[-1]


def test_label_collects_frames_of_both_kinds(tmp_path, capsys):
    args = ["label", "PickCube", "--device", "expert", "--out", str(tmp_path / "labels")]
    args += ["--obs", "both", "--frame", "base"]
    report = hilserl(capsys, *args, "--successes", "5", "--failures", "40")
    assert report["labels"]["success"] >= 5 and report["labels"]["failure"] >= 40
    store = EpisodeStore(tmp_path / "labels")
    done, not_done = (labelled_frames(store, label) for label in ("success", "failure"))
    assert len(done) == report["labels"]["success"] and len(not_done) == report["labels"]["failure"]
    # Success is a cube more than 8 cm above where it lay, its middle at 2 cm.
    assert store.take("state/cube_pose", done)[:, 2].min() > 0.1
    assert store.take("state/cube_pose", not_done)[:, 2].max() <= 0.1
    again = hilserl(capsys, *args, "--successes", "5", "--failures", "40")
    assert again == report


def test_label_takes_no_more_than_so_many_successes_of_an_episode(tmp_path, capsys):
    args = ["label", "PickCube", "--device", "expert", "--out", str(tmp_path / "labels")]
    args += ["--per-episode", "2"]
    report = hilserl(capsys, *args, "--successes", "6", "--failures", "0")
    assert report["labels"]["success"] == 6 and report["recorded"] == 3


def test_a_policy_acts_while_somebody_only_labels(tmp_path, capsys):
    run = save_run(tmp_path / "run")
    args = ["label", "PickCube", "--device", "expert:acts=false", "--obs", "state"]
    args += ["--successes", "0", "--failures", "12", "--policy", str(run.path)]
    pixels = [*args[:4], *args[6:], "--out", str(tmp_path / "labels")]
    assert "learned from state, and --obs is pixels" in hilserl(capsys, *pixels, status=1)["error"]
    report = hilserl(capsys, *args, "--out", str(tmp_path / "labels"))
    assert report["labels"] == {"success": 0, "failure": 12}
    (episode,) = EpisodeStore(tmp_path / "labels")
    assert not episode.intervened.any()
    env = run.settings.make_env(watched=False)
    policy, (observation, _) = load_policy(run), env.reset(seed=0)
    for action in episode.actions:
        wanted = policy(observation)
        np.testing.assert_array_equal(action, wanted)
        observation, *_ = env.step(wanted)
    env.close()


def test_labels_are_asked_of_a_recording_that_has_none(demos):
    with pytest.raises(ValueError, match="hilserl label"):
        labelled_frames(EpisodeStore(demos), "success")


def test_a_recording_goes_to_lerobot_and_back(demos, capsys, tmp_path):
    dataset, back = str(tmp_path / "dataset"), str(tmp_path / "back")
    assert hilserl(capsys, "export", str(demos), "--out", dataset)["exported"] == len(EpisodeStore(demos))
    assert "already" in hilserl(capsys, "export", str(demos), "--out", dataset, status=1)["error"]
    assert hilserl(capsys, "import", dataset, "--out", back)["imported"] == len(EpisodeStore(demos))
    for ours, theirs in zip(EpisodeStore(demos), EpisodeStore(back), strict=True):
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        np.testing.assert_array_equal(ours["state/tcp_pose"], theirs["state/tcp_pose"])
    report = hilserl(capsys, "replay", back)
    assert report["same_outcome"] == report["episodes"] and report["largest_drift_m"] == 0.0


def test_the_public_codes_demos_are_imported_and_nothing_else(tmp_path, capsys):
    frame = {"state": np.zeros((1, 6), np.float32), "wrist_1": np.full((1, 8, 8, 3), 7, np.uint8)}
    demo = [
        {
            "observations": frame,
            "next_observations": frame,
            "actions": np.ones(6, np.float32),
            "rewards": float(step == 3),
            "masks": float(step != 3),
            "dones": step == 3,
        }
        for step in range(4)
    ]
    (tmp_path / "demo.pkl").write_bytes(pickle.dumps(demo))
    args = ["import", str(tmp_path / "demo.pkl"), "--out", str(tmp_path / "store")]
    assert hilserl(capsys, *args)["imported"] == 1
    (episode,) = EpisodeStore(tmp_path / "store")
    assert len(episode) == 4 and episode.info.success and (episode["images/wrist_1"] == 7).all()
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    args = ["import", str(tmp_path / "evil.pkl"), "--out", str(tmp_path / "store")]
    assert "system" in hilserl(capsys, *args, status=1)["error"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["import"], "name what to import"),
        (["import", "nowhere.pkl"], "nowhere.pkl"),
        (["import", ".", "other.pkl"], "either one dataset"),
        (["export", "nowhere"], "holds no episodes"),
        (["record", "PickCube", "--device", "mouse"], "did you mean 'spacemouse'"),
        (["record", "PickCube", "--device", "expert:skil=1"], "did you mean 'skill'"),
        (["record", "PickCube", "--device", "expert", "--episodes", "0"], "at least 1"),
        (["record", "PickCube", "--device", "expert", "--seed", "-1"], "at least 0"),
        (["record", "PickCube", "--device", "expert", "--reward", "tsk"], "did you mean 'task'"),
        (["record", "PickCube", "--device", "expert", "--reward", "no.safetensors"], "no.safetensors is not"),
        (["record", "PickCube", "--device", "expert", "--view", "wall"], "unknown live view"),
        (["label", "PickCube", "--device", "expert", "--successes", "0", "--failures", "0"], "at least 0"),
        (["label", "PickCube", "--device", "expert", "--policy", "nowhere"], "nowhere"),
        (["label", "PickCube", "--device", "expert:acts=1"], "acts is true or false"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing_behind(args, message, tmp_path, capsys):
    folder = tmp_path / "out"
    assert main([*args, "--out", str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hilserl: error: ") and message in error and error.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["inspect", "--sheet", "picture.txt"], "a .png file"),
        (["inspect", "--sheet", "/nowhere/picture.png"], "/nowhere/picture.png"),
        (["replay", "--video", "film.txt"], ".mp4"),
        (["replay", "--video", "/nowhere/film.mp4"], "/nowhere/film.mp4"),
    ],
)
def test_files_that_cannot_be_written_are_named(demos, args, message, capsys):
    assert main([args[0], str(demos), *args[1:]]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("hilserl: error: ") and message in error


def test_who_judges_does_not_change_within_a_recording(demos, capsys):
    args = ["--device", "expert", "--out", str(demos), "--reward", "person"]
    assert "who judges" in hilserl(capsys, "record", "PickCube", *args, status=1)["error"]


def test_time_beyond_the_limit_is_replayed_too(tmp_path, capsys):
    """A slow expert succeeds in the grace period of a person's session, or not at all."""
    args = ["--device", "expert:step_size=0.25", "--reward", "person", "--episodes", "2", "--keep-all"]
    hilserl(capsys, "record", "PickCube", *args, "--out", str(tmp_path))
    report = hilserl(capsys, "replay", str(tmp_path))
    assert report["same_outcome"] == 2 and report["largest_drift_m"] == 0.0
    assert all(replay["recorded_steps"] == 200 for replay in report["replays"])


@pytest.mark.parametrize("command", ["inspect", "replay"])
def test_a_folder_that_is_no_recording_is_named(command, tmp_path, capsys):
    assert "holds no episodes" in hilserl(capsys, command, str(tmp_path), status=1)["error"]


def test_a_person_on_the_page_discards_one_episode_and_calls_the_next_a_success(chromium, tmp_path):
    command = "from hilserl_envs.cli import main; raise SystemExit(main())"
    session = subprocess.Popen(
        [sys.executable, "-c", command, "record", "PickCube", "--device", "browser", "--reward", "person"]
        + ["--episodes", "1", "--out", str(tmp_path / "demos")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line for line in session.stderr if "http://" in line)
        page = chromium.new_page()
        page.goto(re.search(r"http://\S+", address)[0])
        for verdict in ("Delete", "Enter"):
            page.wait_for_selector("text=Move to begin")
            page.keyboard.down("w")
            page.wait_for_selector("text=PERSON IN CONTROL")
            page.wait_for_timeout(400)
            page.keyboard.press(verdict)
            page.keyboard.up("w")
        assert session.wait(timeout=20) == 0
    finally:
        session.kill()
        session.stderr.close()
    store = EpisodeStore(tmp_path / "demos")
    discarded, kept = store.episodes
    assert (discarded.kept, discarded.why) == (False, "discarded") and kept.kept and kept.success
    (episode,) = store
    assert episode.rewards[-1] == 1 and episode.intervened.all()
    # Away from the person is +x of the base, and about +x of an end effector that points down.
    assert episode.actions[:-3, 0].min() > 0.2 and not episode.actions[:, 3:].any()
