"""The `hilserl` command: statuses, the JSON line, and what `doctor` says of a machine."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hilserl_envs import cli
from hilserl_envs.cli import Command, doctor, main
from hilserl_envs.errors import ConfigError
from hilserl_envs.tasks import TASKS


def hilserl(*args: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the command as a shell would."""
    return subprocess.run(
        [sys.executable, "-c", "from hilserl_envs.cli import main; raise SystemExit(main())", *args],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@dataclasses.dataclass(frozen=True)
class Count(Command):
    """Count to a number."""

    to: int = 3
    """Where to stop; 13 is refused."""

    def run(self) -> dict:
        if self.to == 13:
            raise ConfigError("13 is refused: take 12")
        if self.to == 0:
            raise KeyboardInterrupt
        print("counting")
        return {"ok": self.to > 0, "last": self.to}


@pytest.fixture
def count(monkeypatch):
    """A command line with subcommands that do next to nothing."""
    monkeypatch.setattr(cli, "_commands", lambda: {"count": Count, "again": Count})


def test_report_is_the_last_line(count, capsys):
    assert main(["count", "--to", "5", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "counting" and json.loads(lines[-1]) == {"ok": True, "last": 5}


def test_without_json_only_text(count, capsys):
    assert main(["count"]) == 0
    assert capsys.readouterr().out == "counting\n"


def test_report_that_is_not_ok_fails(count, capsys):
    assert main(["count", "--to", "-1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"ok": False, "last": -1}


def test_error_is_one_line(count, capsys):
    assert main(["count", "--to", "13", "--json"]) == 1
    output = capsys.readouterr()
    assert output.err == "hilserl: error: 13 is refused: take 12\n"
    assert json.loads(output.out) == {"ok": False, "error": "13 is refused: take 12"}


def test_a_missing_module_is_one_line(count, monkeypatch, capsys):
    def run(self):
        raise ModuleNotFoundError("No module named 'av'", name="av")

    monkeypatch.setattr(Count, "run", run)
    assert main(["count", "--json"]) == 1
    output = capsys.readouterr()
    assert "'av' is not installed" in output.err and "hilserl doctor" in output.err
    assert json.loads(output.out)["ok"] is False


def test_interrupt(count):
    assert main(["count", "--to", "0"]) == 130


@pytest.mark.parametrize("args", [["cuont"], ["count", "--to", "many"], ["count", "--form", "1"], []])
def test_wrong_arguments(count, args, capsys):
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2


def test_help_names_subcommands():
    done = hilserl("--help")
    assert done.returncode == 0
    assert {"demo", "doctor", "eval", "tasks"} <= set(done.stdout.split())
    assert hilserl("doktor").returncode == 2


def test_tasks_lists_every_id(capsys):
    assert main(["tasks", "--json"]) == 0
    *text, report = capsys.readouterr().out.splitlines()
    rows = {row["id"]: row for row in json.loads(report)["tasks"]}
    assert set(TASKS) <= set(rows)
    assert rows["hilserl/RamInsertion-v0"]["cameras"] == ["wrist_1", "wrist_2"]
    assert rows["hilserl/PickCube-v0"]["gripper"] and rows["hilserl/PickCube-v0"]["action_size"] == 7
    assert rows["hilserl/UsbPickupInsertion-v0"]["horizon"] == 120
    assert all(row["about"] and row["horizon"] > 0 and row["arms"] for row in rows.values())
    assert len(text) == len(rows) + 1


def test_mistakes_are_explained_in_one_line(capsys):
    assert main(["demo", "--episodes", "0"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hilserl: error: ") and "at least 1" in error and error.count("\n") == 1


def test_doctor():
    done = hilserl("doctor", "--json")
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if report["ok"] else 1), done.stderr
    assert report["ok"] == all(check["ok"] or not check["required"] for check in report["checks"])
    names = {check["name"] for check in report["checks"]}
    assert {"Python", "libusb", "hidapi", "display", "RealSense camera", "torch", "numba cache"} < names
    for check in report["checks"]:
        assert check["name"] in done.stdout and (check["ok"] or check["fix"] in done.stdout)


def make_check(ok: bool, required: bool) -> doctor.Check:
    return doctor.Check("thing", ok, "found", needed_for="something", fix="get it", required=required)


@pytest.mark.parametrize(("ok", "required"), [(True, True), (False, False), (False, True)])
def test_doctor_fails_only_for_what_is_required(monkeypatch, capsys, ok, required):
    monkeypatch.setattr(doctor, "_checks", lambda: iter([make_check(ok, required)]))
    assert doctor.Doctor().run()["ok"] == (ok or not required)
    assert ("to fix: get it" in capsys.readouterr().out) == (not ok)


def test_doctor_refuses_mujoco_4_0_0(monkeypatch):
    versions = {"mujoco": "4.0.0", "numpy": "2.0.0"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    lines = ["mujoco>=3.17,!=4.0.0", "numpy", "scipy", 'pynput; extra == "teleop"', 'pytest; extra == "test"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: lines)
    mujoco, numpy, scipy, pynput = doctor._packages()
    assert not mujoco.ok and mujoco.required and "4.0.0, which is not" in mujoco.found
    assert numpy.ok
    assert not scipy.ok and scipy.required and scipy.fix.endswith('-m pip install "scipy"')
    assert not pynput.ok and not pynput.required and "keyboard" in pynput.needed_for


def test_doctor_needs_one_gl(monkeypatch):
    from hilserl_envs.twin import gl_backend

    for reasons, required in (
        ({"egl": None, "osmesa": "gone"}, [False, False]),
        ({"egl": "gone", "osmesa": None}, [False, False]),
        ({"egl": "gone", "osmesa": "gone"}, [True, False]),
    ):
        monkeypatch.setattr(gl_backend, "available_backends", lambda reasons=reasons: reasons)
        checks = list(doctor._gl_backends())
        assert [check.required for check in checks] == required
        assert [check.ok for check in checks] == [reason is None for reason in reasons.values()]


def test_doctor_display(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":8765")
    check = doctor._display()
    assert not check.ok and "DISPLAY=:8765 does not answer" in check.found and "xvfb-run" in check.fix


def test_doctor_numba_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new" / "cache"))
    assert doctor._numba_cache().ok
    monkeypatch.setattr(os, "access", lambda *_: False)
    check = doctor._numba_cache()
    assert not check.ok and "NUMBA_CACHE_DIR" in check.fix
