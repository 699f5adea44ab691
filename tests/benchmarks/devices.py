"""What reading a device costs the control loop, while somebody drives with it.

The devices are those of the tests: real libraries on hardware that is made up.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import gymnasium

from hilserl_envs.teleop import Device, gamepad, make_device
from tests.benchmarks.measure import Result, seconds
from tests.conftest import CHROMIUM_ARGUMENTS
from tests.generic_env import GenericEnv
from tests.spacemouse_files import Among
from tests.test_teleop_browser import Desk
from tests.test_teleop_keyboard import Display, Keys

TARGET_MS = 0.5
READS, PAUSE = 1000, 0.001  # and the time between two [s]


def run() -> list[Result]:
    """Milliseconds a read, by device."""
    results = []
    for opened in (_expert, _browser, _gamepad, _keyboard):
        with opened() as device:
            times = []
            for _ in range(READS):
                time.sleep(PAUSE)
                times.append(seconds(device.read))
            assert device.read().connected
        results.append(_result(opened.__name__.strip("_"), times))
    return [*results, _result("spacemouse", _spacemouse_times())]


def _result(name: str, times: list[float]) -> Result:
    detail = f"99 of 100 under {1e3 * quantiles(times, n=100)[-1]:.2f} ms"
    return Result(f"reading the {name}", 1e3 * median(times), "ms", TARGET_MS, False, detail)


@contextmanager
def _expert() -> Iterator[Device]:
    env = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
    env.reset(seed=0)
    yield make_device("expert:noise=0.1", env)
    env.close()


@contextmanager
def _browser() -> Iterator[Device]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        desk = Desk(chromium)
        desk.open().keyboard.down("w")
        desk.motion(x=1)
        yield desk.device
        desk.close()
        chromium.close()


@contextmanager
def _gamepad() -> Iterator[Device]:
    real, pad = gamepad.PROCESS, Path(__file__).parents[1] / "virtual_gamepad.py"
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        os.environ |= {"VIRTUAL_GAMEPAD": str(pipe), "VIRTUAL_PADS": json.dumps([["A pad"]])}
        gamepad.PROCESS = pad
        try:
            device = gamepad.Gamepad(GenericEnv().action_layout)
            with open(pipe, "w") as commands:
                commands.write(json.dumps(["axis", 0, -1.0]) + "\n")
            yield device
            device.close()
        finally:
            gamepad.PROCESS = real


@contextmanager
def _keyboard() -> Iterator[Device]:
    display, before = Display(), os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = display.name
    keys = Keys()
    try:
        device = keys.open()
        keys.type("keydown", "w")
        keys.until(lambda command: command.acting)
        yield device
        device.close()
    finally:
        display.end()
        os.environ.pop("DISPLAY")
        if before is not None:
            os.environ["DISPLAY"] = before


def _spacemouse_times() -> list[float]:
    """Among devices that are files; the program there is another one."""
    with tempfile.TemporaryDirectory() as folder:
        among = Among(Path(folder))
        among.plug(1)
        among.open()
        times = []
        for _ in range(READS // 10):
            among.report(1, 1, 200, 0, 0)
            times += [among.time_reads(10)]
        among.close()
        among.end()
    return times
