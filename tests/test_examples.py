"""Every example runs as it stands, from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.saved_runs import save_run

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What some need first, in the folder that they run in.
BEFORE = {
    "stable_baselines3_sac": lambda folder: needs.module("stable_baselines3", "test"),
    "trained_policy": lambda folder: save_run(folder / "run", env={"max_episode_steps": 10}),
}


def python(folder: Path, *arguments: str | Path, path: tuple[Path, ...] = ()) -> str:
    """What Python prints when it is run in a folder, with those folders on its path."""
    searched = [*map(str, (ROOT, *path)), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, searched))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path):
    BEFORE.get(example.stem, lambda folder: None)(tmp_path)
    assert python(tmp_path, example)


def test_a_task_of_ones_own_is_recorded_learned_and_evaluated_by_the_commands(tmp_path):
    needs.module("torch", "agent")

    def hilserl(*arguments: str) -> str:
        return python(tmp_path, "-m", "hilserl_envs", *arguments, path=(ROOT / "examples",))

    task = "own_task:PushPuck"
    hilserl("record", task, "--device", "expert", "--episodes", "1", "--obs", "both", "--out", "demos")
    assert "1 of 1 ended as recorded" in hilserl("replay", "demos", "--task", task)
    # The learner is a process of its own, which has to find the task too.
    hilserl(
        "train", task, "--demos", "demos", "--out", "run", "--obs", "state", "--algorithm", "bc",
        "--steps", "3", "--tracker", "none",
    )  # fmt: skip
    said = hilserl("eval", task, "--policy", "run", "--episodes", "1")
    assert said.startswith("mylab/PushPuck-v0, run (best), seeds 0 to 0")


def test_there_are_examples_and_they_are_short():
    assert EXAMPLES
    assert all(len(path.read_text().splitlines()) < 100 for path in EXAMPLES)


def test_the_readmes_script_runs(tmp_path):
    """What a newcomer pastes."""
    text = (ROOT / "README.md").read_text()
    script = text.partition("```python\n")[2].partition("```")[0]
    assert 5 < len(script.splitlines()) <= 20
    python(tmp_path, "-c", script)
