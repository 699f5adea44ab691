"""A person's action replaces the policy's, in any stack, and comes out as it was executed."""

import doctest
import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, TimeAwareObservation

import hilserl_envs
from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.poses import rotate, saturate
from hilserl_envs.robot import ArmState, RobotState
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import (
    ActionSubspace,
    FixedGripper,
    FlattenProprioception,
    Intervention,
    RelativeFrame,
    RotationRepresentation,
    intervention,
)
from tests.generic_env import GenericEnv, TwoArms


def drive(rng: np.random.Generator, arms=("arm",), grippers=("close", "stay", "open")) -> TeleopCommand:
    """Somebody who moves every arm any way they like, to the corners of what a device says."""
    motions = {
        arm: ArmMotion(np.clip(rng.uniform(-2, 2, 6), -1, 1), str(rng.choice(grippers))) for arm in arms
    }
    return TeleopCommand(motions, acting=True)


def names(arms: int) -> tuple[str, ...]:
    return ("arm",) if arms == 1 else ("left", "right")


STACKS = [
    stack
    for length in range(5)
    for stack in itertools.permutations(
        [
            FixedGripper,
            RelativeFrame,
            lambda env: ActionSubspace(env, ["x", "z", "ry"]),
            RotationRepresentation,
        ],
        length,
    )
]


def wrapped(base: gymnasium.Env, stack, device, place: int) -> gymnasium.Env | None:
    """The stack with Intervention behind `place` wrappers, or None where it cannot be built."""
    env = base
    for number, wrapper in enumerate((*stack[:place], None, *stack[place:])):
        try:
            env = Intervention(env, device) if wrapper is None else wrapper(env)
        except ConfigError as error:
            assert number > 0 and ("inside of" in str(error) or "tcp_pose" in str(error))
            return None
    return env


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("number", range(len(STACKS)))
def test_a_correction_replayed_through_the_same_stack_reaches_the_arm_the_same(arms, number):
    """Wherever the wrapper stands; what the policy wanted reaches nobody."""
    stack, rng = STACKS[number], np.random.default_rng(number)
    for place in range(len(stack) + 1):
        device = FakeDevice()
        corrected, replayed = GenericEnv(arms), GenericEnv(arms)
        env, again = wrapped(corrected, stack, device, place), wrapped(replayed, stack, FakeDevice(), place)
        if env is None:
            continue
        env.reset(seed=3)
        again.reset(seed=3)
        for _ in range(5):
            device.commands = [drive(rng, names(arms))]
            *_, info = env.step(rng.uniform(-1, 1, env.action_space.shape))
            assert info["intervened"] and env.action_space.contains(info["intervene_action"])
            again.step(info["intervene_action"])
            np.testing.assert_allclose(replayed.actions[-1], corrected.actions[-1], atol=1e-6)


@pytest.mark.parametrize("wrapper", [FixedGripper, lambda env: ActionSubspace(env, ["x"])])
def test_what_leaves_out_part_of_an_action_goes_inside(wrapper):
    with pytest.raises(ConfigError, match="put it inside of Intervention"):
        wrapper(Intervention(GenericEnv(), FakeDevice()))


@pytest.mark.parametrize("arms", [1, 2])
def test_the_arm_does_what_the_person_asked_for(arms):
    rng, device = np.random.default_rng(0), FakeDevice()
    base = GenericEnv(arms)
    env = Intervention(RelativeFrame(base), device)
    env.reset(seed=0)
    for _ in range(20):
        command = drive(rng, names(arms))
        device.commands = [command]
        *_, info = env.step(env.action_space.sample())
        executed = base.actions[-1]
        assert env.action_space.contains(info["intervene_action"])
        for arm, name in zip(base.action_layout, names(arms), strict=True):
            asked = command.arms[name]
            for half, got in zip(np.split(asked.motion, 2), np.split(executed[arm.motion], 2), strict=True):
                np.testing.assert_allclose(got, saturate(half, 1.0), atol=1e-6)
            assert executed[arm.stop - 1] == {"close": -1, "stay": 0, "open": 1}[asked.gripper]


def test_an_arm_that_nobody_drives_keeps_still():
    base = GenericEnv(2)
    env = Intervention(base, FakeDevice([TeleopCommand({"right": ArmMotion(np.eye(6)[0])}, acting=True)]))
    env.reset(seed=0)
    env.step(np.ones(14))
    np.testing.assert_array_equal(base.actions[-1], np.eye(14)[7])


def test_without_a_person_the_policy_acts():
    base = GenericEnv()
    env = Intervention(base, FakeDevice())
    env.reset(seed=0)
    action = np.linspace(-1, 1, 7)
    *_, info = env.step(action)
    np.testing.assert_array_equal(base.actions[-1], action)
    assert not info["intervened"] and "intervene_action" not in info


