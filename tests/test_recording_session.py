"""A session goes at the person's pace: waits for them, halts, discards, stops."""

import gymnasium
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.recording import session
from hilserl_envs.recording.session import Outcome, Session
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import Intervention, LiveView
from tests.generic_env import GenericEnv

STILL, GONE = TeleopCommand(), TeleopCommand(connected=False)
LOOKED = STILL  # what was tapped during a reset is looked at and forgotten
MOVING = TeleopCommand({"arm": ArmMotion(np.eye(6)[0])}, acting=True)


def press(role: str) -> TeleopCommand:
    return TeleopCommand(pressed=frozenset({role}))


class Ending(gymnasium.Wrapper):
    """Terminates at a step, in success or not."""

    def __init__(self, env, at, success=True):
        super().__init__(env)
        self.at, self.success, self.steps = at, success, 0

    def step(self, action):
        self.steps += 1
        observation, reward, _, truncated, info = self.env.step(action)
        over = self.steps == self.at
        return observation, reward, over, truncated, info | {"is_success": over and self.success}


def make(commands, env=None, real_time=False):
    device = FakeDevice(commands)
    device.real_time = real_time
    told = []
    wrapped = Intervention(env or Ending(GenericEnv(), 3), device)
    return Session(wrapped, lambda line, halted: told.append((line, halted))), wrapped, told


def test_the_persons_actions_are_executed_and_else_nothing_moves():
    run, env, told = make([MOVING, STILL, MOVING])
    assert run.run_episode(0) == Outcome.SUCCESS
    np.testing.assert_allclose([action[0] for action in env.unwrapped.actions], [1, 0, 1])
    assert told == []


@pytest.mark.parametrize(
    ("env", "outcome"),
    [
        (Ending(GenericEnv(), 2, success=False), Outcome.FAILURE),
        (gymnasium.wrappers.TimeLimit(GenericEnv(), 2), Outcome.TIME_LIMIT),
    ],
)
def test_how_episodes_end(env, outcome):
    assert make([], env)[0].run_episode(0) == outcome


def test_an_episode_can_be_discarded_and_stopped():
    assert make([STILL, press("discard")])[0].run_episode(0) == Outcome.DISCARDED
    run, env, _ = make([])
    assert run.run_episode(0, enough=lambda: len(env.unwrapped.actions) == 2) == Outcome.STOPPED


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(session, "POLL", 0.001)


@pytest.mark.parametrize("beginning", [MOVING, press("takeover")])
def test_with_a_persons_device_the_first_motion_begins(quick, beginning):
    run, env, told = make([LOOKED, STILL, STILL, beginning, MOVING, STILL, STILL], real_time=True)
    run.run_episode(0)
    assert told == [("Move to begin", True)] * 3 + [("", False)]
    begun = [1, 1, 0] if beginning.acting else [0, 1, 0]
    assert [action[0] for action in env.unwrapped.actions] == begun


def test_who_takes_over_to_begin_has_control(quick):
    """With `toggle` the press that begins the episode is the one that takes control."""
    device = FakeDevice([STILL, press("takeover"), MOVING, MOVING])
    device.real_time = True
    env = Intervention(Ending(GenericEnv(), 3), device, mode="toggle")
    Session(env, lambda line, halted: None).run_episode(0)
    assert [action[0] for action in env.unwrapped.actions] == [0, 1, 1]


def test_before_the_first_step_discard_is_about_the_episode_before(quick):
    run, env, _ = make([STILL, press("discard")], real_time=True)
    assert run.run_episode(0) == Outcome.PREVIOUS_DISCARDED and env.unwrapped.actions == []


def test_pause_halts_until_the_next_press(quick):
    run, env, told = make([MOVING, press("pause"), MOVING, MOVING, press("pause"), STILL])
    assert run.run_episode(0) == Outcome.SUCCESS
    assert [action[0] for action in env.unwrapped.actions] == [1, 0, 0]
    assert [halted for _, halted in told] == [True] * 3 + [False] and "Paused" in told[0][0]


def test_a_device_that_is_gone_halts_until_it_is_back(quick):
    run, env, told = make([MOVING, GONE, GONE, GONE, STILL, STILL])
    assert run.run_episode(0) == Outcome.SUCCESS
    assert len(env.unwrapped.actions) == 3 and "gone" in told[0][0]


def test_what_there_is_to_say_is_printed_once_and_shown_all_the_while(quick, capsys):
    device = FakeDevice([LOOKED, STILL, STILL, MOVING])
    device.real_time = True
    shown = []

    class View:
        kind = "test"

        def show(self, images, status):
            shown.append((status.message, status.paused))

        def close(self):
            pass

    env = LiveView(Intervention(Ending(GenericEnv(), 1), device), View())
    Session(env).run_episode(0)
    assert capsys.readouterr().err == "Move to begin\n"
    assert shown.count(("Move to begin", True)) == 3 and shown[-1] == ("", False)


def test_a_session_needs_a_person():
    with pytest.raises(ConfigError, match="with a device"):
        Session(GenericEnv())


class Recalling:
    """A policy that says what it is told, and notes how it was asked."""

    def __init__(self, *values):
        self.values, self.seeds, self.seen = list(values), [], []

    def start(self, seed):
        self.seeds.append(seed)

    def __call__(self, observation):
        self.seen.append(observation)
        return np.full(7, self.values.pop(0) if self.values else 0.0, np.float32)


