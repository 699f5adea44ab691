"""`hilserl eval`: what it prints, reports and writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from hilserl_envs.cli import main
from tests.saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One that fails quickly."""
    return save_run(tmp_path_factory.mktemp("runs") / "run", best=True, env={"max_episode_steps": 5}).path


def report_of(capsys) -> tuple[list[str], dict]:
    *text, report = capsys.readouterr().out.splitlines()
    return text, json.loads(report)


def test_it_reports_what_it_prints(capsys):
    assert main(["eval", "PickCube", "--episodes", "3", "--seed", "7", "--json"]) == 0
    text, report = report_of(capsys)
    (expert,) = report["policies"]
    assert [episode["seed"] for episode in expert["runs"]] == [7, 8, 9]
    assert expert["successes"] == sum(episode["success"] for episode in expert["runs"]) == 3
    assert text[0] == "hilserl/PickCube-v0, expert, seeds 7 to 9"
    assert any(line.startswith("success") and "3/3" in line for line in text)
    assert not any(line.startswith("|") for line in text)


def test_a_run_is_named_with_its_checkpoint(run, capsys):
    line = ["eval", "PickCube", "--policy", str(run), "--episodes", "2", "--checkpoint", "last", "--json"]
    assert main(line) == 0
    text, report = report_of(capsys)
    (row,) = report["policies"]
    assert f"{run} (last)" in text[0]
    assert (row["policy"], row["checkpoint"], row["sample"]) == (str(run), "last", False)
    assert row["trained"]["updates"] == 0 and row["env"] == {"max_episode_steps": 5}
    assert row["successes"] == 0 and row["intervention_rate"] is None
    assert main([*line, "--sample"]) == 0
    assert "(last, sampled)" in report_of(capsys)[0][0]


def test_workers_change_nothing(run, capsys):
    rows = []
    for workers in ("1", "2"):
        assert main(["eval", "PickCube", "--policy", str(run), "--episodes", "3", "--workers", workers,
                     "--json"]) == 0  # fmt: skip
        rows.append(report_of(capsys)[1]["policies"])
    assert rows[0] == rows[1]


def test_several_policies_make_one_table_and_failures_are_filmed(run, tmp_path, capsys):
    out = tmp_path / "out"
    line = [
        "eval",
        "PickCube",
        "--policy",
        "expert",
        str(run),
        "--episodes",
        "2",
        "--out",
        str(out),
        "--json",
    ]
    assert main([*line, "--videos", "1"]) == 0
    text, report = report_of(capsys)
    table = [each for each in text if each.startswith("|")]
    assert [row.split(" | ")[0] for row in table[2:]] == ["| expert", f"| {run} (best)"]
    markdown = (out / "table.md").read_text()
    assert markdown.startswith("hilserl/PickCube-v0, 2 episodes, seeds 0 to 1:\n\n| policy |")
    assert "\n".join(table) in markdown
    written = json.loads((out / "report.json").read_text())
    assert written["policies"] == report["policies"] and written["versions"]["hilserl_envs"]
    assert report["videos"] == [str(out / "failure_2_seed_0.mp4")]
    with av.open(report["videos"][0]) as video:
        assert sum(1 for _ in video.decode(video=0)) == 6
    assert main(line) == 1
    assert "holds a report already" in capsys.readouterr().err


def test_who_helps_is_counted(run, capsys):
    assert main(["eval", "PickCube", "--policy", str(run), "--episodes", "2", "--overseer", "--json"]) == 0
    text, report = report_of(capsys)
    (row,) = report["policies"]
    helped = sum(episode["interventions"] for episode in row["runs"])
    assert row["intervention_rate"] == helped / sum(episode["steps"] for episode in row["runs"]) > 0
    assert any(line.startswith("interventions") for line in text)


def test_resets_by_motion_are_neither_divided_nor_filmed(tmp_path, capsys):
    assert main(["eval", "PickCube", "--policy", "random", "--episodes", "1", "--reset-mode", "motion",
                 "--out", str(tmp_path / "out"), "--json"]) == 0  # fmt: skip
    text, report = report_of(capsys)
    assert report["videos"] == []
    assert any("no videos of failures" in line and "the one before it" in line for line in text)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["PickCub"], "did you mean 'hilserl/PickCube-v0'"),
        (["PickCube", "--policy", "export"], "did you mean 'expert'"),
        (["PickCube", "--policy", "runs/nothing"], "or the folder of a run"),
        (["PickCube", "--policy"], "--policy names"),
        (["PickCube", "--policy", "expert", "--sample"], "--checkpoint and --sample are about runs"),
        (["PickCube", "--policy", "expert", "--checkpoint", "last"], "expert is none"),
        (["RamInsertion", "--policy", "{run}"], "a run of PickCube, not of RamInsertion"),
        (["PickCube", "--policy", "expert", "{run}", "--checkpoint", "bets"], "did you mean 'best'"),
        (["PickCube", "--policy", "{run}", "--torch-device", "toaster"], "no device 'toaster'"),
        (["PickCube", "--episodes", "0"], "at least 1"),
        (["PickCube", "--seed", "-1"], "--seed must be at least 0"),
        (["PickCube", "--workers", "0"], "--workers must be at least 1"),
        (["PickCube", "--reset-mode", "motion", "--workers", "2"], "the one before it"),
        (["PickCube", "--robot", "tvin"], "'twin'"),
        (["PickCube", "--timestep", "0.0015"], "does not fit the law's 0.001 s"),
        (["PickCube", "--view", "windwo"], "did you mean 'window'"),
        (["PickCube", "--device", "keybord"], "did you mean 'keyboard'"),
    ],
)
def test_mistakes_are_explained_in_one_line(run, args, message, capsys):
    assert main(["eval", *(arg.format(run=run) for arg in args)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hilserl: error: ") and message in error and error.count("\n") == 1


WITHOUT_PYTORCH = """
import sys

class NoTorch:
    def find_spec(self, name, *_):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
from hilserl_envs.cli import main
raise SystemExit(main())
"""


@pytest.mark.parametrize("policy", ["expert", "run"])
def test_without_pytorch_only_runs_cannot_act(run, policy):
    name = str(run) if policy == "run" else policy
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYTORCH, "eval", "PickCube", "--episodes", "1", "--policy", name],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if policy == "run" else 0), done.stderr
    assert ("hilserl_envs[agent]" in done.stderr) == (policy == "run")
