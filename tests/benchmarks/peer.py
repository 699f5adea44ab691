"""PickCube against gym-hil's, both at 10 Hz control, 2 ms timestep and the same GL backend.

gym-hil is installed from PyPI into an environment of its own, `.venv-gym-hil`. Each side
runs as a process that steps on request, so that they can take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.benchmarks.measure import Result, median_ratio, take_turns

ENVIRONMENT = Path(".venv-gym-hil")
STATE_TARGET, PIXELS_TARGET = 8.0, 100.0

_LOOP = """
import sys, time
import numpy as np
env.reset(seed=0)
action = np.zeros(env.action_space.shape, np.float32)
env.step(action)
print("ready", flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(line)):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    print(int(line) / (time.perf_counter() - began), flush=True)
"""
_OURS = """
import gymnasium, hilserl_envs
env = gymnasium.make("hilserl/PickCube-v0", obs="{obs}", timestep=0.002)
"""
_THEIRS = """
import gymnasium, gym_hil
env = gymnasium.make("gym_hil/PandaPickCubeBase-v0", control_dt=0.1, physics_dt=0.002, image_obs={images})
"""


def run() -> list[Result]:
    """State observations, and two 128x128 cameras."""
    python = _gym_hil_python()
    return [
        _compare(python, "state", images=False, steps=(300, 60), target=STATE_TARGET),
        _compare(python, "pixels", images=True, steps=(100, 2), target=PIXELS_TARGET),
    ]


def _compare(python: str, obs: str, images: bool, steps: tuple[int, int], target: float) -> Result:
    ours = _Side(sys.executable, _OURS.format(obs=obs), steps[0])
    theirs = _Side(python, _THEIRS.format(images=images), steps[1])
    try:
        our_speed, their_speed = take_turns(ours.speed, theirs.speed, rounds=5)
    finally:
        ours.close()
        theirs.close()
    detail = f"{sorted(our_speed)[2]:.0f} env steps/s against {sorted(their_speed)[2]:.2f}"
    return Result(
        f"PickCube, {obs}: speed / gym-hil's", median_ratio(our_speed, their_speed), "x", target, True, detail
    )


class _Side:
    """A process that makes an environment and steps it on request."""

    def __init__(self, python: str, make: str, steps: int):
        self._steps = steps
        environment = {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", make + _LOOP],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        while (line := self._process.stdout.readline().strip()) != "ready":
            if not line and self._process.poll() is not None:
                raise RuntimeError(f"{python} failed to make or step its environment:\n{make}")

    def speed(self) -> float:
        """Environment steps per second over one block."""
        self._process.stdin.write(f"{self._steps}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def _gym_hil_python() -> str:
    """Interpreter of an environment with gym-hil; made at the first call."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "installed").exists():
        print(f"installing gym-hil into {ENVIRONMENT}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "gym-hil"], check=True)
        (ENVIRONMENT / "installed").touch()
    return str(python.absolute())
