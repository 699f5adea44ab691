import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE = """
from typing import NamedTuple
from hilserl_envs.compiled import compiled
class {name}(NamedTuple):
    value: float
@compiled
def double(pair):
    return 2 * pair.value
print(double({name}(3.0)), sum(double.stats.cache_hits.values()))
"""


def run(folder: Path, name: str) -> str:
    (folder / "module.py").write_text(MODULE.format(name=name))
    done = subprocess.run(
        [sys.executable, "-c", "import module"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_compiled_code_is_found_again_by_the_next_run(tmp_path):
    assert run(tmp_path, "First") == "6.0 0"
    assert run(tmp_path, "First") == "6.0 1"


def test_an_upgrade_that_renames_a_class_does_not_trip_over_the_old_cache(tmp_path):
    assert run(tmp_path, "First") == "6.0 0"
    assert run(tmp_path, "Second") == "6.0 0"