def test_after_a_motion_the_arm_waits_before_the_policy_goes_on():
    device = FakeDevice([TeleopCommand({"arm": ArmMotion(np.eye(6)[2])}, acting=True)])
    base = GenericEnv()
    env = Intervention(base, device, release_delay=0.3)
    env.reset(seed=0)
    taken = [env.step(np.ones(7))[4]["intervened"] for _ in range(6)]
    assert taken == [True, True, True, True, False, False]
    assert not np.any(base.actions[1:4]) and np.all(base.actions[4] == 1)


def test_the_heading_turns_the_person_and_not_the_arm():
    base = GenericEnv()
    env = Intervention(
        base, FakeDevice([TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, True)]), heading=np.pi
    )
    env.reset(seed=0)
    env.step(np.zeros(7))
    np.testing.assert_allclose(base.actions[-1], [-1, 0, 0, 0, 0, 0, 0], atol=1e-7)


def test_a_device_in_the_base_frame_has_no_heading():
    base, device = GenericEnv(), FakeDevice([TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, True)])
    device.in_base_frame = True
    env = Intervention(base, device, heading=1.0)
    env.reset(seed=0)
    env.step(np.zeros(7))
    np.testing.assert_allclose(base.actions[-1], np.eye(7)[0], atol=1e-7)


def test_motions_along_the_tools_axes():
    base = GenericEnv()
    pose = np.array([0.5, 0.0, 0.3, *(np.array([1.0, 2.0, 3.0, 4.0]) / np.sqrt(30))])
    rest = {name: np.zeros(3) for name in ("tcp_force", "tcp_torque", "q", "dq", "jacobian", "tcp_vel")}
    base.robot_state = RobotState(0.0, {"arm": ArmState(tcp_pose=pose, gripper_pose=1.0, **rest)})
    motion = np.array([0.3, 0.2, -0.5, 0.1, 0.4, 0.6])
    env = Intervention(base, FakeDevice([TeleopCommand({"arm": ArmMotion(motion)}, True)]), frame="tcp")
    env.reset(seed=0)
    env.step(np.zeros(7))
    expected = [*rotate(pose[3:], motion[:3]), *rotate(pose[3:], motion[3:])]
    np.testing.assert_allclose(base.actions[-1][:6], expected, atol=1e-6)


def test_every_episode_begins_for_the_device_too_and_repeats_with_its_seed():
    device = FakeDevice()
    env = Intervention(GenericEnv(), device)
    for seed in (5, None, None, 5, None, None):
        env.reset(seed=seed)
    assert device.seeds[:3] == device.seeds[3:] and len(set(device.seeds)) == 3


def test_wrong_settings_are_refused():
    for arguments in ({"frame": "camera"}, {"mode": "push"}, {"release_delay": -1}, {"heading": "north"}):
        with pytest.raises(ConfigError):
            Intervention(GenericEnv(), FakeDevice(), **arguments)
    with pytest.raises(ConfigError, match="action_layout"):
        Intervention(gymnasium.make("CartPole-v1"), FakeDevice())
    with pytest.raises(ConfigError, match="did you mean 'keyboard'"):
        Intervention(GenericEnv(), "keybord")


def test_a_wrong_action_reaches_no_arm_even_while_the_person_acts():
    base = GenericEnv()
    env = Intervention(base, FakeDevice([drive(np.random.default_rng(0))]))
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(np.full(7, np.nan))
    assert base.actions == []


def test_a_device_made_by_name_is_closed_and_another_is_not(monkeypatch):
    given = FakeDevice()
    Intervention(GenericEnv(), given).close()
    assert not given.closed
    monkeypatch.setattr(intervention, "make_device", lambda name, env: given)
    Intervention(GenericEnv(), "fake").close()
    assert given.closed


@pytest.mark.parametrize("frame", ["relative", "base"])
@pytest.mark.parametrize("gripper", [None, "closed"])
@pytest.mark.parametrize("rotation", ["rotvec", None])
@pytest.mark.parametrize("axes", [None, ("x", "y", "z"), ("z", "rz", "rx")])
def test_corrections_replayed_in_the_twin_move_the_arm_the_same(frame, gripper, rotation, axes):
    rng, device = np.random.default_rng(1), FakeDevice()
    stack = {"frame": frame, "gripper": gripper, "rotation": rotation, "axes": axes, "obs": "state"}
    env = hilserl_envs.make_env("PickCube", device=device, **stack)
    again = hilserl_envs.make_env("PickCube", **stack)
    first, _ = env.reset(seed=4)
    second, _ = again.reset(seed=4)
    for _ in range(4):
        device.commands = [drive(rng)]
        first, *_, info = env.step(env.action_space.sample())
        second, *_ = again.step(info["intervene_action"])
        np.testing.assert_allclose(first["state"], second["state"], atol=1e-6)
    poses = [e.unwrapped.robot_state.arms["arm"].tcp_pose for e in (env, again)]
    np.testing.assert_allclose(*poses, atol=1e-6)
    env.close()
    again.close()


TOGGLE = TeleopCommand({"arm": ArmMotion(gripper="toggle")}, acting=True)


