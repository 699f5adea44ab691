import doctest
import time

import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.teleop import FakeDevice
from hilserl_envs.wrappers import RealTime, real_time
from tests.generic_env import GenericEnv


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where somebody sleeps; `clock.sleep(s)` for work of the caller's."""

    class Clock:
        now = 100.0

        def sleep(self, seconds):
            assert seconds >= 0
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


def test_steps_come_at_the_control_rate_whatever_the_caller_does_in_between(clock):
    env = GenericEnv()
    env.metadata = {"render_fps": 20}
    env = RealTime(env)
    env.reset(seed=0)
    ends = []
    for work in (0.0, 0.03, 0.049, 0.0):
        clock.sleep(work)
        env.step(np.zeros(7))
        ends.append(clock.now)
    np.testing.assert_allclose(ends, 100 + 0.05 * np.arange(1, 5))


def test_a_late_step_is_not_made_up_for(clock):
    env = RealTime(GenericEnv())
    env.reset(seed=0)
    clock.sleep(1.0)
    env.step(np.zeros(7))
    env.step(np.zeros(7))
    assert clock.now == pytest.approx(101.1)


def test_the_standard_stack_keeps_real_time_for_a_person_only():
    person, script = FakeDevice(), FakeDevice()
    person.real_time = True
    for device, real in ((person, True), (script, False)):
        env = hilserl_envs.make_env("PickCube", device=device, obs="state")
        assert ("RealTime" in str(env)) == real
        env.close()


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(real_time).failed == 0
