"""What libfranka says, in words that say what to do."""

from types import SimpleNamespace

import numpy as np
import pytest

from robot_servers.backends.libfranka_errors import explain, which


def state(**values):
    standing = {
        "joint_collision": np.zeros(7),
        "cartesian_collision": np.zeros(6),
        "tau_ext_hat_filtered": np.zeros(7),
        "O_F_ext_hat_K": np.zeros(6),
        "q": [0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785],
        "dq": np.zeros(7),
        "control_command_success_rate": 1.0,
    }
    return SimpleNamespace(**(standing | values))


@pytest.mark.parametrize(
    ("said", "values", "found"),
    [
        ("joint_reflex", {"joint_collision": [0, 0, 0, 1, 0, 0, 0]}, "joint 4: 0 Nm"),
        ("joint_reflex", {"tau_ext_hat_filtered": [1, -45, 0, 0, 0, 0, 0]}, "joint 2: -45 Nm"),
        ("cartesian_reflex", {"O_F_ext_hat_K": [0, 0, 71, 0, 0, 0]}, "axis z: 71 N"),
        ("cartesian_reflex", {"cartesian_collision": [1, 0, 0, 0, 1, 0]}, "axis x: 0 N, ry: 0 Nm"),
        (
            "joint_position_limits_violation",
            {"q": [0, 0, 0, -0.16, 0, 1.57, 0]},
            "joint 4: -0.16 of -3.04 to -0.15 rad",
        ),
        ("joint_velocity_violation", {"dq": [0, 0, 2.3, 0, 0, 0, 0]}, "joint 3: 2.30 rad/s"),
        (
            "communication_constraints_violation",
            {"control_command_success_rate": 0.82},
            "82 % of the commands came in time",
        ),
        ("power_limit_violation", {}, ""),
    ],
)
def test_joints_and_axes_are_named(said, values, found):
    assert which(f'aborted by reflex! ["{said}"]', state(**values)) == found


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("libfranka: Connection to FCI refused. Please install FCI feature.", "https://172.16.0.2"),
        ("libfranka: Incompatible library version (server version: 5)", "take `ros`"),
        (
            "libfranka: Move command rejected: command not possible in the current mode (User stopped)!",
            "release",
        ),
        ('motion aborted by reflex! ["communication_constraints_violation"]', "too slow"),
        ('motion aborted by reflex! ["joint_reflex"]', "see that the arm is free, then recover"),
        ("libfranka: UDP receive: Timeout", "check its power and the cable"),
        ("something\nnew", "something new; recover; see the log in Desk"),
    ],
)
def test_what_to_do_is_said(said, advice):
    text = explain(RuntimeError(said), "172.16.0.2")
    assert text.startswith("robot 172.16.0.2: ") and advice in text and "\n" not in text
    assert "libfranka: " not in text