def test_the_gripper_button_knows_what_the_policy_did():
    base, device = GenericEnv(), FakeDevice()
    env = Intervention(base, device, release_delay=0)
    env.reset(seed=0)
    close = np.array([0, 0, 0, 0, 0, 0, -1.0])
    env.step(close)
    executed = []
    for _ in range(3):
        device.commands = [TOGGLE]
        env.step(np.zeros(7))
        executed.append(base.actions[-1][6])
        env.step(np.zeros(7))
    assert executed == [1, -1, 1]


def test_the_gripper_button_knows_how_the_gripper_was_found():
    env = hilserl_envs.make_env("PickCube", obs="state", frame="base", device=FakeDevice([TOGGLE]))
    env.reset(seed=0)
    assert env.step(np.zeros(7))[4]["intervene_action"][6] == -1  # the task starts with open fingers
    env.close()


def test_a_command_that_was_read_elsewhere_is_carried_out():
    base = GenericEnv()
    env = Intervention(base, FakeDevice())
    env.reset(seed=0)
    env.give(TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, acting=True))
    env.step(np.zeros(7))
    env.step(np.zeros(7))
    np.testing.assert_array_equal([action[0] for action in base.actions], [1, 0])


def test_what_was_tapped_while_nobody_looked_moves_and_judges_nothing(monkeypatch):
    tapped = TeleopCommand(
        {"arm": ArmMotion(np.eye(6)[0], "toggle")}, True, pressed=frozenset({"success", "discard", "gripper"})
    )
    clock = [100.0]
    monkeypatch.setattr(intervention.time, "monotonic", lambda: clock[0])
    base, device = GenericEnv(), FakeDevice()
    device.real_time = True
    env = Intervention(base, device, release_delay=0)
    env.reset(seed=0)
    device.commands = [tapped]
    assert env.step(np.zeros(7))[4]["teleop"].pressed == {"discard"}  # of the reset
    device.commands = [tapped]
    assert env.step(np.zeros(7))[4]["teleop"] == tapped
    clock[0] += 60
    device.commands = [tapped]
    assert env.step(np.zeros(7))[4]["teleop"].pressed == {"discard"}  # of a stall
    np.testing.assert_array_equal([action[0] for action in base.actions], [0, 1, 0])


def test_nobody_acts_while_it_is_held_still():
    base = GenericEnv()
    env = Intervention(base, FakeDevice([TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, True)] * 2))
    env.reset(seed=0)
    env.held_still = True
    assert not env.step(np.zeros(7))[4]["intervened"] and not base.actions[-1].any()


def test_two_arms_that_face_each_other_follow_one_person_the_same_way():
    """Away from the person is one direction, whatever each base's own axes are."""
    push = TeleopCommand(dict.fromkeys(("left", "right"), ArmMotion(np.eye(6)[0])), acting=True)
    inner = FrankaEnv(TwoArms(), obs="state")
    env = Intervention(inner, FakeDevice([push] * 5))
    env.reset(seed=0)
    scene = inner.robot.scene
    before = [scene.pose(f"{arm}/tcp")[:3] for arm in names(2)]
    for _ in range(5):
        env.step(np.zeros(13))
    moved = [scene.pose(f"{arm}/tcp")[:3] - start for arm, start in zip(names(2), before, strict=True)]
    assert all(shift[0] > 0.01 and abs(shift[1]) < 0.003 for shift in moved)
    env.close()


@pytest.mark.parametrize("relative", [True, False])
def test_corrections_replayed_in_a_twin_of_two_arms_move_both_the_same(relative):
    rng, device, states = np.random.default_rng(2), FakeDevice(), []
    inner, plain = FrankaEnv(TwoArms(), obs="state"), FrankaEnv(TwoArms(), obs="state")
    env = Intervention(RelativeFrame(inner) if relative else inner, device)
    again = RelativeFrame(plain) if relative else plain
    for each in (env, again):
        each.reset(seed=1)
    for _ in range(5):
        device.commands = [drive(rng, names(2))]
        *_, info = env.step(env.action_space.sample())
        again.step(info["intervene_action"])
        states.append([each.unwrapped.robot_state.arms for each in (env, again)])
    for corrected, replayed in states:
        for arm in names(2):
            np.testing.assert_allclose(corrected[arm].tcp_pose, replayed[arm].tcp_pose, atol=1e-6)
    start, end = states[0][0], states[-1][0]
    assert all(np.linalg.norm(end[arm].tcp_pose[:3] - start[arm].tcp_pose[:3]) > 1e-3 for arm in names(2))
    env.close()
    again.close()


def test_gymnasiums_time_and_frame_stacking_go_around_it():
    env = hilserl_envs.make_env("PickCube", device="expert", obs="state")
    env = FrameStackObservation(TimeAwareObservation(env), 3)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    observation, *_, info = env.step(np.zeros(7))
    assert env.observation_space.contains(observation) and info["intervene_action"].shape == (7,)
    env.close()


def test_the_state_stays_where_it_was_put():
    """Around a flattened state, too."""
    env = Intervention(FlattenProprioception(RelativeFrame(GenericEnv())), FakeDevice())
    observation, _ = env.reset(seed=0)
    assert observation["state"].ndim == 1


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(intervention).failed == 0
