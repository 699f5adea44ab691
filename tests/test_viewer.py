"""The window of render_mode="human", on a virtual display."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gymnasium, hilserl_envs
env = gymnasium.make("hilserl/PickCube-v0", obs="state", render_mode="human")
env.reset(seed=0)
for _ in range(3):
    env.step(env.action_space.sample())
print("window open:", env.unwrapped.robot.scene._window._handle.is_running())
{close}
"""


def run(*before: str, close: str = "", **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    for name in [name for name, value in environment.items() if not value]:
        del environment[name]
    return subprocess.run(
        [*before, sys.executable, "-W", "ignore", "-c", SCRIPT.format(close=close)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb: apt-get install xvfb xauth")
@pytest.mark.parametrize("close", ["env.close(); env.close()", ""], ids=["closed twice", "left open"])
def test_a_window_opens_on_a_display(close):
    done = run("xvfb-run", "-a", close=close)
    assert done.returncode == 0, done.stderr
    assert "window open: True" in done.stdout


def test_without_a_display_the_error_says_what_to_do():
    done = run(DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert "RenderingError" in message and "xvfb-run" in message and "rgb_array" in message
