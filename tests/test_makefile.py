"""What `make test` does about the system's packages, with stand-ins for apt-get and apt-cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Broken is there, but does not install; foreign is not there at all.
STAND_INS = {
    "apt-cache": '[ "$2" != foreign ]',
    "apt-get": 'echo "apt-get $*" >> "$APT_LOG"; case "$*" in *broken*) exit 100;; esac',
    "id": "echo 0",
}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("make") is None, reason="it is make's, for Debian"
)


def make(folder: Path, *packages: str) -> tuple[str, list[str]]:
    """What it says, and the calls of apt-get, where these packages are missing."""
    programs = folder / "bin"
    programs.mkdir()
    for name, script in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    shutil.copy(ROOT / "Makefile", folder)
    missing = " ".join(f"no-such-program:{package}" for package in packages)
    # `make test` runs these tests too: what it tells its own children is not for this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    ran = subprocess.run(
        ["make", ".venv/system-for-tests", f"PROGRAMS={missing}", "FILES=", "LIBRARIES=", "HEADERS="],
        cwd=folder,
        env=environment | {"PATH": f"{programs}:{os.environ['PATH']}", "APT_LOG": str(folder / "log")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert (folder / ".venv" / "system-for-tests").exists()
    log = folder / "log"
    return ran.stdout, log.read_text().splitlines() if log.exists() else []


def installed(calls: list[str]) -> list[str]:
    return [call.partition("--no-install-recommends ")[2] for call in calls if " install " in call]


def test_nothing_is_done_where_nothing_is_missing(tmp_path):
    assert make(tmp_path) == ("", [])


def test_what_is_missing_is_installed_at_once(tmp_path):
    said, calls = make(tmp_path, "good", "better")
    assert calls[0] == "apt-get update -qq" and installed(calls) == ["good better"]
    assert "Not to be had" not in said


def test_what_this_system_does_not_have_keeps_nothing_else_off(tmp_path):
    said, calls = make(tmp_path, "good", "foreign", "better")
    assert installed(calls) == ["good better"]
    assert "Not to be had on this system: foreign. Going on without." in said


def test_what_does_not_install_keeps_nothing_else_off(tmp_path):
    said, calls = make(tmp_path, "broken", "good")
    assert installed(calls) == ["broken good", "broken", "good"]
    assert "Not to be had on this system: broken." in said
