"""Tests of the guard and its deadman, over fakes whose time the test makes pass."""

import threading
import time

import numpy as np
import pytest

from hilserl_envs.errors import RobotError
from hilserl_envs.kinematics import PANDA
from hilserl_envs.robot import ArmCommand
from robot_servers.guard import Guard
from robot_servers.limits import Refusal
from robot_servers.parts import FakeArm, FakeGripper
from robot_servers.station import Station
from tests.test_servers_limits import refused

HOME = np.array([0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
READY = np.array(PANDA.ready)


class TurnedClock:
    """A clock that goes only when it is turned."""

    def __init__(self):
        self._now, self._turned = 0.0, threading.Condition()

    def now(self):
        return self._now

    def wait_until(self, instant):
        with self._turned:
            self._turned.wait_for(lambda: self._now >= instant, timeout=0.05)

    def turn(self, seconds):
        with self._turned:
            self._now += seconds
            self._turned.notify_all()


class LazyArm(FakeArm):
    """An arm that stays where it is, whatever it is told."""

    def command(self, pose=None, wrench=None):
        with self._lock:
            self.commands.append((pose, wrench))


class SlowArm(FakeArm):
    """An arm whose slow calls last until they are let go."""

    def __init__(self):
        super().__init__()
        self.entered, self.let_go = threading.Event(), threading.Event()

    def reset_joints(self, q):
        self.entered.set()
        assert self.let_go.wait(5)
        super().reset_joints(q)
        self.trouble = None  # the controller runs again


def make_guard(arm=FakeArm, names=("arm",), gripper=True):
    clock = TurnedClock()
    station = Station(
        {name: arm() for name in names}, {name: FakeGripper() for name in names if gripper}, clock=clock
    )
    return Guard(station), clock


@pytest.fixture
def guard():
    guard, _ = make_guard()
    yield guard
    guard.close()


def at(x=0.5, y=0.0, z=0.3):
    return ArmCommand(pose=np.array([x, y, z, *HOME[3:]]))


def soon(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def never(condition):
    time.sleep(0.1)
    assert not condition()


def test_a_safe_command_is_sent_and_told(guard):
    guard.command({"arm": ArmCommand(pose=at(z=0.32).pose, gripper=0.0)})
    arm = guard.station.parts["arm"]
    np.testing.assert_allclose(arm.commands[-1][0], at(z=0.32).pose)
    assert guard.station.grippers["arm"].moves == [(0.0, 1.0)]
    state = guard.state()
    assert state["targets"]["arm"] == pytest.approx(at(z=0.32).pose.tolist())
    assert (state["errors"], state["emergency_stop"], state["held_by_deadman"]) == ({}, False, False)


def test_one_bad_command_keeps_the_good_ones_back():
    guard, _ = make_guard(names=("left", "right"))
    with refused("pose_outside_box", "arm 'right'"):
        guard.command({"left": at(z=0.31), "right": at(z=-0.1)})
    assert not guard.station.parts["left"].commands
    guard.close()


def test_an_arm_in_error_is_not_commanded(guard):
    guard.station.parts["arm"].trouble = "reflex"
    with refused("arm_error", "reflex; start or recover it"):
        guard.command({"arm": at(z=0.31)})
    guard.command({"arm": ArmCommand(gripper=1.0)})  # its gripper is not
    guard.recover()
    guard.command({"arm": at(z=0.31)})


def test_a_stopped_controller_stays_so_until_it_is_started(guard):
    guard.stop()
    guard.clear_errors()  # as public clients do before every pose
    with refused("arm_error", "stopped"):
        guard.command({"arm": at(z=0.31)})
    guard.start()
    guard.command({"arm": at(z=0.31)})


def test_clearing_errors_disturbs_no_arm_that_has_none(guard):
    guard.clear_errors()
    assert "recover" not in guard.station.parts["arm"].calls
    guard.station.parts["arm"].trouble = "reflex"
    guard.clear_errors()
    assert guard.station.parts["arm"].calls[-1] == "recover"


def test_the_emergency_stop_latches(guard):
    guard.emergency_stop("the person pressed it")
    assert guard.state()["emergency_stop"] == "the person pressed it"
    assert guard.station.parts["arm"].calls == ["stop"]
    for motion in (
        lambda: guard.command({"arm": at(z=0.31)}),
        lambda: guard.command({"arm": ArmCommand(gripper=1.0)}),
        lambda: guard.grippers.move("arm", 1.0),
        lambda: guard.grippers.activate("arm"),
        lambda: guard.grippers.reset("arm"),
        lambda: guard.load("arm", 1.0, np.zeros(3), np.zeros((3, 3))),
        guard.start,
        guard.recover,
        guard.clear_errors,
    ):
        with refused("emergency_stop", "the person pressed it.*clear it first") as _:
            motion()
    with pytest.raises(Refusal):
        guard.reset_joints({"arm": READY})
    assert not guard.station.parts["arm"].commands and not guard.station.grippers["arm"].moves
    guard.clear_emergency_stop()
    assert guard.station.parts["arm"].calls == ["stop", "recover"]
    guard.command({"arm": at(z=0.31)})


def test_an_emergency_stop_that_an_arm_does_not_hear_is_on_all_the_same(guard):
    def deaf():
        raise RobotError("no answer")

    guard.station.parts["arm"].stop = deaf
    with pytest.raises(RobotError, match="not stopped: arm: no answer"):
        guard.emergency_stop("x")
    with refused("emergency_stop"):
        guard.command({"arm": at(z=0.31)})


def test_it_stays_on_when_the_arm_does_not_recover(guard):
    guard.emergency_stop("x")

    def broken():
        raise RobotError("the user stop is pressed")

    guard.station.parts["arm"].recover = broken
    with pytest.raises(RobotError, match="user stop"):
        guard.clear_emergency_stop()
    assert guard.emergency == "x"


def test_the_emergency_stop_comes_through_a_joint_reset_and_wins():
    guard, _ = make_guard(SlowArm)
    arm = guard.station.parts["arm"]
    resetting = threading.Thread(target=guard.reset_joints, args=({"arm": READY},))
    resetting.start()
    assert arm.entered.wait(5)
    with refused("busy", "joints are being reset"):
        guard.command({"arm": at(z=0.31)})
    with refused("busy"):
        guard.start()
    guard.emergency_stop("x")
    with refused("busy"):
        guard.clear_emergency_stop()
    arm.let_go.set()
    resetting.join(5)
    assert arm.error() == "stopped" and arm.calls[-1] == "stop"
    guard.close()


def test_a_plain_stop_wins_over_a_joint_reset_too():
    guard, _ = make_guard(SlowArm)
    arm = guard.station.parts["arm"]
    resetting = threading.Thread(target=guard.reset_joints, args=({"arm": READY},))
    resetting.start()
    assert arm.entered.wait(5)
    guard.stop()
    arm.let_go.set()
    resetting.join(5)
    assert arm.error() == "stopped"
    guard.close()


def test_a_gripper_that_is_not_there():
    guard, _ = make_guard(gripper=False)
    with refused("no_gripper", "arm 'arm' has no gripper configured"):
        guard.grippers.move("arm", 1.0)
    guard.command({"arm": ArmCommand(gripper=1.0)})  # as everywhere, it has nothing to drive
    guard.close()


def test_compliance_is_that_of_the_last_changes(guard):
    arm = guard.station.parts["arm"]
    assert guard.configure({"arm": {"rotational_stiffness": 250}}) == {}
    clamped = guard.configure({"arm": {"translational_clip_x": 0.5}})
    assert clamped == {"arm": {"translational_clip_x": 0.1}}
    assert (arm.compliance.rotational_stiffness, arm.compliance.translational_clip_x) == (250, 0.1)
    with refused("unknown_parameter"):
        guard.configure({"arm": {"rotational_stiffness": 1, "nonsense": 2}})
    assert arm.compliance.rotational_stiffness == 250


class OneAtATime(FakeArm):
    """An arm whose controllers take one kind of motion each."""

    takes = ("pose",)


PUSH = {"arm": ArmCommand(wrench=np.array([5.0, 0, 0, 0, 0, 0]))}


def test_a_motion_that_the_controller_does_not_take_is_refused_until_it_is_exchanged():
    guard, _ = make_guard(OneAtATime)
    arm = guard.station.parts["arm"]
    with refused("other_controller", "takes no wrench now; POST /drive_by, or startwrench"):
        guard.command(PUSH)
    guard.drive_by({"arm": "pose"})
    assert arm.calls == []  # nothing to exchange
    guard.drive_by({"arm": "wrench"})
    assert arm.calls == ["start wrench"]
    guard.command(PUSH)
    with refused("other_controller", "takes no pose now; .* startimp"):
        guard.command({"arm": at(z=0.31)})
    assert [given for given, _ in arm.commands] == [None]
    guard.close()


def test_controllers_are_not_exchanged_for_an_arm_that_was_stopped():
    guard, _ = make_guard(OneAtATime)
    guard.stop()
    with refused("arm_error", "stopped"):
        guard.drive_by({"arm": "wrench"})
    guard.emergency_stop("x")
    guard.station.parts["arm"].trouble = None
    with refused("emergency_stop"):
        guard.drive_by({"arm": "wrench"})
    assert "start wrench" not in guard.station.parts["arm"].calls
    guard.close()


def test_a_wrench_is_renewed_if_nothing_came_in_between(guard):
    arm = guard.station.parts["arm"]
    number = guard.command(PUSH)
    guard.renew_wrenches(number, PUSH)
    assert [wrench[0] for _, wrench in arm.commands] == [5, 5]
    guard.renew_wrenches(number, PUSH)  # the renewal was a command itself
    assert len(arm.commands) == 2


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda guard: guard.command({"arm": ArmCommand(wrench=np.zeros(6))}),
        lambda guard: guard.command({"arm": at(z=0.31)}),
        lambda guard: guard.stop(),
        lambda guard: (guard.stop(), guard.start()),
        lambda guard: guard.recover(),
        lambda guard: (guard.emergency_stop("x"), guard.clear_emergency_stop()),
        lambda guard: guard.reset_joints({"arm": READY}),
        lambda guard: setattr(guard.station.parts["arm"], "trouble", "reflex"),
    ],
)
def test_a_wrench_is_not_renewed_after_anything_else(guard, meanwhile):
    arm = guard.station.parts["arm"]
    number = guard.command(PUSH)
    meanwhile(guard)
    before = len(arm.commands)
    guard.renew_wrenches(number, PUSH)
    assert len(arm.commands) == before


def test_the_deadman_holds_an_arm_that_is_not_there_yet():
    guard, clock = make_guard(LazyArm)
    arm = guard.station.parts["arm"]
    guard.command({"arm": at(z=0.35)})
    clock.turn(0.49)
    never(lambda: len(arm.commands) > 1)
    clock.turn(0.02)
    soon(lambda: guard.state()["held_by_deadman"])
    np.testing.assert_array_equal(arm.commands[-1][0], HOME)
    assert guard.state()["targets"]["arm"] == HOME.tolist()
    clock.turn(5)
    never(lambda: len(arm.commands) > 2)  # once is enough
    guard.command({"arm": at(z=0.35)})
    assert not guard.state()["held_by_deadman"]
    guard.close()


def test_the_deadman_leaves_alone_who_is_commanded_or_has_arrived():
    guard, clock = make_guard(LazyArm)
    arm = guard.station.parts["arm"]
    for _ in range(10):
        guard.command({"arm": at(z=0.35)})
        clock.turn(0.3)
    never(lambda: len(arm.commands) > 10)
    guard.command({"arm": at(z=0.301)})
    clock.turn(2)
    never(lambda: guard.state()["held_by_deadman"] or len(arm.commands) > 11)
    guard.close()


def test_the_deadman_counts_for_each_arm():
    guard, clock = make_guard(LazyArm, ("left", "right"))
    guard.command({"left": at(z=0.35), "right": at(z=0.35)})
    for _ in range(3):
        clock.turn(0.3)
        guard.command({"right": at(z=0.35)})
    soon(lambda: len(guard.station.parts["left"].commands) == 2)
    assert len(guard.station.parts["right"].commands) == 4
    assert guard.state()["targets"]["left"] == HOME.tolist()
    guard.close()


def test_the_deadman_starts_no_arm_that_was_stopped():
    guard, clock = make_guard(LazyArm)
    arm = guard.station.parts["arm"]
    guard.command({"arm": at(z=0.35)})
    guard.emergency_stop("x")
    clock.turn(2)
    never(lambda: len(arm.commands) > 1)
    guard.clear_emergency_stop()
    assert guard.state()["targets"] == {"arm": None}
    clock.turn(2)
    never(lambda: len(arm.commands) > 1)
    guard.close()


def test_the_deadman_survives_an_arm_that_does_not_answer(caplog):
    guard, clock = make_guard(LazyArm)
    arm = guard.station.parts["arm"]
    guard.command({"arm": at(z=0.35)})
    read = arm.read

    def silent():
        raise RobotError("no state for 0.2 s")

    arm.read = silent
    clock.turn(1)
    soon(lambda: "no state for 0.2 s" in caplog.text)
    arm.read = read
    guard.command({"arm": at(z=0.35)})
    clock.turn(1)
    soon(lambda: guard.state()["held_by_deadman"])
    guard.close()


def test_closing_twice_closes_the_station_and_its_thread(guard):
    guard.close()
    guard.close()
    assert "close" in guard.station.parts["arm"].calls
    assert not [thread for thread in threading.enumerate() if thread.name == "deadman"]
