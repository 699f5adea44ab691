"""`LiveView`: shows what there is, changes nothing, and does not draw more than is worth it."""

import copy
import json

import gymnasium
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.live import NoView, Status
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import Intervention, live_view
from hilserl_envs.wrappers.live_view import LiveView
from tests.generic_env import GenericEnv


class FakeView:
    """Keeps what it is shown."""

    kind = "fake"

    def __init__(self):
        self.shown: list[tuple[dict, Status]] = []
        self.closed = 0

    def show(self, images, status):
        self.shown.append((dict(images), status))

    def close(self):
        self.closed += 1

    def __deepcopy__(self, memo):
        return self


class Ending(GenericEnv):
    """Ends as it is told to."""

    metadata = {"render_fps": 10}
    end = (False, False)

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, *self.end, {**info, "is_success": True}


@pytest.fixture
def clock(monkeypatch):
    """Time, in a list of one number."""
    now = [0.0]
    monkeypatch.setattr(live_view.time, "monotonic", lambda: now[0])
    return now


def test_it_passes_everything_through(clock):
    plain, viewed = Ending(), LiveView(Ending(), FakeView())
    for env in (plain, viewed):
        env.reset(seed=3)
    action = plain.action_space.sample()
    for expected, got in zip(plain.step(action), viewed.step(action), strict=True):
        assert type(expected) is type(got)
        if not isinstance(expected, dict):
            assert expected == got
    np.testing.assert_array_equal(viewed.unwrapped.actions[0], action)
    assert viewed.observation_space == plain.observation_space


def test_it_shows_the_observation_and_the_status():
    view = FakeView()
    device = FakeDevice([TeleopCommand({"arm": ArmMotion(np.full(6, 0.1))}, acting=True)])
    env = LiveView(Intervention(Ending(), device), view)
    observation, _ = env.reset(seed=0)
    assert view.shown[-1][0]["front"] is observation["images"]["front"]
    assert view.shown[-1][1].episode == 1
    env._drawn = -np.inf
    observation, *_ = env.step(env.action_space.sample())
    images, status = view.shown[-1]
    assert images["front"] is observation["images"]["front"]
    assert (status.step, status.mode, status.seconds) == (1, "person", 0.1)
    assert env.status == status


def test_fast_steps_are_not_all_drawn_but_the_last_one_is(clock):
    view = FakeView()
    env = LiveView(Ending(), view, hz=10.0)
    env.reset(seed=0)
    for _ in range(100):
        clock[0] += 0.01
        env.step(env.action_space.sample())
    assert 9 <= len(view.shown) - 1 <= 10
    drawn = len(view.shown)
    env.unwrapped.end = (False, True)
    env.step(env.action_space.sample())
    assert len(view.shown) == drawn + 1
    assert view.shown[-1][1].last_outcome == "success" and view.shown[-1][1].step == 101


def test_slow_steps_are_all_drawn(clock):
    view = FakeView()
    env = LiveView(Ending(), view)
    env.reset(seed=0)
    for _ in range(10):
        clock[0] += 0.1
        env.step(env.action_space.sample())
    assert len(view.shown) == 11


def test_without_images_it_shows_what_the_robot_sees():
    view = FakeView()
    env = LiveView(gymnasium.make("hilserl/PickCube-v0", obs="state"), view)
    env.reset(seed=0)
    images, status = view.shown[-1]
    assert set(images) == set(env.unwrapped.robot.cameras)
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images.values())
    assert status.task == "PickCube"
    env.close()


def test_of_stacked_images_it_shows_the_newest():
    view = FakeView()

    class Stacked(Ending):
        def _observe(self):
            observation = super()._observe()
            front = observation["images"]["front"]
            return {**observation, "images": {"front": np.stack([np.zeros_like(front), front])}}

    env = LiveView(Stacked(), view)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(view.shown[-1][0]["front"], observation["images"]["front"][1])


def test_a_note_is_shown_at_once(clock):
    view = FakeView()
    env = LiveView(Ending(), view)
    env.reset(seed=0)
    env.note(message="Move to begin", paused=True)
    images, status = view.shown[-1]
    assert "front" in images and status.message == "Move to begin" and status.mode == "paused"


def test_the_browser_device_shows_on_its_own_page():
    device = FakeDevice()
    device.page = FakeView()
    env = LiveView(Intervention(Ending(), device), "auto")
    env.reset(seed=0)
    assert device.page.shown
    env.close()
    assert not device.page.closed  # whoever made the device closes it


def test_it_closes_the_views_that_it_opened():
    view = FakeView()
    LiveView(Ending(), view).close()
    assert not view.closed
    env = LiveView(Ending(), "none")
    assert isinstance(env.view, NoView)
    env.close()


def test_it_can_be_written_into_a_file_and_made_again():
    for view in ("none", NoView()):
        env = LiveView(gymnasium.make("hilserl/PickCube-v0", obs="state"), view, hz=5.0)
        spec = env.spec.to_json()
        env.close()
        assert json.loads(spec)["additional_wrappers"][-1]["kwargs"] == {"view": "none", "hz": 5.0}
        again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(spec))
        assert isinstance(copy.deepcopy(again.spec), gymnasium.envs.registration.EnvSpec)
        assert isinstance(again, LiveView)
        again.close()


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"view": "widow"}, "unknown live view 'widow': did you mean 'window'"),
        ({"view": 3}, "a view is a name or has show and close"),
        ({"view": "none", "hz": 0.0}, "hz must be above 0"),
        ({"view": "none", "hz": "fast"}, "hz must be numbers"),
    ],
)
def test_wrong_arguments_are_refused(arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        LiveView(Ending(), **arguments)
