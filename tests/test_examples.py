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


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path):
    BEFORE.get(example.stem, lambda folder: None)(tmp_path)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_examples_and_they_are_short():
    assert EXAMPLES
    assert all(len(path.read_text().splitlines()) < 100 for path in EXAMPLES)


def test_the_readmes_script_runs(tmp_path):
    """What a newcomer pastes."""
    text = (ROOT / "README.md").read_text()
    script = text.partition("```python\n")[2].partition("```")[0]
    assert 5 < len(script.splitlines()) <= 20
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
