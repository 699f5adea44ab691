"""The law against the public controller's own recording, and what it promises beside."""

import dataclasses
import json
import lzma
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hilserl_envs.errors import ConfigError
from hilserl_envs.impedance import (
    LAW_HZ,
    MAX_TORQUE_CHANGE,
    Compliance,
    impedance_torque,
    new_memory,
    new_parameters,
    set_compliance,
    set_target,
    settle_gains,
    solve_task_space,
    start,
)
from hilserl_envs.impedance.__main__ import main, replay
from hilserl_envs.poses import quat_multiply, rotvec_to_quat

REFERENCE = Path(__file__).parent / "data" / "impedance_law_reference.json.xz"
AGREEMENT = 1e-6  # [Nm]
NAMES = [field.name for field in dataclasses.fields(Compliance)]
HIGHEST = {field.name: field.metadata["high"] for field in dataclasses.fields(Compliance)}
POSITION, QUAT = np.array([0.5, 0.0, 0.3]), np.array([1.0, 0.0, 0.0, 0.0])
SIX, SEVEN = np.zeros(6), np.zeros(7)
# Six joints that each move the TCP along one axis, and one that does not: torques read as wrenches.
STRAIGHT = np.eye(6, 7)


@pytest.fixture(scope="module")
def ticks() -> list[dict]:
    with lzma.open(REFERENCE) as file:
        return json.load(file)


class Bench:
    """The law on a bench: joints that never move, the pose set by hand."""

    def __init__(self, compliance: Compliance | None = None, settled: bool = True):
        self.parameters, self.memory = new_parameters(), new_memory()
        set_compliance(self.parameters, compliance or Compliance())
        start(self.memory, SEVEN, POSITION, QUAT)
        if settled:
            settle_gains(self.parameters, self.memory)
        self.torque = np.zeros(7)

    def tick(
        self, position=POSITION, quat=QUAT, q=SEVEN, dq=SEVEN, jacobian=STRAIGHT, coriolis=SEVEN, times=1
    ):
        torque = self.torque
        for _ in range(times):
            impedance_torque(
                self.parameters, self.memory, q, dq, position, quat, jacobian, coriolis, torque, torque
            )
        return torque.copy()

    def rest(self, **state) -> np.ndarray:
        """The torque once its rate limit no longer holds it back."""
        return self.tick(**state, times=200)


# The recording


def test_replays_the_public_controller(ticks):
    difference = replay(ticks)
    assert difference.shape == (600, 7)
    assert np.abs(difference).max() <= AGREEMENT


@pytest.mark.parametrize("wrong", ["translational_stiffness", "rotational_damping", "clip", "target"])
def test_the_recording_would_show_a_mistake(ticks, wrong):
    """A replay that agrees with anything would prove nothing."""
    broken = [dict(tick) for tick in ticks[:200]]
    for tick in broken:
        if wrong == "target":
            tick.pop("target", None)
        elif "params" in tick:
            tick["params"] = {n: 1.01 * value if wrong in n else value for n, value in tick["params"].items()}
    assert np.abs(replay(broken)).max() > 100 * AGREEMENT


