"""Side by side is as one after another; and no process is left, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import pytest

from hilserl_envs.errors import ConfigError, LearningError, RobotError
from hilserl_envs.evaluation import default_workers, evaluate, make_candidate
from hilserl_envs.evaluation.candidate import NamedCandidate
from hilserl_envs.policies import RandomPolicy
from tests.saved_runs import save_run


class Unlucky(NamedCandidate):
    """A candidate whose process comes to grief in the episode of seed 2."""

    def __init__(self, grief: str):
        super().__init__("PickCube", "random", max_episode_steps=3)
        self.grief = grief

    def _make_policy(self, env):
        return UnluckyPolicy(env, self.grief)


class UnluckyPolicy(RandomPolicy):
    def __init__(self, env: gymnasium.Env, grief: str):
        self.grief = grief
        super().__init__(env)

    def start(self, seed):
        super().start(seed)
        if seed == 2:
            {"kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "exit": lambda: os._exit(7),
             "raise": _raise, "hang": lambda: time.sleep(600)}[self.grief]()  # fmt: skip


def _raise():
    raise RobotError("the robot fell off the table")


class Unloadable(NamedCandidate):
    """A candidate that ends whatever process it is sent to, before that has read all of it."""

    def __init__(self):
        super().__init__("PickCube", "random")
        self.ballast = Ending(), bytes(10_000_000)


class Ending:
    def __reduce__(self):
        return os._exit, (7,)


def children() -> set[str]:
    """Of this process, those that are workers."""
    found = set()
    for tasks in Path("/proc/self/task").iterdir():
        for child in (tasks / "children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


@pytest.mark.parametrize("make", ["expert", "overseer", "pixels"])
def test_the_same_to_the_bit_in_the_order_of_the_seeds(make, tmp_path):
    if make == "expert":
        candidate = make_candidate("RamInsertion", "expert")
    elif make == "overseer":
        candidate = make_candidate("PickCube", "random", overseer={})
    else:
        run = save_run(tmp_path / "run", obs="pixels", env={"max_episode_steps": 10})
        candidate = make_candidate("PickCube", str(run.path), sample=True)
    seeds = [5, 3, 4, 3]
    alone = list(evaluate(candidate, seeds))
    assert [episode.seed for episode in alone] == seeds
    assert alone[1] == alone[3] != alone[0]
    assert list(evaluate(candidate, seeds, workers=2)) == alone
    assert not children()


@pytest.mark.parametrize(
    ("grief", "error", "message"),
    [
        ("kill", LearningError, r"was killed \(SIGKILL\) in the episode of seed 2"),
        ("exit", LearningError, "ended with status 7 in the episode of seed 2"),
        ("raise", RobotError, "^the robot fell off the table$"),
    ],
)
def test_what_befalls_a_worker_is_told_and_the_others_stop(grief, error, message):
    with pytest.raises(error, match=message):
        list(evaluate(Unlucky(grief), range(4), workers=2))
    assert not children()


def test_a_worker_that_does_not_even_start():
    with pytest.raises(LearningError, match="ended with status 7 in the episode of seed"):
        list(evaluate(Unloadable(), range(4), workers=2))
    assert not children()


def test_whoever_has_seen_enough_leaves_no_worker_behind():
    runs = evaluate(Unlucky("hang"), range(4), workers=2)
    assert next(runs).seed == 0
    assert len(children()) == 2
    runs.close()
    assert not children()


@pytest.mark.parametrize(
    ("settings", "workers", "message"),
    [
        ({}, 0, "at least 1 worker, got 0"),
        ({"reset_mode": "motion"}, 2, "depends on the one before it; take 1"),
    ],
)
def test_what_cannot_be_side_by_side(settings, workers, message):
    with pytest.raises(ConfigError, match=message):
        list(evaluate(make_candidate("PickCube", "expert", **settings), range(2), workers))


def test_by_default_there_are_as_many_workers_as_are_worth_it(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    candidate = make_candidate("PickCube", "expert")
    assert [default_workers(candidate, episodes) for episodes in (1, 60, 120, 1000)] == [1, 1, 2, 4]
    assert default_workers(make_candidate("PickCube", "expert", reset_mode="motion"), 1000) == 1


COMMAND = ["eval", "PickCube", "--policy", "random", "--episodes", "2000", "--workers", "2"]


def test_ctrl_c_stops_all():
    """The terminal sends it to every process of the group."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hilserl_envs", *COMMAND],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 60
        while _group(process.pid) < 3:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert "hilserl: interrupted" in errors and "Traceback" not in errors
        while _group(process.pid):
            assert time.monotonic() < end + 10
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _group(leader: int) -> int:
    """Processes in the group of that leader."""
    groups = subprocess.run(["ps", "-A", "-o", "pgid="], capture_output=True, text=True).stdout.split()
    return groups.count(str(leader))
