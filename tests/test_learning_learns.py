"""Does the agent learn what imitation alone does not? `pytest -m learning`, some five minutes."""

import json

import pytest

from hilserl_envs.cli import main
from tests import needs

EPISODES = 50


@pytest.mark.learning
def test_sac_learns_what_behaviour_cloning_does_not(tmp_path, capsys):
    needs.module("torch", "agent")
    demos, bc, sac = (str(tmp_path / name) for name in ("demos", "bc", "sac"))
    train = ["train", "RamInsertion", "--obs", "state", "--demos", demos]
    lines = [
        ["record", "RamInsertion", "--device", "expert:noise=0.1", "--obs", "both", "--out", demos],
        [*train, "--out", bc, "--algorithm", "bc", "--steps", "5000"],
        [*train, "--out", sac, "--overseer", "--steps", "8000", "--sync"],
        [
            "eval",
            "RamInsertion",
            "--policy",
            bc,
            sac,
            "--episodes",
            str(EPISODES),
            "--seed",
            "10000",
            "--json",
        ],
    ]
    for line in lines:
        capsys.readouterr()
        assert main(line) == 0
    imitated, learned = json.loads(capsys.readouterr().out.splitlines()[-1])["policies"]
    assert imitated["success_rate"] < 0.9 <= learned["success_rate"]