def with_policy(commands, policy, env=None, real_time=False):
    _, wrapped, told = make(commands, env, real_time)
    return Session(wrapped, lambda line, halted: told.append((line, halted)), policy), wrapped, told


def test_a_policy_acts_while_no_person_does():
    policy = Recalling(0.1, 0.2, 0.3)
    run, env, _ = with_policy([STILL, STILL, MOVING], policy)
    assert run.run_episode(7) == Outcome.SUCCESS and run.steps == 3
    np.testing.assert_allclose([action[0] for action in env.unwrapped.actions], [0.1, 0.2, 1])
    assert policy.seeds == [7] and len(policy.seen) == 3


def test_a_policy_is_given_the_newest_observation():
    policy = Recalling()
    env = Intervention(Ending(GenericEnv(), 2), FakeDevice())
    Session(env, policy=policy).run_episode(3)
    first, _ = GenericEnv().reset(seed=3)
    np.testing.assert_array_equal(policy.seen[0]["state"]["tcp_pose"], first["state"]["tcp_pose"])
    assert not np.array_equal(policy.seen[1]["state"]["tcp_pose"], first["state"]["tcp_pose"])


def test_a_policy_may_act_with_nobody_there():
    env = Ending(GenericEnv(), 2, success=False)
    assert Session(env, policy=Recalling(0.5, 0.5)).run_episode(0) == Outcome.FAILURE
    assert [action[0] for action in env.unwrapped.actions] == [0.5, 0.5]
    limited = gymnasium.wrappers.TimeLimit(GenericEnv(), 2)
    assert Session(limited, policy=Recalling()).run_episode(0) == Outcome.TIME_LIMIT
    assert Session(limited, policy=Recalling()).run_episode(0, lambda: True) == Outcome.STOPPED


def test_with_a_policy_nobody_waits_for_the_persons_first_motion(quick):
    run, env, told = with_policy([LOOKED, STILL, STILL], Recalling(0.1, 0.1, 0.1), real_time=True)
    assert run.run_episode(0) == Outcome.SUCCESS
    assert told == [] and len(env.unwrapped.actions) == 3


def test_with_a_policy_too_somebody_may_have_to_put_things_back(quick):
    """The arm is out of the way by then, and the policy sees what they did."""
    device = FakeDevice([LOOKED, STILL, STILL, MOVING])
    device.real_time = True
    env, happened = Intervention(Ending(GenericEnv(), 2), device), []
    for one, name in ((env.unwrapped, "arm"), (env, "episode")):
        reset = one.reset
        one.reset = lambda reset=reset, name=name, **said: (happened.append(name), reset(**said))[1]
    run = Session(env, lambda line, halted: happened.append(line), Recalling(0.1, 0.1), waits=True)
    assert run.run_episode(0) == Outcome.SUCCESS
    assert happened == ["arm", *["Move to begin"] * 3, "", "episode", "arm"]
    np.testing.assert_allclose([action[0] for action in env.unwrapped.actions], [0.1, 0.1])


def test_a_pause_asked_for_during_a_reset_halts_before_the_first_step(quick):
    run, env, told = with_policy(
        [press("pause"), STILL, STILL, press("pause"), STILL, STILL], Recalling(0.1, 0.1, 0.1), real_time=True
    )
    actions = []
    run._tell = lambda line, halted: actions.append(len(env.unwrapped.actions))
    assert run.run_episode(0) == Outcome.SUCCESS
    assert set(actions) == {0} and len(env.unwrapped.actions) == 3


def test_who_takes_over_before_the_first_step_of_a_policy_has_control(quick):
    device = FakeDevice([LOOKED, press("takeover"), MOVING, MOVING])
    device.real_time = True
    env = Intervention(Ending(GenericEnv(), 3), device, mode="toggle")
    Session(env, lambda line, halted: None, Recalling(0.1, 0.1, 0.1)).run_episode(0)
    assert [action[0] for action in env.unwrapped.actions] == [0, 1, 1]


def test_a_discard_during_a_reset_is_about_the_episode_before(quick):
    run, env, _ = with_policy([press("discard"), STILL], Recalling(), real_time=True)
    assert run.run_episode(0) == Outcome.PREVIOUS_DISCARDED and env.unwrapped.actions == []


def test_who_watches_a_policy_can_pause_and_discard(quick):
    run, env, told = with_policy(
        [STILL, press("pause"), STILL, press("pause"), press("discard")], Recalling()
    )
    assert run.run_episode(0) == Outcome.DISCARDED and len(env.unwrapped.actions) == 3
    assert [halted for _, halted in told] == [True, True, False] and run.steps == 3


def test_a_halted_session_can_be_stopped(quick):
    """Nobody has to come back for that."""
    run, env, told = make([MOVING, press("pause"), STILL, STILL, STILL])
    assert run.run_episode(0, enough=lambda: len(told) == 2) == Outcome.STOPPED
    assert run.steps == 2 and told[-1] == ("", False)
    run, env, told = make([LOOKED, STILL, STILL], real_time=True)
    assert run.run_episode(0, enough=lambda: len(told) == 2) == Outcome.STOPPED
    assert run.steps == 0 and env.unwrapped.actions == []


def test_steps_are_those_of_the_episode():
    run, env, _ = make([], gymnasium.wrappers.TimeLimit(GenericEnv(), 4))
    for _ in range(2):
        run.run_episode(0)
        assert run.steps == 4
