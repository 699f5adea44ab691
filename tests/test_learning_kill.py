"""Killed at any moment, a run goes on: nothing finished is lost, and nothing learned is damaged."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hilserl_envs.learning.actor import REDONE
from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.files import META
from tests.learning_run import demonstrations
from tests.train_process import TrainProcess, TrainProcesses

SMALL = (
    "batch_size=8", "hidden_dims=[16]", "proprioception_dim=8", "training_starts=30",
    "checkpoint_episodes=3", "checkpoint_seconds=0.2", 'env={"max_episode_steps": 10}',
)  # fmt: skip
IN_TURNS_KILLS = 4


@pytest.fixture(scope="module")
def processes():
    with TrainProcesses() as processes:
        yield processes


def beginning(folder, *more: str, obs: str = "state") -> tuple:
    """Arguments of a new run."""
    demos = ("--demos", demonstrations()) if obs == "state" else ("--no-demos",)  # those have no images
    images = () if obs == "state" else ('env={"image_size": 32}',)
    return (
        "PickCube", *demos, "--out", folder, "--obs", obs, "--overseer", "--tracker", "none", "--set",
        *SMALL, *images, *more,
    )  # fmt: skip


def records(run_folder) -> int:
    """How many steps and resets there are on disk."""
    path = run_folder / "replay" / "steps.bin"
    return path.stat().st_size if path.exists() else 0


def check(run_folder, finished: dict) -> None:
    """Whatever is there is whole, and holds the episodes that had ended before."""
    if not (run_folder / "replay" / META).exists():
        return
    store = EpisodeStore(run_folder / "replay")
    assert store.verify() == []
    now = {e.number: e.steps for e in store.episodes if e.finished}
    assert finished.items() <= now.items()
    finished.update(now)
    for path in (run_folder / "checkpoints").glob("*.safetensors"):
        load_tensors(path)


def everything(run: RunFolder) -> tuple:
    """What a run has come to, but for when."""
    checkpoints = {
        name: load_tensors(run.checkpoint(name)) for name in ("last", "best") if run.checkpoint(name).exists()
    }
    timed = ("seconds", "updates_per_second", "lag_seconds")
    lines = [{k: v for k, v in line.items() if k not in timed} for line in run.learner_lines()]
    store = EpisodeStore(run.replay)
    episodes = [store.episode(e.number) for e in store.episodes if is_usable(e)]
    tensors = {name: tensors for name, (tensors, _) in checkpoints.items()}
    counted = ("updates", "steps", "sampler", "normalised", "success_rate", "best")
    metas = {name: {k: meta[k] for k in counted} for name, (_, meta) in checkpoints.items()}
    return tensors, metas, lines, episodes


def test_in_turns_a_run_that_was_killed_is_the_unbroken_one(processes, tmp_path):
    steps = ("--sync", "--steps", "220")
    # Enough episodes for a best checkpoint too.
    whole = processes.start(*beginning(tmp_path / "whole", "utd_ratio=2"), *steps, log=tmp_path / "whole.log")
    assert whole.wait() == 0, whole.log.read_text()

    rng, finished, kills = np.random.default_rng(0), {}, 0
    arguments, folder = beginning(tmp_path / "broken", "utd_ratio=2"), tmp_path / "broken"
    while kills < IN_TURNS_KILLS:
        before, enough = records(folder), rng.integers(25) * 200
        process = processes.start(*arguments, *steps, log=tmp_path / "broken.log")
        while records(folder) <= before + enough and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None, process.log.read_text()
        process.kill()
        kills += 1
        check(folder, finished)
        arguments = ("--out", folder, "--tracker", "none", "--resume")
    process = processes.start(*arguments, *steps, log=tmp_path / "broken.log")
    assert process.wait() == 0, process.log.read_text()

    broken, unbroken = RunFolder(folder), RunFolder(tmp_path / "whole")
    assert any(e.why == REDONE for e in EpisodeStore(broken.replay).episodes)  # some were made again
    tensors, metas, lines, episodes = everything(broken)
    expected_tensors, expected_metas, expected_lines, expected_episodes = everything(unbroken)
    assert tensors.keys() == expected_tensors.keys() == {"last", "best"}
    for name, expected in expected_tensors.items():
        assert tensors[name].keys() == expected.keys()
        assert all(torch.equal(tensors[name][key], tensor) for key, tensor in expected.items())
    assert metas == expected_metas and metas["last"]["updates"] > 150
    assert lines == expected_lines and len(lines) > 6
    for one, other in zip(episodes, expected_episodes, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one["state/cube_pose"], other["state/cube_pose"])


@pytest.mark.parametrize(("obs", "kills"), [("state", 15), ("pixels", 6)])
def test_actor_and_learner_are_killed_again_and_again(processes, tmp_path, obs, kills):
    folder, logs = tmp_path / "run", {side: tmp_path / f"{side}.log" for side in ("learner", "actor")}
    arguments = beginning(folder, "utd_ratio=2", obs=obs)
    process = processes.start(*arguments, "--side", "learner", log=logs["learner"])
    while not (folder / "config.json").exists():
        assert process.poll() is None, process.log.read_text()
        time.sleep(0.01)

    running = {"learner": process}
    rng, finished = np.random.default_rng(1), {}
    resumed = ("--out", folder, "--resume", "--steps", "100000", "--side")
    for kill in range(kills):
        for side in logs:
            if side not in running:
                running[side] = processes.start(*resumed, side, log=logs[side])
        before = records(folder)
        until = time.monotonic() + 10
        while records(folder) <= before and time.monotonic() < until:  # the run goes on
            time.sleep(0.005)
        assert records(folder) > before, [log.read_text() for log in logs.values()]
        time.sleep(rng.uniform(0, 0.25))
        for side in (("learner",), ("actor",), ("learner", "actor"))[kill % 3]:
            assert running[side].poll() is None, logs[side].read_text()
            running.pop(side).kill()
        check(folder, finished)
    for process in running.values():
        process.kill()
    made = sum(e.steps for e in EpisodeStore(folder / "replay").episodes if is_usable(e))
    wanted = made + 60
    resumed = ("--out", folder, "--resume", "--steps", str(wanted), "--side")
    running = {side: processes.start(*resumed, side, log=logs[side]) for side in logs}
    for side, process in running.items():
        assert process.wait() == 0, logs[side].read_text()
    check(folder, finished)

    store = EpisodeStore(folder / "replay")
    tensors, meta = load_tensors(RunFolder(folder).checkpoint())
    assert meta["steps"] >= wanted and meta["updates"] >= wanted - 30
    assert sum(e.steps for e in store.episodes if is_usable(e)) < wanted + 2 * 10
    assert sum(not e.finished for e in store.episodes) <= kills
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())


def sides_of(supervisor: TrainProcess) -> dict[str, int]:
    """Process ids of the sides that it started, by name."""
    sides = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = (path / "cmdline").read_bytes().decode().split("\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == supervisor.pid and "--side" in words:
                sides[words[words.index("--side") + 1]] = int(path.name)
    return sides


def wait_until(what: Callable[[], bool], process: TrainProcess, seconds: float = 40.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process.poll() is None and time.monotonic() < until, process.log.read_text()
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Also where nobody has looked at how it ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_supervisor_and_its_sides_are_killed_and_stopped(processes, tmp_path):
    folder, finished = tmp_path / "run", {}
    run = processes.start(*beginning(folder, "utd_ratio=2"), "--minutes", "9", log=tmp_path / "log")

    def goes_on() -> None:
        """Both sides do something."""
        before, policy = records(folder), folder / "policy.safetensors"
        published = policy.stat().st_mtime_ns if policy.exists() else 0
        wait_until(lambda: records(folder) > before, run)
        wait_until(lambda: policy.stat().st_mtime_ns > published, run)
        check(folder, finished)

    goes_on()
    for side in ("actor", "learner"):
        os.kill(sides_of(run)[side], signal.SIGKILL)
        wait_until(
            lambda line=f"the {side} was killed (SIGKILL) and is started": line in run.log.read_text(), run
        )
        wait_until(lambda: len(sides_of(run)) == 2, run)
        goes_on()
    sides = sides_of(run)
    run.kill()
    until = time.monotonic() + 20
    while not all(is_gone(pid) for pid in sides.values()):
        assert time.monotonic() < until
        time.sleep(0.02)
    check(folder, finished)
    saved = load_tensors(RunFolder(folder).checkpoint())[1]

    # Ctrl-C: both have time to save.
    run = processes.start(
        "--out", folder, "--tracker", "none", "--resume", "--minutes", "9", log=tmp_path / "log"
    )
    goes_on()
    sides = sides_of(run)
    run.signal(signal.SIGINT)
    assert run.wait() == 130 and "Traceback" not in run.log.read_text()
    assert run.log.read_text().endswith("hilserl: interrupted\n")
    assert len(sides) == 2 and all(is_gone(pid) for pid in sides.values())
    check(folder, finished)
    meta = load_tensors(RunFolder(folder).checkpoint())[1]
    assert meta["updates"] == load_tensors(folder / "policy.safetensors")[1]["updates"] > saved["updates"]

    # And goes on from there: what is left to learn of the steps there are.
    steps = sum(e.steps for e in EpisodeStore(folder / "replay").episodes if is_usable(e))
    again = ("--out", folder, "--resume", "--side", "learner", "--steps", str(steps))
    assert processes.start(*again, log=tmp_path / "again").wait() == 0
    after = load_tensors(RunFolder(folder).checkpoint())[1]
    assert after["steps"] == steps and after["updates"] == steps - 30 >= meta["updates"]
    check(folder, finished)
    assert len(finished) > 3
