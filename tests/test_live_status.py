"""The tracker: rates over episodes, who is in control, what the person is told."""

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.live.status import RATE_EPISODES, Status, Tracker
from hilserl_envs.teleop import ArmMotion, TeleopCommand


def run(tracker: Tracker, steps: int, intervened: int = 0, **end) -> Status:
    """An episode in which the person acts in the first steps; the last one ends it."""
    tracker.reset()
    for step in range(steps - 1):
        tracker.step(0.0, False, False, {"intervened": step < intervened})
    last = {"intervened": steps - 1 < intervened, **end.pop("info", {})}
    return tracker.step(
        end.pop("reward", 0.0), end.pop("terminated", False), end.pop("truncated", False), last
    )


def test_rates_are_means_over_episodes():
    tracker = Tracker("Task")
    assert tracker.status.success_rate is None and tracker.status.intervention_rate is None
    run(tracker, 4, intervened=1, terminated=True, info={"is_success": True})
    status = run(tracker, 8, intervened=8, truncated=True, info={"is_success": False})
    assert status.success_rate == 0.5
    assert status.intervention_rate == (1 / 4 + 8 / 8) / 2  # not 9 / 12
    assert status.recent == (True, False)


def test_rates_forget_old_episodes():
    tracker = Tracker()
    run(tracker, 1, intervened=1, truncated=True)
    for _ in range(RATE_EPISODES):
        status = run(tracker, 2, terminated=True, info={"is_success": True})
    assert status.success_rate == 1.0 and status.intervention_rate == 0.0
    assert len(status.recent) == RATE_EPISODES


@pytest.mark.parametrize(
    "end, outcome",
    [
        ({"terminated": True, "info": {"is_success": True}}, "success"),
        ({"terminated": True, "info": {"is_success": False}, "reward": 1.0}, "failure"),
        ({"truncated": True, "info": {"is_success": False}}, "time limit"),
        ({"terminated": True, "reward": 1.0}, "success"),  # an env that does not say is_success
        ({"terminated": True, "reward": 0.0}, "failure"),
        ({"truncated": True, "reward": 1.0}, "time limit"),
    ],
)
def test_outcomes(end, outcome):
    status = run(Tracker(), 3, **end)
    assert status.last_outcome == outcome and status.success_rate == (outcome == "success")


def test_an_episode_cut_short_counts_in_no_rate():
    tracker = Tracker()
    tracker.reset()
    tracker.step(0.0, False, False, {"intervened": True})
    status = run(tracker, 2, terminated=True, info={"is_success": True})
    assert status.recent == (True,) and status.intervention_rate == 0.0
    assert status.episode == 2


def test_steps_and_seconds_start_anew():
    tracker = Tracker("Task", step_seconds=0.1)
    assert run(tracker, 5).seconds == pytest.approx(0.5)
    status = tracker.reset()
    assert (status.task, status.episode, status.step, status.seconds) == ("Task", 2, 0, 0.0)


def test_mode_says_who_is_in_control():
    tracker = Tracker()
    tracker.reset()
    assert tracker.status.mode == "policy"
    assert tracker.step(0.0, False, False, {"intervened": True}).mode == "person"
    assert tracker.note(paused=True).mode == "paused"
    lost = {"intervened": True, "teleop": TeleopCommand(connected=False)}
    assert tracker.step(0.0, False, False, lost).mode == "disconnected"
    tracker.note(paused=False)
    assert tracker.step(0.0, False, False, {"teleop": TeleopCommand()}).mode == "policy"


def test_the_value_is_that_of_the_last_step():
    tracker = Tracker()
    assert tracker.reset().value is None
    assert tracker.step(0.0, False, False, {"value": np.float32(0.5)}).value == 0.5
    assert type(tracker.status.value) is float
    assert tracker.step(0.0, False, False, {}).value is None
    for value in (float("nan"), -np.inf):  # no page could read these
        assert tracker.step(0.0, False, False, {"value": value}).value is None
    tracker.step(0.0, False, True, {"value": -0.25})
    assert tracker.status.value == -0.25 and tracker.reset().value is None


def test_the_selected_arm_is_known_where_there_are_two():
    def driving(*arms):
        return {"teleop": TeleopCommand({arm: ArmMotion() for arm in arms})}

    tracker = Tracker()
    assert tracker.step(0.0, False, False, driving("arm")).arm is None
    assert tracker.step(0.0, False, False, driving("left", "right")).arm is None
    assert tracker.step(0.0, False, False, driving("right")).arm == "right"
    assert tracker.step(0.0, False, False, {}).arm == "right"


def test_a_note_stays_and_a_question_goes():
    tracker = Tracker()
    assert tracker.note(message="3 of 20", kept=3, wanted=20).kept == 3
    asked = tracker.step(0.0, False, False, {"waiting_for_label": True})
    assert "success or failure" in asked.message
    assert tracker.step(0.0, False, False, {}).message == "3 of 20"
    assert tracker.reset().message == "3 of 20"


def test_only_what_steps_do_not_tell_can_be_noted():
    with pytest.raises(ConfigError, match="unknown field to note 'pause': did you mean 'paused'"):
        Tracker().note(pause=True)
    with pytest.raises(ConfigError, match="more than 0 s"):
        Tracker(step_seconds=0.0)
