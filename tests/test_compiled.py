import os
import subprocess
import sys
import time
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
    module, text = folder / "module.py", MODULE.format(name=name)
    if not module.exists() or module.read_text() != text:
        module.write_text(text)
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


def test_a_change_in_a_function_that_is_called_is_noticed(tmp_path):
    called = tmp_path / "called.py"
    text = "from hilserl_envs.compiled import compiled\n@compiled\ndef times(x):\n    return {} * x\n"
    (tmp_path / "module.py").write_text(
        "from called import times\nfrom hilserl_envs.compiled import compiled\n"
        "@compiled\ndef work(x):\n    return times(x) + 1\nprint(work(3.0))\n"
    )
    for factor, result in ((2, "7.0"), (5, "16.0")):
        called.write_text(text.format(factor))
        os.utime(called, (time.time() + factor,) * 2)  # as if a while had passed
        done = subprocess.run(
            [sys.executable, "-c", "import module"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.strip() == result, done.stderr
