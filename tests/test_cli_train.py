"""`hilserl train`: a run from a command line, and mistakes that are explained in one."""

import dataclasses
import json
import shutil
import time

import numpy as np
import pytest

from hilserl_envs.cli import main
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.learning.watch import Watch
from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from tests.learning_run import demonstrations
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401

SMALL = (
    "batch_size=8", "hidden_dims=[16]", "bc_hidden_dims=[16]", "proprioception_dim=8", "training_starts=10",
    "utd_ratio=1", 'env={"max_episode_steps": 8}',
)  # fmt: skip


def train(capsys, *arguments, status: int = 0) -> dict:
    """The report of `hilserl train`."""
    assert main(["train", "--tracker", "none", "--json", *map(str, arguments)]) == status
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return json.loads(output.out.splitlines()[-1])


def new(folder, *more) -> tuple:
    return (
        "PickCube", "--demos", demonstrations(), "--out", folder, "--obs", "state", *more, "--set", *SMALL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 24 steps."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--tracker", "none", *map(str, new(folder, "--sync", "--steps", "24"))]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return RunFolder(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_from_a_command_line(tmp_path, capsys):
    report = train(capsys, *new(tmp_path / "run", "--sync", "--steps", "24", "--overseer", "--seed", "3"))
    assert report["ok"] and report["steps"] == 24 and report["episodes"] == 3 and report["updates"] == 7
    assert report["success_rate"] == 0.0 and report["seconds"] > 0
    run = RunFolder(tmp_path / "run")
    assert run.settings.overseer == {} and run.settings.seed == 3 and run.settings.agent.batch_size == 8
    assert run.checkpoint().exists() and run.policy.exists() and (run.path / "curves.png").exists()
    assert EpisodeStore(run.replay).verify() == []


def test_what_a_run_is_comes_from_its_flags(tmp_path, capsys):
    train(
        capsys, "PickCube", "--no-demos", "--no-interventions", "--out", tmp_path / "run", "--obs", "state",
        "--preset", "paper", "--gripper", "closed", "--axes", "x", "z", "--frame", "base", "--seed", 3,
        "--randomise", "--sync", "--steps", 1, "--set", 'env={"max_episode_steps": 1}',
    )  # fmt: skip
    made = RunFolder(tmp_path / "run").settings
    assert made.env == {
        "robot": "twin", "frame": "base", "gripper": "closed", "axes": ["x", "z"], "randomise": True,
        "max_episode_steps": 1,
    }  # fmt: skip
    assert (made.seed, made.demonstrations, made.interventions) == (3, False, False)
    assert (made.steps_per_publish, made.replay_capacity) == (50, 200_000)
    assert made.agent.learning_rate == 3e-4 and RunFolder(tmp_path / "run").layout[0].axes == ("x", "z")


def test_it_goes_on_from_where_it_was(run, capsys):
    before = load_tensors(run.checkpoint())[1]
    report = train(capsys, "PickCube", "--out", run.path, "--resume", "--sync", "--steps", "40")
    after = load_tensors(run.checkpoint())[1]
    assert report["steps"] == after["steps"] == 40 and after["updates"] == 15
    assert report["seconds"] > before["seconds"]


def test_minutes_are_enough_of_a_budget(run, capsys):
    seconds = run.seconds()
    train(capsys, "--out", run.path, "--resume", "--sync", "--minutes", (seconds + 0.5) / 60)
    assert 0.3 < run.seconds() - seconds < 10


def test_behaviour_cloning_counts_updates(tmp_path, capsys):
    report = train(capsys, *new(tmp_path / "run", "--algorithm", "bc", "--sync", "--steps", "30"))
    assert report["updates"] == report["steps"] == 30 and report["episodes"] == 0
    assert report["success_rate"] is None


def test_a_side_alone_says_what_it_is_of(run, capsys):
    main(["train", "--out", str(run.path), "--resume", "--side", "learner", "--steps", "24"])
    assert capsys.readouterr().out.startswith("PickCube, sac from state")


def test_what_has_its_steps_already_says_so(run, capsys):
    main(["train", "--tracker", "none", "--out", str(run.path), "--resume", "--sync", "--steps", "24"])
    assert "it has 24 already, of all sessions; for more give --steps beyond" in capsys.readouterr().out


def test_a_side_alone(run, capsys):
    train(capsys, "--out", run.path, "--resume", "--side", "learner", "--steps", "24")
    train(capsys, "--out", run.path, "--resume", "--side", "actor", "--steps", "32")
    assert EpisodeStore(run.replay).records["kind"].sum() == 32
    began = time.monotonic()
    train(capsys, "--out", run.path, "--resume", "--side", "learner", "--minutes", run.seconds() / 60 + 0.01)
    assert time.monotonic() - began > 0.3
    assert load_tensors(run.checkpoint())[1]["updates"] == 11


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which task? Name one (see `hilserl tasks`), or give --resume"),
        (("PickCub", "--demos", "D"), "did you mean 'hilserl/PickCube-v0'"),
        (("PickCube",), "no demonstrations: record some with `hilserl record`"),
        (("PickCube", "--demos", "D", "--no-demos"), "--demos and --no-demos contradict each other"),
        (("PickCube", "--demos", "nowhere"), "nowhere holds no episodes: it has no meta.json"),
        (("RamInsertion", "--demos", "D"), "the environment was hilserl/PickCube-v0 and is hilserl/RamIns"),
        (("PickCube", "--demos", "D", "--frame", "base"), "RelativeFrame"),
        (("PickCube", "--demos", "D", "--gripper", "stay"), "FixedGripper"),
        (("PickCube", "--demos", "D", "--obs", "pixels"), "'images/front' is absent"),
        (("PickCube", "--demos", "D", "--set", "discont=0.9"), "unknown setting 'discont': did you mean"),
        (("PickCube", "--demos", "D", "--set", "discount"), "NAME=VALUE"),
        (("PickCube", "--demos", "D", "--preset", "slow"), "unknown preset 'slow'"),
        (("PickCube", "--demos", "D", "--algorithm", "ppo"), "unknown algorithm 'ppo'"),
        (("PickCube", "--demos", "D", "--algorithm", "hg-dagger"), "give a device or an overseer"),
        (("PickCube", "--demos", "D", "--device", "mouse"), "did you mean 'spacemouse'"),
        (("PickCube", "--demos", "D", "--no-interventions", "--overseer"), "neither device nor overseer"),
        (("PickCube", "--demos", "D", "--takeover", "toggle"), "{'mode': 'toggle'}, needs a device"),
        (("PickCube", "--demos", "D", "--reward", "person"), "nobody is there to say so"),
        (("PickCube", "--demos", "D", "--reward", "nowhere.safetensors"), "is not there"),
        (("PickCube", "--demos", "D", "--reward", "persom"), "did you mean 'person'"),
        (("PickCube", "--demos", "D", "--sync", "--device", "keyboard"), "--sync makes episodes again"),
        (("PickCube", "--demos", "D", "--side", "learners"), "did you mean 'learner'"),
        (("PickCube", "--demos", "D", "--side", "learner", "--sync"), "leave out --side learner"),
        (("PickCube", "--demos", "D", "--tracker", "wandp"), "did you mean 'wandb'"),
        (("PickCube", "--demos", "D", "--view", "windows"), "did you mean 'window'"),
        (("PickCube", "--demos", "D", "--torch-device", "cuda:77"), "no device 'cuda:77' for PyTorch"),
        (("PickCube", "--demos", "D", "--steps", "0"), "--steps must be at least 1, got 0"),
        (("PickCube", "--demos", "D", "--minutes", "-1"), "--minutes must be above 0"),
        (("--resume",), "is no run: it has no config.json; give the folder of one"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_run(tmp_path, capsys, arguments, message):
    arguments = [str(demonstrations()) if argument == "D" else argument for argument in arguments]
    defaults = () if "--obs" in arguments or "--resume" in arguments else ("--obs", "state")
    given = ("--steps",) if "--steps" in arguments or "--minutes" in arguments else ()
    budget = () if given else ("--steps", "9")
    report = train(capsys, "--out", tmp_path / "run", *defaults, *budget, *arguments, status=1)
    assert message in report["error"] and not (tmp_path / "run").exists()


def test_how_long_must_be_said(tmp_path, capsys):
    report = train(capsys, *new(tmp_path / "run"), status=1)
    assert report["error"] == "how long? give --steps, --minutes or both"


def test_demonstrations_of_which_none_is_kept(tmp_path, capsys):
    shutil.copytree(demonstrations(), tmp_path / "demos")
    with EpisodeWriter(tmp_path / "demos") as writer:
        for number in range(writer.recorded):
            writer.mark(number, kept=False)
    arguments = list(new(tmp_path / "run", "--steps", "9"))
    arguments[2] = tmp_path / "demos"
    assert "holds no episode that is kept; record some" in train(capsys, *arguments, status=1)["error"]


def test_a_folder_that_holds_something(run, capsys):
    report = train(capsys, *new(run.path, "--steps", "9"), status=1)
    assert "holds a run already; resume it, or give another folder" in report["error"]
    report = train(capsys, *new(run.replay, "--steps", "9"), status=1)
    assert "is not empty, and holds no run" in report["error"]


def test_a_run_that_is_resumed_is_what_it_was(run, capsys):
    again = ("--out", run.path, "--resume", "--steps", "30")
    report = train(capsys, *again, "--seed", "4", "--obs", "state", status=1)
    assert "keeps its settings" in report["error"] and str(run.path / "config.json") in report["error"]
    assert report["error"].endswith("leave out --obs, --seed")
    for change, message in (
        ("crops=2", "a run that has begun keeps its crops; what can still be set: learning_rate, batch_size"),
        ("batch_sise=2", "did you mean 'batch_size'"),
        ("batch_size=0", "batch_size = 0 is outside"),
    ):
        assert message in train(capsys, *again, "--set", change, status=1)["error"]
    report = train(capsys, *again, "--side", "actor", "--set", "batch_size=4", status=1)
    assert "leave out --side actor" in report["error"]
    before = RunFolder(run.path).settings
    release = run.hold("actor")  # one that runs alone has read them already
    report = train(capsys, *again, "--set", "batch_size=4", status=1)
    assert "another process is its actor" in report["error"] and RunFolder(run.path).settings == before
    release()
    train(capsys, *again, "--sync", "--set", "learning_rate=1e-5", "batch_size=4")
    agent = dataclasses.replace(before.agent, learning_rate=1e-5, batch_size=4)
    assert RunFolder(run.path).settings == dataclasses.replace(before, agent=agent)
    report = train(capsys, "RamInsertion", *again, status=1)
    assert report["error"] == f"{run.path} is a run of PickCube, not of RamInsertion"


def test_a_run_is_trained_once_at_a_time(run, capsys):
    for side in ("learner", "actor", "supervisor"):
        release = run.hold(side)
        flags = ("--sync",) if side == "supervisor" else ("--side", side)
        report = train(capsys, "--out", run.path, "--resume", "--steps", "30", *flags, status=1)
        assert f"another process is its {side}; stop that one first" in report["error"]
        release()


def test_a_side_that_fails_is_told_of(tmp_path, capfd):
    """In a process of its own; here somebody learns already."""
    flags = ("--tracker", "none", "--algorithm", "bc")
    arguments = ["train", *map(str, new(tmp_path / "run", *flags, "--sync", "--steps", "1"))]
    assert main(arguments) == 0
    release = RunFolder(tmp_path / "run").hold("learner")
    assert main(["train", "--out", str(tmp_path / "run"), *flags[:2], "--resume", "--minutes", "5"]) == 1
    release()
    out, said = capfd.readouterr()
    assert out.count("PickCube, bc from state") == 2  # once a command, by whoever runs both sides
    assert "another process is its learner" in said and "Traceback" not in said
    assert said.endswith("the learner stopped with an error, see above; resume the run when it is mended\n")


def test_who_imitates_has_no_actor(tmp_path, capsys):
    flags = ("--algorithm", "bc", "--side", "actor", "--steps", "3")
    report = train(capsys, *new(tmp_path / "run", *flags), status=1)
    assert "is a run of 'bc', which has no actor" in report["error"]


def test_a_checkpoint_that_is_damaged(run, capsys):
    again = ("--out", run.path, "--resume", "--sync", "--steps", "30")
    run.checkpoint().write_bytes(run.checkpoint().read_bytes()[:-7])
    report = train(capsys, *again, status=1)
    assert "last.safetensors is damaged" in report["error"] and "delete it" in report["error"]
    run.checkpoint().unlink()
    assert train(capsys, *again)["steps"] == 32  # what it says to do helps


def test_a_leftover_of_a_kill_hides_nothing(run, capsys):
    leftover = run.checkpoint().with_name("last.safetensors.tmp")
    leftover.write_bytes(b"torn")
    assert train(capsys, "--out", run.path, "--resume", "--sync", "--steps", "30")["steps"] == 32
    assert not leftover.exists()


def test_a_disk_that_fills_up(run, capsys):
    """First where the recording goes; then where the checkpoint does. Given room, the run goes on."""
    again = ("--out", run.path, "--resume", "--sync", "--steps", "48")
    before = run.checkpoint().read_bytes()
    with no_room_beyond((run.replay / "steps.bin").stat().st_size + 1000):
        report = train(capsys, *again, status=1)
    assert (
        f"cannot write to {run.replay}: File too large" in report["error"] and "Make room" in report["error"]
    )
    assert EpisodeStore(run.replay).verify() == [] and run.checkpoint().read_bytes() == before

    with no_room_beyond(len(before) - 1):
        report = train(capsys, *again, status=1)
    assert f"cannot write {run.checkpoint()}: File too large" in report["error"]
    assert "what was there before stays" in report["error"] and run.checkpoint().read_bytes() == before
    assert train(capsys, *again)["steps"] == 48
    load_tensors(run.checkpoint())


def test_numbers_that_are_none(tmp_path, capsys):
    """A sensor that said NaN in a demonstration: nothing is learned from it, and it is named.

    What the error says to do helps, where other demonstrations are left.
    """
    original = EpisodeStore(demonstrations())
    with EpisodeWriter(tmp_path / "demos", original.schema, sync=False) as writer:
        for record in range(12):
            observation = {key: original.take(key, [record])[0] for key in original.schema.observations}
            if record == 6:
                observation["state/tcp_force"][:] = np.nan
            if record == 0:
                writer.begin(observation)
            else:
                writer.step(observation, np.zeros(7), 0.0, False, False)
        writer.end(kept=True)
    arguments = list(new(tmp_path / "run", "--algorithm", "bc", "--sync", "--steps", "50"))
    arguments[2] = tmp_path / "demos"
    report = train(capsys, *arguments, status=1)
    assert "demonstrations: step 6 of episode 0 holds numbers that are not finite" in report["error"]
    store = tmp_path / "run" / "demonstrations"
    assert f"`hilserl inspect {store} --discard 0`" in report["error"]
    assert main(["inspect", str(store), "--discard", "0"]) == 0
    assert [info.why for info in EpisodeStore(store).episodes if not info.kept] == ["taken out by hand"]
    assert not RunFolder(tmp_path / "run").policy.exists()


def test_ctrl_c_ends_a_run_in_turns_and_it_can_be_resumed(run, capsys, monkeypatch):
    looks = []

    def interrupt(self) -> bool:
        looks.append(True)
        if len(looks) > 12:
            raise KeyboardInterrupt
        return False

    again = ("--out", run.path, "--resume", "--sync", "--steps", "48")
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "is_over", interrupt)
        assert train(capsys, *again, status=130) == {"ok": False, "error": "interrupted"}
    assert train(capsys, *again)["steps"] == 48
    assert EpisodeStore(run.replay).verify() == []
