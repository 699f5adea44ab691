"""Does the agent learn what imitation alone does not? Some four minutes."""

import json

import pytest

from hilserl_envs.cli import main
from tests import needs

DEMONSTRATIONS, EPISODES = 10, 50


@pytest.mark.slow
def test_sac_learns_what_behaviour_cloning_does_not(tmp_path, capsys):
    needs.module("torch", "agent")
    demos, bc, sac = (str(tmp_path / name) for name in ("demos", "bc", "sac"))

    def run(command: str, *options: object) -> None:
        capsys.readouterr()
        assert main([command, "PickCube", *map(str, options)]) == 0

    run(
        "record",
        "--device",
        "expert:noise=0.1",
        "--obs",
        "both",
        "--episodes",
        DEMONSTRATIONS,
        "--out",
        demos,
    )
    train = ("train", "--obs", "state", "--demos", demos, "--tracker", "none")
    run(*train, "--out", bc, "--algorithm", "bc", "--steps", 3000)
    run(*train, "--out", sac, "--overseer", "--steps", 5000, "--sync")
    run("eval", "--policy", bc, sac, "--episodes", EPISODES, "--seed", 10_000, "--json")
    imitated, learned = json.loads(capsys.readouterr().out.splitlines()[-1])["policies"]
    assert imitated["success_rate"] < 0.9 <= learned["success_rate"]
