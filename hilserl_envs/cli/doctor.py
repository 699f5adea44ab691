"""`hilserl doctor`: what this machine has, what it lacks, and the line that fixes it."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hilserl_envs.cli import Command

_LIST_CAMERAS = """
import pyrealsense2 as rs
for device in rs.context().query_devices():
    print(device.get_info(rs.camera_info.name), device.get_info(rs.camera_info.serial_number))
"""
# Optional dependencies of this package, and what for.
_EXTRAS = {
    "teleop": "keyboard, gamepad and SpaceMouse",
    "lerobot": "datasets of LeRobot",
    "agent": "learning",
    "cluster": "learning on several machines",
    "server": "grippers and cameras of a robot server",
}
_PIP = f"{sys.executable} -m pip install"


@dataclass(frozen=True)
class Check:
    """One thing a machine has or lacks; `fix` is what to do about it."""

    name: str
    ok: bool
    found: str
    needed_for: str
    fix: str
    required: bool = False


@dataclass(frozen=True)
class Doctor(Command):
    """Say what is missing on this machine, and the line that fixes it.

    Fails if something is missing that nothing works without.
    """

    def run(self) -> dict:
        checks = []
        for check in _checks():
            checks.append(check)
            print(describe(check), flush=True)
        lacking = [check.name for check in checks if check.required and not check.ok]
        print(f"\nRequired and missing: {', '.join(lacking) or 'nothing'}")
        return {"ok": not lacking, "checks": [dataclasses.asdict(check) for check in checks]}


def describe(check: Check) -> str:
    """Lines for people: the state, and for what is missing why it matters and the fix."""
    state = "ok" if check.ok else "MISSING" if check.required else "missing"
    line = f"{state:8} {check.name:18} {check.found}"
    return line if check.ok else f"{line}\n{'':9}for {check.needed_for}; to fix: {check.fix}"


def _checks() -> Iterator[Check]:
    yield _python()
    yield from _packages()
    yield from _gl_backends()
    yield _library("libusb", ["libusb-1.0.so.0"], "RealSense cameras", "libusb-1.0-0")
    hidapi = ["libhidapi-hidraw.so.0", "libhidapi-libusb.so.0"]
    yield _library("hidapi", hidapi, "the SpaceMouse", "libhidapi-hidraw0")
    yield _display()
    yield _cameras()
    yield _numba_cache()


def _python() -> Check:
    ok = sys.version_info >= (3, 10)
    return Check("Python", ok, platform.python_version(), "everything", _apt("python3"), required=True)


def _packages() -> Iterator[Check]:
    """What this package's own metadata require, so that there is no second list."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("hilserl_envs") or []
    except importlib.metadata.PackageNotFoundError:
        fix = f"{_PIP} -e {Path(__file__).parents[2]}"
        yield Check("hilserl_envs", False, "not installed", "everything", fix, required=True)
        return
    for requirement in map(Requirement, lines):
        extras = [
            extra
            for extra in ("", *_EXTRAS)
            if not requirement.marker or requirement.marker.evaluate({"extra": extra})
        ]
        if not extras:
            continue
        needed_for = _EXTRAS.get(extras[0], "everything")
        version = _version(requirement.name)
        ok = version is not None and requirement.specifier.contains(version, prereleases=True)
        found = version or "not installed"
        if version and not ok:
            found = f"{version}, which is not {requirement.specifier}"
        fix = f'{_PIP} "{requirement.name}{requirement.specifier}"'
        yield Check(requirement.name, ok, found, needed_for, fix, required=extras[0] == "")


def _gl_backends() -> Iterator[Check]:
    """One backend is enough, so only the first is required, and only if none works."""
    from hilserl_envs.twin.gl_backend import DEBIAN_PACKAGES, available_backends

    needed_for = "images of the twin (one GL is enough)"
    reasons = available_backends()
    required = None not in reasons.values()
    for name, reason in reasons.items():
        fix = _apt(*DEBIAN_PACKAGES[name]) if name in DEBIAN_PACKAGES else "log in to a desktop"
        yield Check(f"GL {name}", reason is None, reason or "draws images", needed_for, fix, required)
        required = False


def _library(name: str, sonames: list[str], needed_for: str, package: str) -> Check:
    for soname in sonames:
        try:
            ctypes.CDLL(soname)
        except OSError:
            continue
        return Check(name, True, soname, needed_for, _apt(package))
    return Check(name, False, f"cannot load {' or '.join(sonames)}", needed_for, _apt(package))


def _display() -> Check:
    needed_for = "the human window and the keyboard"
    server = "" if shutil.which("xvfb-run") else f"{_apt('xvfb', 'xauth')}; "
    fix = f"use a desktop or `ssh -X`; without a screen: {server}xvfb-run -a COMMAND"
    if not sys.platform.startswith("linux"):
        return Check("display", True, "the system's own", needed_for, fix)
    found = []
    for kind, variable in (("Wayland", "WAYLAND_DISPLAY"), ("X11", "DISPLAY")):
        name = os.environ.get(variable)
        if name and _answers(kind, name):
            return Check("display", True, f"{kind} {name}", needed_for, fix)
        found.append(f"{variable}={name} does not answer" if name else f"{variable} is not set")
    return Check("display", False, ", ".join(found), needed_for, fix)


def _answers(kind: str, name: str) -> bool:
    """Whether a display server accepts connections: `wayland-0`, `:0` or `host:10.0`."""
    try:
        if kind == "Wayland":
            address = os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), name)
        else:
            host, _, number = name.rpartition(":")
            number = int(number.split(".")[0])
            if host not in ("", "unix"):
                socket.create_connection((host, 6000 + number), timeout=2).close()
                return True
            address = f"/tmp/.X11-unix/X{number}"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
    except (OSError, ValueError):
        return False
    return True


def _cameras() -> Check:
    """Asks in a process of its own: a driver may hang or crash."""
    fix = "plug a RealSense camera into a USB 3 port"
    found = []
    if _version("pyrealsense2") is None:
        problem, fix = "pyrealsense2 is not installed", f"{_PIP} pyrealsense2"
    else:
        problem = "none connected"
        ask = [sys.executable, "-c", _LIST_CAMERAS]
        try:
            done = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True)
            found = done.stdout.strip().splitlines()
        except subprocess.TimeoutExpired:
            problem, fix = "the driver does not answer", "unplug the cameras and plug them in again"
        except subprocess.CalledProcessError as error:
            problem = (error.stderr.strip() or str(error)).splitlines()[-1]
            fix = _apt("libusb-1.0-0")
    return Check("RealSense camera", bool(found), ", ".join(found) or problem, "images of a real arm", fix)


def _numba_cache() -> Check:
    """Where compiled code can be kept between runs, in numba's own order."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = [Path(chosen)] if chosen else [Path(__file__).parents[1], user_cache / "numba"]
    writable = [str(place) for place in places if _can_write(place.absolute())]
    found = writable[0] if writable else f"cannot write to {' or '.join(map(str, places))}"
    fix = "export NUMBA_CACHE_DIR=/tmp/numba_cache"
    return Check("numba cache", bool(writable), found, "a start without compiling", fix)


def _can_write(folder: Path) -> bool:
    """Whether files can be put into a folder, which may still have to be made."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return os.access(existing, os.W_OK)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _apt(*packages: str) -> str:
    """The shell line that installs Debian packages, or their names where there is no apt."""
    if shutil.which("apt-get") is None:
        return f"install what Debian calls {' '.join(packages)}"
    from hilserl_envs.twin.gl_backend import apt_line

    return apt_line(*packages)
