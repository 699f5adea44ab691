"""Tests of what a robot server lets through."""

import contextlib
import dataclasses
import itertools
import re

import numpy as np
import pytest

from hilserl_envs.errors import ActionError, ConfigError, RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import PANDA, inverse_kinematics
from hilserl_envs.poses import quat_multiply, rotvec_to_quat
from hilserl_envs.tasks import TASKS, make_task
from robot_servers.limits import CLIPS, GuardSettings, Refusal

DOWN = [1.0, 0.0, 0.0, 0.0]
MEASURED = np.array([0.5, 0.0, 0.3, *DOWN])
LIMITS = GuardSettings()
NONE = np.zeros(3)


@contextlib.contextmanager
def refused(kind, match=None):
    with pytest.raises(Refusal, match=match) as caught:
        yield
    assert caught.value.kind == kind


def moved(by=(0, 0, 0), turn=(0, 0, 0)):
    quat = quat_multiply(rotvec_to_quat(np.array(turn, float)), MEASURED[3:])
    return np.concatenate([MEASURED[:3] + by, quat])


def test_the_default_box_is_in_the_arms_reach_with_the_hand_down_but_for_its_edges():
    grid = itertools.product(*np.linspace(LIMITS.box_low, LIMITS.box_high, 5).T)
    reached = []
    for position in grid:
        try:
            inverse_kinematics("panda", [*position, *DOWN])
            reached.append(True)
        except RobotError:
            reached.append(False)
    assert np.mean(reached) > 0.85


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.__name__ != "JengaWhip"])
def test_every_task_but_the_whip_is_served_as_it_is(task):
    LIMITS.check_task(task())
    for arm in task().arms.values():
        for corner in (arm.limits.low, arm.limits.high):
            LIMITS.check_position("arm", np.array(corner))


def test_a_task_that_needs_more_room_or_force_is_served_with_the_flags_that_it_is_told():
    task = make_task("JengaWhip")
    with pytest.raises(ConfigError, match="further, or pushes harder") as refusal:
        LIMITS.check_task(task)
    told = re.findall(r"--([a-z-]+)((?: -?[0-9.]+)+)", str(refusal.value))
    values = {name.replace("-", "_"): [float(x) for x in numbers.split()] for name, numbers in told}
    assert values.keys() == {"box_low", "box_high", "max_force"}
    given = {name: tuple(x) if len(x) == 3 else x[0] for name, x in values.items()}
    dataclasses.replace(LIMITS, **given).check_task(task)


def test_a_near_pose_passes_and_has_a_quaternion_of_length_one():
    pose = moved((0.03, 0, 0), (0, 0.1, 0))
    pose[3:] *= 1.0005
    checked = LIMITS.checked_pose("arm", pose, MEASURED)
    np.testing.assert_array_equal(checked[:3], pose[:3])
    assert abs(np.linalg.norm(checked[3:]) - 1) < 1e-12


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", ["box_low", "box_high"])
def test_a_pose_outside_the_box_is_refused(axis, side):
    measured, outward = MEASURED.copy(), 1 if side == "box_high" else -1
    measured[axis] = getattr(LIMITS, side)[axis]
    LIMITS.checked_pose("arm", measured, measured)
    pose = measured.copy()
    pose[axis] += 1e-6 * outward
    with refused("pose_outside_box", "arm 'arm' must lie in the box"):
        LIMITS.checked_pose("arm", pose, measured)


@pytest.mark.parametrize(
    "pose", [moved((0.0, 0.08, 0.07)), moved(turn=(0.4, 0.4, 0)), moved((0.05, 0, 0), (0, 0, 3.1))]
)
def test_a_jump_is_refused(pose):
    with refused("jump_too_far", "go there in steps"):
        LIMITS.checked_pose("arm", pose, MEASURED)


def test_the_other_quaternion_of_the_same_orientation_is_no_jump():
    pose = MEASURED.copy()
    pose[3:] *= -1
    LIMITS.checked_pose("arm", pose, MEASURED)


def test_a_strong_wrench_is_refused():
    LIMITS.check_wrench("arm", np.array([30, 30, 0, 5, 5, 0.0]), MEASURED)
    for wrench in ([40, 40, 0, 0, 0, 0], [0, 0, 0, 0, 8, 8]):
        with refused("wrench_too_strong", "at most 50 N and 10 Nm"):
            LIMITS.check_wrench("arm", np.array(wrench, float), MEASURED)


def test_no_force_pushes_an_arm_further_out_of_the_box():
    for axis, (low, high) in enumerate(zip(LIMITS.box_low, LIMITS.box_high, strict=True)):
        for edge, outwards in ((low - 0.001, -1.0), (high + 0.001, 1.0)):
            measured, force = MEASURED.copy(), np.zeros(6)
            measured[axis], force[axis] = edge, outwards
            with refused("wrench_outwards", "no force may push it further out"):
                LIMITS.check_wrench("arm", force, measured)
            LIMITS.check_wrench("arm", -force, measured)
            LIMITS.check_wrench("arm", np.roll(force, 1) + np.roll(force, 3), measured)