def run_replay(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "hilserl_envs.impedance", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_replay_command(ticks, tmp_path):
    (tmp_path / "recording.json").write_text(json.dumps(ticks))
    done = run_replay("replay", str(tmp_path / "recording.json"))
    assert (done.returncode, done.stderr) == (0, "")
    count, error = done.stdout.splitlines()
    assert count == "ticks: 600"
    assert error.endswith(" Nm") and float(error.split()[-2]) <= AGREEMENT


def test_a_replay_reports_to_programs_too(ticks, tmp_path, capsys):
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(ticks[:20]))
    assert main(["replay", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["ok"] and report["ticks"] == 20 and report["largest_torque_error_nm"] <= AGREEMENT
    assert main(["replay", str(tmp_path / "none.json"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.mark.parametrize("arguments", [(), ("replay",), ("play", "x.json"), ("replay", "x.json", "y.json")])
def test_wrong_usage_is_told(arguments, capsys):
    assert main(list(arguments)) == 2
    assert capsys.readouterr().err == "usage: python -m hilserl_envs.impedance replay FILE [--json]\n"


def tick_with(**changes) -> str:
    sizes = dict(q=7, dq=7, position=3, jacobian_rowmajor=42, coriolis=7, tau_J_d=7, tau=7)
    tick = {name: [0.0] * size for name, size in sizes.items()} | {"quat_xyzw": [0.0, 0.0, 0.0, 1.0]}
    tick |= changes
    return json.dumps([{name: value for name, value in tick.items() if value is not None}])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"\xff\xfe\x00", "decode"),
        (b"not json", "Expecting value"),
        (tick_with(q=None).encode(), r"tick 0 lacks numbers: expected q \(7\)"),
        (tick_with(dq=None, tau=[1.0]).encode(), r"expected dq \(7\)"),
        (tick_with(q=["a"] * 7).encode(), "tick 0: q must be numbers"),
        (tick_with(params={"stiffness": 1.0}).encode(), "did you mean .*'rotational_stiffness'"),
        (tick_with(params={"translational_stiffness": 1e9}).encode(), r"outside \[0, 6000\]"),
        (tick_with(target=[0.0, 0.0]).encode(), ""),
        pytest.param(tick_with(tau=[math.nan] * 7).encode(), ""),
        pytest.param(tick_with(params=[1.0]).encode(), ""),
        pytest.param(b"[]", ""),
        pytest.param(b"{}", ""),
        pytest.param(b'{"ticks": []}', ""),
        pytest.param(b"[1, 2]", ""),
        pytest.param(b"3", ""),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, capsys, content, says):
    file = tmp_path / "recording.json"
    if content is not None:
        file.write_bytes(content)
    assert main(["replay", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    with pytest.raises(ValueError, match=f"cannot replay {file}: .*{says}"):
        raise ValueError(output.err)


# Compliance


def test_defaults_are_the_public_controllers():
    c = Compliance()
    assert (c.translational_stiffness, c.translational_damping) == (2000, 89)
    assert (c.rotational_stiffness, c.rotational_damping) == (150, 7)
    assert (c.nullspace_stiffness, c.joint1_nullspace_stiffness) == (0.2, 100)
    assert (c.translational_Ki, c.rotational_Ki) == (0, 0)
    np.testing.assert_array_equal(c.clip, [0.01] * 3 + [0.05] * 3)
    np.testing.assert_array_equal(c.clip_neg, c.clip)


def test_ranges_are_the_public_controllers():
    expected = {
        "translational_stiffness": 6000, "translational_damping": 400,
        "rotational_stiffness": 300, "rotational_damping": 30,
        "nullspace_stiffness": 100, "joint1_nullspace_stiffness": 100,
        "translational_Ki": 100, "rotational_Ki": 100,
    }  # fmt: skip
    expected |= {
        f"{k}_clip_{s}{a}": 0.1 for k in ("translational", "rotational") for s in ("", "neg_") for a in "xyz"
    }
    assert HIGHEST == expected


@given(st.sampled_from(NAMES), st.floats(0, 1))
def test_every_value_in_range_is_taken(name, share):
    value = share * HIGHEST[name]
    assert getattr(Compliance(**{name: value}), name) == value


@given(
    st.sampled_from(NAMES),
    st.floats(exclude_min=True, min_value=1.0) | st.floats(max_value=-1e-300) | st.just(math.nan),
)
def test_every_value_out_of_range_names_the_range(name, share):
    with pytest.raises(ConfigError, match=rf"{name} = .* is outside \[0, {HIGHEST[name]:g}\]"):
        Compliance(**{name: share * HIGHEST[name]})


@pytest.mark.parametrize("value", [True, False, np.True_, "2000", None, [2000.0], np.array([2000.0])])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(ConfigError, match="translational_stiffness must be a number, got"):
        Compliance(translational_stiffness=value)


@pytest.mark.parametrize("value", [1500, np.float32(1500), np.int64(1500)])
def test_any_real_number_becomes_a_float(value):
    assert type(Compliance(translational_stiffness=value).translational_stiffness) is float


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("translational_stifness", "translational_stiffness"),
        ("translation_clip_x", "translational_clip_x"),
        ("rotational_ki", "rotational_Ki"),
    ],
)
def test_an_unknown_name_names_the_nearest(wrong, near):
    with pytest.raises(ConfigError, match=f"unknown Compliance setting '{wrong}': did you mean .*'{near}'"):
        Compliance(**{wrong: 0.01})


def test_each_name_reaches_its_own_element():
    values = {name: (i + 1) / 50 * HIGHEST[name] for i, name in enumerate(NAMES)}
    c, parameters = Compliance(**values), new_parameters()
    set_compliance(parameters, c)
    linear, angular = c.translational_stiffness, c.rotational_stiffness
    np.testing.assert_array_equal(parameters.stiffness, [linear] * 3 + [angular] * 3)
    np.testing.assert_array_equal(
        parameters.damping, [c.translational_damping] * 3 + [c.rotational_damping] * 3
    )
    np.testing.assert_array_equal(parameters.integral_gain, [c.translational_Ki] * 3 + [c.rotational_Ki] * 3)
    np.testing.assert_array_equal(parameters.nullspace, [c.nullspace_stiffness, c.joint1_nullspace_stiffness])
    for side, array in (("", parameters.clip), ("neg_", parameters.clip_neg)):
        names = [f"{kind}_clip_{side}{axis}" for kind in ("translational", "rotational") for axis in "xyz"]
        np.testing.assert_array_equal(array, [getattr(c, name) for name in names])


# The law, piece by piece


def test_at_its_target_and_at_rest_only_coriolis_is_left():
    coriolis = np.arange(7) / 10
    np.testing.assert_allclose(Bench().rest(coriolis=coriolis), coriolis, atol=1e-12)


@given(st.integers(0, 2), st.floats(-0.03, 0.03))
def test_force_is_stiffness_times_clipped_error(axis, off):
    c = Compliance(
        translational_clip_x=0.02, translational_clip_neg_x=0.005, translational_clip_y=0.01,
        translational_clip_neg_z=0.001,
    )  # fmt: skip
    position = POSITION.copy()
    position[axis] += off
    expected = np.zeros(6)
    expected[axis] = -c.translational_stiffness * min(max(off, -c.clip_neg[axis]), c.clip[axis])
    torque = Bench(c).rest(position=position)
    # What the damped pseudo-inverse lets through of the null space is nil at rest in posture.
    np.testing.assert_allclose(torque[:6], expected, atol=1e-9)


@given(hnp.arrays(np.float64, 3, elements=st.floats(-0.05, 0.05)), st.booleans())
def test_turning_back_torque_is_stiffness_times_sine_of_half_the_angle(rotvec, flipped):
    quat = quat_multiply(rotvec_to_quat(rotvec), QUAT)
    torque = Bench().rest(quat=-quat if flipped else quat)
    angle = np.linalg.norm(rotvec)
    sine = np.sin(angle / 2) / angle if angle > 1e-9 else 0.5
    np.testing.assert_allclose(torque[3:6], -150 * sine * rotvec, atol=1e-9)
    np.testing.assert_allclose(torque[:3], 0, atol=1e-12)


@given(hnp.arrays(np.float64, 3, elements=st.floats(0.2, 1)), st.sampled_from([-1, 1]))
def test_turning_back_torque_is_clipped(rotvec, sign):
    bench = Bench(Compliance(rotational_clip_x=0.02, rotational_clip_neg_y=0.03))
    torque = bench.rest(quat=quat_multiply(rotvec_to_quat(sign * rotvec), QUAT))
    c = bench.parameters
    np.testing.assert_allclose(torque[3:6], -150 * (c.clip[3:] if sign > 0 else -c.clip_neg[3:]), atol=1e-9)


def test_damping_opposes_velocity():
    dq = np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.0])
    bench = Bench(Compliance(nullspace_stiffness=0))
    np.testing.assert_allclose(bench.rest(dq=dq)[:6], -np.repeat([89, 7], 3) * dq[:6], atol=1e-9)


def test_a_joint_that_does_not_move_the_tcp_goes_to_its_posture():
    q, dq = np.array([0, 0, 0, 0, 0, 0, 0.3]), np.array([0, 0, 0, 0, 0, 0, -0.1])
    bench = Bench(Compliance(nullspace_stiffness=5.0))
    expected = -5.0 * 0.3 + 2 * math.sqrt(5.0) * 0.1
    np.testing.assert_allclose(bench.rest(q=q, dq=dq), [0] * 6 + [expected], atol=1e-9)


def test_joint_1_has_a_posture_stiffness_of_its_own():
    jacobian = np.roll(STRAIGHT, 1, axis=1)  # now joint 1 is the one that does not move the TCP
    q, dq = np.array([0.1, 0, 0, 0, 0, 0, 0]), np.array([0.2, 0, 0, 0, 0, 0, 0])
    bench = Bench(Compliance(nullspace_stiffness=2.0, joint1_nullspace_stiffness=9.0))
    expected = -2.0 * 9.0 * 0.1 - 2 * math.sqrt(2.0) * 2 * math.sqrt(9.0) * 0.2
    np.testing.assert_allclose(bench.rest(q=q, dq=dq, jacobian=jacobian), [expected] + [0] * 6, atol=1e-9)


def test_no_wrench_is_fed_forward_unless_asked():
    assert not new_memory().wrench.any()
    bench = Bench()
    assert not bench.rest().any()
    bench.memory.wrench[:] = wrench = np.array([1, -2, 3, 0.1, 0.2, -0.3])
    np.testing.assert_allclose(bench.rest()[:6], wrench, atol=1e-12)


def test_starting_forgets_the_wrench():
    bench = Bench()
    bench.memory.wrench[:] = 1.0
    start(bench.memory, SEVEN, POSITION, QUAT)
    assert not bench.memory.wrench.any()


@given(hnp.arrays(np.float64, 7, elements=st.floats(-50, 50)))
def test_torque_changes_by_1_nm_per_tick_at_most(coriolis):
    bench, last = Bench(), np.zeros(7)
    for _ in range(3):
        torque = bench.tick(coriolis=coriolis)
        assert np.abs(torque - last).max() <= MAX_TORQUE_CHANGE + 1e-12
        # towards what is wanted, at full rate or onto it
        np.testing.assert_allclose(torque, last + np.clip(coriolis - last, -1, 1), atol=1e-9)
        last = torque


def test_last_torque_is_the_one_given():
    bench, torque = Bench(), np.empty(7)
    last = np.full(7, 30.0)
    impedance_torque(
        bench.parameters, bench.memory, SEVEN, SEVEN, POSITION, QUAT, STRAIGHT, SEVEN, last, torque
    )  # fmt: skip
    np.testing.assert_allclose(torque, 29.0)
    np.testing.assert_array_equal(last, 30.0)


def test_gains_and_target_move_by_a_two_hundredth_each_tick():
    bench = Bench(settled=False)
    turned = rotvec_to_quat(np.array([0, 0, 0.4]))
    set_target(bench.memory, POSITION + [0.1, 0, 0], quat_multiply(turned, QUAT))
    for tick in range(1, 401):
        bench.tick()
        share = 1 - 0.995**tick
        np.testing.assert_allclose(bench.memory.stiffness, share * bench.parameters.stiffness, rtol=1e-9)
        np.testing.assert_allclose(bench.memory.damping, share * bench.parameters.damping, rtol=1e-9)
        np.testing.assert_allclose(
            bench.memory.nullspace, 20 + share * (bench.parameters.nullspace - 20), rtol=1e-9
        )
        np.testing.assert_allclose(bench.memory.position, POSITION + [0.1 * share, 0, 0], rtol=1e-9)
        part = quat_multiply(rotvec_to_quat(np.array([0, 0, 0.4 * share])), QUAT)
        np.testing.assert_allclose(bench.memory.quat_xyzw, part, atol=1e-7)


def test_a_new_compliance_acts_smoothly():
    bench = Bench()
    position = POSITION + [0.005, 0, 0]
    before = bench.rest(position=position)
    set_compliance(bench.parameters, Compliance(translational_stiffness=0))
    after = bench.tick(position=position)
    assert abs(after[0] - before[0]) < 0.01 * abs(before[0])
    assert abs(bench.tick(position=position, times=2000)[0]) < 0.001 * abs(before[0])


@given(st.floats(1e-5, 0.01), st.integers(1, 300))
def test_integral_grows_by_the_error_and_stops_at_its_bound(error, count):
    bench = Bench(Compliance(translational_Ki=50.0, rotational_Ki=10.0))
    bench.tick(position=POSITION + [error, 0, 0], times=count)
    np.testing.assert_allclose(bench.memory.integral, [min(error * count, 0.1)] + [0] * 5, atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_integral_of_rotation_has_a_bound_of_its_own(sign):
    bench = Bench(Compliance(rotational_Ki=10.0))
    quat = quat_multiply(rotvec_to_quat(np.array([0, 0, sign * 0.2])), QUAT)
    torque = bench.tick(quat=quat, times=500)
    np.testing.assert_allclose(bench.memory.integral, [0, 0, 0, 0, 0, sign * 0.3], atol=1e-12)
    assert torque[5] == pytest.approx(-sign * (150 * 0.05 + 10 * 0.3))


def test_a_new_target_clears_the_integral():
    bench = Bench(Compliance(translational_Ki=50.0))
    bench.tick(position=POSITION + 0.01, times=20)
    assert bench.memory.integral.any()
    set_target(bench.memory, POSITION, QUAT)
    assert not bench.memory.integral.any()


def test_a_target_with_its_quaternion_negated_is_the_same_target():
    quat = quat_multiply(rotvec_to_quat(np.array([0.1, 0.2, 0.3])), QUAT)
    torques = []
    for sign in (1, -1):
        bench = Bench()
        set_target(bench.memory, POSITION, sign * quat)
        torques.append(bench.rest())
    np.testing.assert_array_equal(*torques)


def test_a_tick_leaves_its_inputs_alone():
    inputs = dict(q=SEVEN + 0.1, dq=SEVEN + 0.2, coriolis=SEVEN + 0.3)
    inputs |= dict(position=POSITION + 0.001, quat=-QUAT, jacobian=STRAIGHT + 0.1)
    kept = {name: value.copy() for name, value in inputs.items()}
    Bench().tick(**inputs)
    for name, value in kept.items():
        np.testing.assert_array_equal(inputs[name], value)


@given(
    hnp.arrays(np.float64, (6, 7), elements=st.floats(-1, 1)),
    hnp.arrays(np.float64, 7, elements=st.floats(-10, 10)),
    st.sampled_from([0.04, 1e-3, 1.0]),
)
def test_task_space_solution_is_the_damped_singular_value_inverse(jacobian, vector, damping):
    solution = np.empty(6)
    solve_task_space(jacobian, vector, damping, np.empty((6, 6)), solution)
    left, singular, right = np.linalg.svd(jacobian.T, full_matrices=False)
    expected = right.T @ (singular / (singular**2 + damping) * (left.T @ vector))
    np.testing.assert_allclose(solution, expected, atol=1e-8)


def test_the_law_runs_at_1_khz():
    assert LAW_HZ == 1000
