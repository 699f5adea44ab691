"""What `robot=` may be; servers are real, over fakes."""

import contextlib

import gymnasium as gym
import pytest

import hilserl_envs  # noqa: F401
from hilserl_envs.cameras import FakeCamera
from hilserl_envs.connect import connect
from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.http_robot import HttpRobot
from hilserl_envs.robot import FakeRobot
from hilserl_envs.tasks import make_task
from hilserl_envs.twin.robot import TwinRobot
from hilserl_envs.twin.vector import make_twin_vector
from tests.generic_env import TwoArms
from tests.servers import fake_server


@pytest.fixture(scope="module")
def url():
    cameras = {name: FakeCamera() for name in ("wrist_1", "wrist_2", "spare")}
    with fake_server(cameras=cameras) as server:
        yield server.url


@pytest.fixture
def task():
    return make_task("RamInsertion")


def test_the_twin_is_made_here(task):
    robot = connect("twin", task, image_size=16)
    assert isinstance(robot, TwinRobot) and robot.cameras == {"wrist_1": (16, 16), "wrist_2": (16, 16)}
    robot.close()


def test_a_robot_is_itself(task):
    robot = FakeRobot()
    assert connect(robot, task) is robot


@pytest.mark.parametrize("form", [str, "{}/".format, "arm={}".format, lambda url: {"arm": url}])
def test_a_url_is_a_server_with_the_tasks_cameras(task, url, form):
    robot = connect(form(url), task)
    assert isinstance(robot, HttpRobot) and robot.arms == ("arm",)
    assert list(robot.cameras) == ["wrist_1", "wrist_2"]
    robot.close()


@pytest.mark.parametrize(
    "form", [lambda left, right: {"left": left, "right": right}, "right={1},left={0}".format]
)
def test_two_urls_are_two_arms(form):
    with contextlib.ExitStack() as servers:
        left, right = (servers.enter_context(fake_server(cameras={})) for _ in range(2))
        robot = servers.enter_context(
            contextlib.closing(connect(form(left.url, right.url), TwoArms(cameras={})))
        )
        assert robot.arms == ("left", "right")
        right.guard.station.grippers["arm"].move(0.25)
        openings = {name: arm.gripper_pose for name, arm in robot.read().arms.items()}
        assert openings == {"left": 1.0, "right": 0.25}


def test_a_server_with_other_arms_is_refused(task):
    with fake_server(("left", "right")) as server:
        with pytest.raises(
            ConfigError, match=r"the task needs arms \['arm'\], the robot has \['left', 'right'\]"
        ):
            connect(server.url, task)


def test_a_server_without_the_tasks_cameras_is_refused(task):
    with fake_server(cameras={"front": FakeCamera()}) as server:
        with pytest.raises(ConfigError, match=r"lacks cameras \['wrist_1', 'wrist_2'\]; it has \['front'\]"):
            connect(server.url, task)


@pytest.mark.parametrize("robot", ["127.0.0.1:5000", "twins", None, 5, ["http://127.0.0.1:5000"]])
def test_what_is_no_robot_is_refused(task, robot):
    with pytest.raises(ConfigError, match="robot must be 'twin' or .*the URL of a robot server.*got"):
        connect(robot, task)


@pytest.mark.parametrize(
    "robot", ["secret@127.0.0.1:5000", "http://secret@127.0.0.1:5000", {"arm": "http://a:secret@b"}]
)
def test_a_url_with_a_secret_is_refused_and_not_repeated(task, robot):
    with pytest.raises(ConfigError, match="HILSERL_TOKEN_FILE") as refused:
        connect(robot, task)
    assert "secret" not in str(refused.value)


def test_the_timestep_is_the_twins(task, url):
    with pytest.raises(ConfigError, match="timestep is the twin's"):
        connect(url, task, timestep=0.001)


def test_a_server_that_is_not_there_is_named(task):
    with pytest.raises(RobotError, match="http://127.0.0.1:9 does not answer GET /robot"):
        connect("http://127.0.0.1:9", task)


def test_an_environment_by_url_can_be_made_again_from_its_specification(url):
    env = gym.make("hilserl/RamInsertion-v0", robot=url)
    text = env.spec.to_json()
    again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    for made in (env, again):
        assert isinstance(made.unwrapped.robot, HttpRobot)
        made.close()


def test_an_environment_may_get_a_connected_robot(url):
    robot = HttpRobot(url)
    env = gym.make("hilserl/RamInsertion-v0", robot=robot)
    assert env.unwrapped.robot is robot and env.spec.kwargs["robot"] is robot
    env.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"obs": "state"}, "only the twin knows"),
        ({"obs": "both"}, "only the twin knows"),
        ({"render_mode": "human"}, "shows the twin"),
    ],
)
def test_what_only_the_twin_can_is_refused(url, options, says):
    with pytest.raises(ConfigError, match=says):
        gym.make("hilserl/RamInsertion-v0", robot=url, **options)


def test_there_are_not_several_of_one_robot(url):
    with pytest.raises(ConfigError, match="2 environments would command one robot"):
        make_twin_vector(2, task="RamInsertion", robot=url)
    vector = make_twin_vector(1, task="RamInsertion", robot=url)
    assert vector.num_envs == 1
    vector.close()