def test_joints_beyond_their_limits_or_out_of_the_box_are_refused():
    LIMITS.check_joints("arm", np.array(PANDA.ready))
    with refused("joints_outside_limits"):
        LIMITS.check_joints("arm", np.array([0, 0, 0, 0.5, 0, 1.5, 0]))
    backwards = np.array(PANDA.ready)
    backwards[0] = 2.8
    with refused("pose_outside_box"):
        LIMITS.check_joints("arm", backwards)
    # The FR3's sixth joint ends earlier.
    with refused("joints_outside_limits"):
        GuardSettings(arm_model="fr3").check_joints("arm", np.array([0, 0, 0, -2, 0, 0.3, 0]))


def test_a_joint_motion_does_not_dip_below_the_box():
    def reach(x, y, z):
        return inverse_kinematics("panda", np.array([x, y, z, *DOWN]), PANDA.ready)

    LIMITS.check_joint_motion("arm", reach(0.5, 0.1, 0.02), np.array(PANDA.ready))
    low, high = reach(0.5, 0.0, -0.02), reach(0.5, 0.0, 0.1)
    LIMITS.check_joint_motion("arm", low, high)  # an arm below may rise
    with refused("joint_motion_too_low", "come down to -0.020 m, below the box, which begins at 0.01 m"):
        LIMITS.check_joint_motion("arm", high, low)
    # Both ends are in the box, what is between them is not.
    ends = np.array(
        [[0.37, 1.4, -0.72, -2.01, -1.19, 0.13, 0.01], [1.21, 0.36, -0.39, -2.49, 1.37, 2.62, -0.52]]
    )
    for end in ends:
        LIMITS.check_joints("arm", end)
    with refused("joint_motion_too_low"):
        LIMITS.check_joint_motion("arm", *ends)


def test_a_load_that_no_arm_carries_is_refused():
    LIMITS.check_load(3.0, np.array([0, 0, 0.1]))
    for mass, center in ((3.1, [0, 0, 0]), (-0.1, [0, 0, 0]), (1.0, [0, 0, 0.6])):
        with refused("load_out_of_range"):
            LIMITS.check_load(mass, np.array(center, float))
    with refused("load_out_of_range", "0 to 0.5 kg"):
        GuardSettings(max_load=0.5).check_load(0.6, NONE)


def test_compliance_is_changed_in_part_and_clamped_as_the_public_controller_does():
    before = Compliance(rotational_stiffness=100)
    after, clamped = LIMITS.changed_compliance(
        before,
        {
            "translational_stiffness": 7000,
            "rotational_clip_x": 0.5,
            "rotational_Ki": -1,
            "rotational_damping": 9,
        },
    )
    assert clamped == {"translational_stiffness": 6000, "rotational_clip_x": 0.1, "rotational_Ki": 0}
    assert (after.rotational_stiffness, after.rotational_damping) == (100, 9)
    assert after.translational_stiffness == 6000


def test_no_compliance_lets_an_arm_push_more_strongly_than_it_may():
    strict = GuardSettings(max_push=30.0)
    after, clamped = strict.changed_compliance(
        Compliance(), {"translational_clip_x": 0.1, "translational_clip_neg_z": 0.015}
    )
    assert clamped == {"translational_clip_x": pytest.approx(0.015)}
    stiffer, clamped = strict.changed_compliance(after, {"translational_stiffness": 6000})
    assert clamped == {name: pytest.approx(0.005) for name in CLIPS}
    assert max(getattr(stiffer, name) for name in CLIPS) * stiffer.translational_stiffness <= 30 + 1e-9
    softer, clamped = strict.changed_compliance(
        Compliance(), {"translational_stiffness": 0, "translational_clip_x": 0.1}
    )
    assert clamped == {} and softer.translational_clip_x == 0.1


def test_every_tasks_compliance_passes_as_it_is():
    for task in map(make_task, TASKS):
        for arm in task.arms.values():
            for wanted in (arm.compliance, arm.reset_compliance):
                taken, clamped = LIMITS.changed_compliance(Compliance(), dataclasses.asdict(wanted))
                assert taken == wanted and clamped == {}


def test_unknown_parameters_and_odd_values_are_refused():
    with refused("unknown_parameter", "no parameter 'stiffness'; known: translational_stiffness"):
        LIMITS.changed_compliance(Compliance(), {"stiffness": 1})
    for value in ("100", None, True, [1], 10**400):
        with pytest.raises(ActionError, match="rotational_Ki must be a number"):
            LIMITS.changed_compliance(Compliance(), {"rotational_Ki": value})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"box_low": (0.7, 0, 0)}, "must be below"),
        ({"deadman": 0}, "deadman"),
        ({"max_jump": float("nan")}, "max_jump"),
        ({"arm_model": "ur5"}, "arm_model"),
        ({"box_lo": (0, 0, 0)}, "box_low"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        GuardSettings(**settings)
