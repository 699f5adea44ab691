import json

import av
import pytest

from hilserl_envs.cli import main
from tests import needs

SMALL = "--task PickCube --demonstrations 2 --bc-updates 10 --steps 110 --episodes 2 --json".split()


def demo(folder, capsys) -> dict:
    assert main(["demo", *SMALL, "--out", str(folder)]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_from_demonstrations_to_a_table_and_no_step_twice(tmp_path, capsys):
    needs.module("torch", "agent")
    report = demo(tmp_path / "demo", capsys)
    rows = report["table"].splitlines()[-3:]
    assert ["expert" in rows[0], "bc" in rows[1], "run" in rows[2]] == [True] * 3
    with av.open(report["video"]) as video:
        assert sum(1 for _ in video.decode(video=0)) > 5
    curves = tmp_path / "demo/run/curves.png"
    assert report["curves"] == str(curves) and curves.read_bytes().startswith(b"\x89PNG")

    written = (tmp_path / "demo/run/learner.jsonl").read_bytes()
    again = demo(tmp_path / "demo", capsys)  # as after it was stopped at its very end
    assert again["table"] == report["table"]
    assert (tmp_path / "demo/run/learner.jsonl").read_bytes() == written


@pytest.mark.parametrize("option", ["--demonstrations", "--steps", "--bc-updates", "--episodes"])
def test_nothing_is_begun_with_a_wrong_number(option, tmp_path, capsys):
    assert main(["demo", option, "0", "--out", str(tmp_path / "demo")]) == 1
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
