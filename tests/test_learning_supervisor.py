"""The supervisor: starts again what was killed, says what failed, and leaves nobody behind."""

import os
import signal
import sys

import pytest

from hilserl_envs.errors import LearningError
from hilserl_envs.learning import supervisor
from hilserl_envs.learning.supervisor import Supervisor, side_command, told_to_stop


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(supervisor, "LOOK", 0.01)


def python(code: str, *arguments) -> list[str]:
    """A side that does that; quick to start."""
    return [sys.executable, "-S", "-c", f"import os, signal, sys, time\n{code}", *map(str, arguments)]


# Says who it is, and how it was told to stop.
POLITE = """
open(sys.argv[1] + '.pid.new', 'w').write(str(os.getpid()))
def stop(*_):
    open(sys.argv[1] + '.stopped', 'w').close()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
os.rename(sys.argv[1] + '.pid.new', sys.argv[1] + '.pid')
time.sleep(100)
"""


def never() -> bool:
    return False


def test_it_ends_when_both_sides_are_done():
    Supervisor({"learner": python(""), "actor": python("time.sleep(0.1)")}, pytest.fail).run(never)


def test_the_sides_are_processes_of_their_own_that_know_their_supervisor(tmp_path):
    code = """
with open(sys.argv[1], "w") as file:
    print(os.getppid(), os.environ["HILSERL_SUPERVISOR"], os.getsid(0) == os.getpid(), file=file)
"""
    Supervisor({"actor": python(code, tmp_path / "said")}, pytest.fail).run(never)
    assert (tmp_path / "said").read_text().split() == [str(os.getpid())] * 2 + ["True"]


def test_when_it_is_time_the_sides_are_told_and_waited_for(tmp_path):
    sides = {side: python(POLITE, tmp_path / side) for side in ("learner", "actor")}
    Supervisor(sides, pytest.fail).run(lambda: all((tmp_path / f"{side}.pid").exists() for side in sides))
    for side in sides:
        assert (tmp_path / f"{side}.stopped").exists()
        pid = int((tmp_path / f"{side}.pid").read_text())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_side_that_was_killed_is_started_again(tmp_path):
    """And the other goes on."""
    code = """
starts = len(os.listdir(sys.argv[1]))
open(f"{sys.argv[1]}/{starts}", "w").close()
if starts < 3:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    told = []
    sides = {"learner": python("time.sleep(0.3)"), "actor": python(code, tmp_path)}
    Supervisor(sides, told.append).run(never)
    assert told == ["the actor was killed (SIGKILL) and is started again"] * 3
    assert len(list(tmp_path.iterdir())) == 4


def test_so_is_one_that_somebody_else_told_to_stop(tmp_path):
    """It was not done."""
    code = """
if not os.path.exists(sys.argv[1]):
    open(sys.argv[1], "w").close()
    os.kill(os.getpid(), signal.SIGTERM)
"""
    told = []
    Supervisor({"learner": python(code, tmp_path / "once")}, told.append).run(never)
    assert told == ["the learner was killed (SIGTERM) and is started again"]


def test_one_that_dies_again_and_again_is_given_up(tmp_path):
    sides = {"learner": python("os.kill(os.getpid(), 9)"), "actor": python(POLITE, tmp_path / "actor")}
    with pytest.raises(LearningError, match="the learner was killed 4 times in 60 s.*SIGKILL.*memory"):
        Supervisor(sides, lambda line: None).run(never)


def test_an_error_of_a_side_is_reported_and_the_other_is_stopped(tmp_path):
    code = "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(1)"
    failing = python(code, tmp_path / "learner.pid")
    sides = {"learner": python(POLITE, tmp_path / "learner"), "actor": failing}
    with pytest.raises(LearningError, match="the actor stopped with an error, see above; resume"):
        Supervisor(sides, pytest.fail).run(never)
    assert (tmp_path / "learner.stopped").exists()


def test_an_error_while_it_stops_is_reported_too(tmp_path):
    """A learner whose last checkpoint finds no room."""
    code = POLITE.replace("sys.exit(0)", "sys.exit(1)")
    sides = {"learner": python(code, tmp_path / "learner")}
    with pytest.raises(LearningError, match="the learner stopped with an error, see above"):
        Supervisor(sides, pytest.fail).run((tmp_path / "learner.pid").exists)


def test_one_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "PATIENCE", 0.2)
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(100)"
    told = []
    sides = {"learner": python(code, tmp_path / "there")}
    Supervisor(sides, told.append).run((tmp_path / "there").exists)
    assert told == ["the learner does not stop; it is killed. Its last checkpoint is good"]


def test_an_interrupt_stops_the_sides(tmp_path):
    def look() -> bool:
        if (tmp_path / "learner.pid").exists():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        Supervisor({"learner": python(POLITE, tmp_path / "learner")}, pytest.fail).run(look)
    assert (tmp_path / "learner.stopped").exists()


def test_what_cannot_be_started_leaves_nobody_behind(tmp_path):
    sides = {"learner": python(POLITE, tmp_path / "learner"), "actor": [str(tmp_path / "nothing")]}
    with pytest.raises(FileNotFoundError):
        Supervisor(sides, pytest.fail).run(never)


def test_the_command_of_a_side_runs_here():
    command = side_command("actor", ["--out", "x"])
    assert command[0] == sys.executable and command[-5:] == ["--resume", "--side", "actor", "--out", "x"]


# Of a side


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_side_that_is_told_to_stop_finishes_first(number):
    before = signal.getsignal(number)
    seen = []
    taken = signal.signal(number, lambda *_: seen.append("usual"))
    try:
        with told_to_stop() as stop:
            assert not stop()
            signal.raise_signal(number)
            assert stop() and seen == []
        assert seen == ["usual"]  # once it has finished
    finally:
        signal.signal(number, taken)
    assert signal.getsignal(number) is before


def test_a_second_signal_is_not_waited_for():
    with pytest.raises(KeyboardInterrupt), told_to_stop():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_without_a_supervisor_nobody_can_be_gone(monkeypatch):
    monkeypatch.delenv("HILSERL_SUPERVISOR", raising=False)
    with told_to_stop() as stop:
        assert not stop()


def test_a_side_whose_supervisor_is_gone_stops(monkeypatch):
    monkeypatch.setenv("HILSERL_SUPERVISOR", str(os.getppid()))
    with told_to_stop() as stop:
        assert not stop()
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert stop()


def test_so_does_one_whose_supervisor_was_gone_before_it_began(monkeypatch):
    """It may be killed while its sides still import."""
    monkeypatch.setenv("HILSERL_SUPERVISOR", str(os.getpid()))  # not the parent's
    with told_to_stop() as stop:
        assert stop()
