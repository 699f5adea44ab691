"""What a long run from pixels holds in memory: 50,000 transitions of two 128x128 cameras.

A real run, with few updates so that it takes half an hour; what it holds does not depend on
them. Files that are mapped are the system's page cache, which it takes back when it needs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.demonstrations import record_demonstrations
from tests.benchmarks.measure import Result

STEPS, UTD_RATIO = 50_000, 0.02
TARGET_MB = 2000.0


def run() -> list[Result]:
    """Megabytes of all processes of a run together, at most."""
    with tempfile.TemporaryDirectory() as folder:
        demonstrations = str(record_demonstrations(Path(folder) / "demonstrations"))
        out = str(Path(folder) / "run")
        train = [sys.executable, "-m", "hilserl_envs", "train", "RamInsertion", "--demos", demonstrations]
        few = ["--steps", str(STEPS), "--set", f"utd_ratio={UTD_RATIO}", "--tracker", "none", "--json"]
        began, most = time.monotonic(), {}
        process = subprocess.Popen(
            [*train, "--out", out, *few], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        while process.poll() is None:
            now = {pid: _held(pid) for pid in (process.pid, *_children(process.pid))}
            if sum(now.values()) > sum(most.values()):
                most = now
            time.sleep(1.0)
        report = json.loads(process.stdout.read().splitlines()[-1])
        assert report["ok"], report
    parts = " + ".join(f"{megabytes:.0f}" for megabytes in most.values())
    minutes = (time.monotonic() - began) / 60
    detail = f"{parts} MB (command and sides); {STEPS} steps, {minutes:.0f} min"
    held = sum(most.values())
    return [Result("RamInsertion from pixels: memory of a long run", held, "MB", TARGET_MB, False, detail)]


def _held(pid: int) -> float:
    """Megabytes of a process that are not of files."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kilobytes = dict(line.split(":", 1) for line in lines)
        return sum(int(kilobytes.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem")) / 1e3
    return 0.0  # it has ended meanwhile


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(child)
            for task in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]
    return []
