"""The environment over HTTP on the twin's own server: the same as on the twin in this process."""

import contextlib
import json
import threading
import time

import gymnasium as gym
import numpy as np
import pytest
import requests
from gymnasium.utils.env_checker import check_env

import hilserl_envs
from hilserl_envs.cameras import CameraReader, FakeCamera
from hilserl_envs.cli import main
from hilserl_envs.errors import CameraError, ConfigError, RobotError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.poses import displace, displacement
from hilserl_envs.recording import EpisodeStore, RecordEpisodes
from hilserl_envs.robot import ArmCommand
from hilserl_envs.server_connection import TOKEN_FILE
from hilserl_envs.tasks.ram_insertion import RamInsertion
from robot_servers.limits import GuardSettings
from tests.generic_env import TwoArms
from tests.server_process import ServerProcess
from tests.servers import fake_server, twin_server

SPEED = 5.0  # times real time
TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def server():
    with twin_server("RamInsertion", SPEED) as server:
        yield server


@pytest.fixture
def make(server):
    """An environment over HTTP, closed at the end."""
    made = []

    def make(**arguments):
        made.append(hilserl_envs.make_env("RamInsertion", **{"robot": server.url} | arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()


def rearrange(server, seed):
    requests.post(f"{server.url}/twin/rearrange", json={"seed": seed}, timeout=10).raise_for_status()


def test_spaces_and_observations_are_the_twins(server, make):
    twin, over_http = gym.make("hilserl/RamInsertion-v0"), make(frame="base", rotation=None, flatten=False)
    assert over_http.observation_space == twin.observation_space
    assert over_http.action_space == twin.action_space
    rearrange(server, 3)
    observation, info = over_http.reset(seed=3)
    assert over_http.observation_space.contains(observation)
    assert info["is_success"] is False
    for _ in range(3):
        observation, *_ = over_http.step(over_http.action_space.sample())
        assert over_http.observation_space.contains(observation)
    twin.close()


def test_a_reset_moves_to_where_the_twin_teleports(server, make):
    twin, over_http = (
        gym.make("hilserl/RamInsertion-v0", obs="pixels"),
        make(frame="base", rotation=None, flatten=False),
    )
    expected, _ = twin.reset(seed=11)
    rearrange(server, 11)
    observation, _ = over_http.reset(seed=11)
    left = displacement(
        observation["state"]["tcp_pose"].astype(float), expected["state"]["tcp_pose"].astype(float)
    )
    assert np.linalg.norm(left[:3]) < 0.011 and np.linalg.norm(left[3:]) < 0.06
    for name, image in observation["images"].items():
        assert np.abs(image.astype(float) - expected["images"][name]).mean() < 6
    twin.close()


def test_images_are_what_the_twin_draws(server):
    twin = gym.make("hilserl/RamInsertion-v0")
    env = gym.make("hilserl/RamInsertion-v0", robot=server.url)
    world = server.guard.station.world
    rearrange(server, 5)
    scene = twin.unwrapped.robot.scene

    def same_state():
        scene.data.qpos[:] = world.robot.scene.data.qpos
        scene.refresh()

    seen = env.unwrapped.robot.capture()
    world.do(same_state)
    drawn = twin.unwrapped.robot.capture()
    for name, image in seen.items():
        assert np.abs(image.astype(int) - drawn[name]).mean() < 0.1  # time went on in between
    env.close()
    twin.close()


def test_steps_are_a_tenth_of_a_second_apart(server, make):
    env = make()
    env.reset(seed=0)
    times = []
    for _ in range(20):
        env.step(np.zeros(6, np.float32))
        times.append(env.unwrapped.robot_state.time)
    assert np.median(np.diff(times)) == pytest.approx(0.1, abs=0.05)


def test_the_expert_inserts_the_module(server, make):
    env = make()
    expert = ExpertPolicy(env)
    for seed in range(3):
        rearrange(server, seed)
        observation, info = env.reset(seed=seed)
        assert not info["is_success"]
        expert.start(seed)
        over = False
        while not over:
            observation, reward, terminated, truncated, info = env.step(expert(observation))
            over = terminated or truncated
        assert info["is_success"] and terminated and reward == 1.0, f"seed {seed}"
        assert server.guard.station.world.succeeded()


def test_a_twin_of_another_task_is_refused(server):
    class Another(RamInsertion):
        """Looks the same."""

    with pytest.raises(ConfigError, match="a twin of RamInsertion, not of Another"):
        FrankaEnv(Another(), robot=server.url)


def test_a_recording_tells_where_it_was_made_but_no_token(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    with twin_server("RamInsertion", SPEED, token=TOKEN) as server:
        env = hilserl_envs.make_env("RamInsertion", robot=server.url, flatten=False, max_episode_steps=3)
        env = RecordEpisodes(env, tmp_path / "store", "all")
        env.reset(seed=0)
        for _ in range(3):
            env.step(env.action_space.sample())
        env.close()
    meta = EpisodeStore(tmp_path / "store").meta
    assert meta["env"]["spec"]["kwargs"]["robot"] == server.url
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()


def test_the_commands_take_a_url(server, tmp_path, capsys):
    options = ["--robot", server.url, "--json"]
    assert main(["eval", "RamInsertion", "--policy", "expert", "--episodes", "1", *options]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["policies"][0]["env"]["robot"] == server.url
    out = str(tmp_path / "store")
    record = ["record", "RamInsertion", "--device", "expert", "--out", out, "--episodes", "1", "--keep-all"]
    assert main([*record, *options]) == 0
    assert len(EpisodeStore(out).episodes) == 1


def test_a_server_that_is_killed_and_started_again():
    with twin_server("RamInsertion", SPEED) as server:
        url, port = server.url, int(server.url.rpartition(":")[2])
        env = hilserl_envs.make_env("RamInsertion", robot=url)
        env.reset(seed=0)
        env.step(np.zeros(6, np.float32))
    with pytest.raises(RobotError, match=f"{url} does not answer POST /step: .*reset the environment"):
        env.step(np.zeros(6, np.float32))
    with pytest.raises(RobotError, match=f"{url} does not answer"):
        env.reset(seed=0)
    with twin_server("RamInsertion", SPEED, port=port):
        env.reset(seed=0)
        observation, *_ = env.step(np.zeros(6, np.float32))
        assert env.observation_space.contains(observation)
        env.close()


def test_a_server_that_is_killed_in_the_middle_of_a_step():
    with ServerProcess() as server:
        env = gym.make("hilserl/RamInsertion-v0", robot=server.url)
        killing = threading.Timer(0.2, server.kill)
        killing.start()
        with pytest.raises(RobotError, match=f"{server.url} does not answer POST /step: .*not sent again"):
            env.unwrapped.robot.command({"arm": ArmCommand(gripper=0.0)})
            env.unwrapped.robot.wait(5.0)
        killing.join()
        env.close()


def test_an_emergency_stop_ends_the_episode_until_it_is_cleared(server, make):
    env = make()
    env.reset(seed=0)
    requests.post(f"{server.url}/emergency_stop", json={"why": "a hand in the box"}, timeout=10)
    try:
        with pytest.raises(RobotError, match="a hand in the box"):
            env.step(np.zeros(6, np.float32))
        with pytest.raises(RobotError, match="a hand in the box"):
            env.reset(seed=1)
    finally:
        requests.post(f"{server.url}/emergency_stop/clear", json={}, timeout=10).raise_for_status()
    env.reset(seed=1)
    env.step(np.zeros(6, np.float32))


def test_an_arm_far_away_is_brought_back_by_its_joints(server, make):
    env = make()
    rearrange(server, 0)
    base = env.unwrapped
    posture = base.task.reset_q("arm")
    posture[0] += 0.6
    env.reset(seed=0, options={"joint_reset": True})
    base.robot.reset_joints({"arm": posture})
    goal = base.robot.read().arms["arm"].tcp_pose
    assert np.linalg.norm(goal[:3] - base._boxes["arm"].clip(goal)[:3]) > 0.2
    env.reset(seed=0)  # walks
    env.step(np.zeros(6, np.float32))
    base.robot.reset_joints({"arm": posture})
    env.reset(seed=0, options={"joint_reset": True})
    env.step(np.zeros(6, np.float32))


def test_from_outside_the_servers_box_an_arm_is_brought_back_by_its_joints_or_by_hand():
    # The whole box lies 8 cm or more from where the arm is brought.
    strict = GuardSettings(box_low=(0.4, -0.15, 0.01))
    with twin_server("RamInsertion", SPEED, guard=strict) as server:
        env = hilserl_envs.make_env("RamInsertion", robot=server.url)
        world, base = server.guard.station.world, env.unwrapped
        env.reset(seed=0)
        away = displace(np.array(base.task.arms["arm"].reset_pose), np.array([0, -0.4, 0.1]), np.zeros(3))

        def guide():
            world.robot.scene.teleport({"arm": away}, {"arm": 1.0})
            world.robot.recover()

        world.do(guide)
        before = base.robot.read().arms["arm"].tcp_pose
        with pytest.raises(RobotError, match="must lie in the box .*guide it into .*'joint_reset': True"):
            env.reset(seed=0)
        after = base.robot.read().arms["arm"].tcp_pose
        assert np.linalg.norm(after[:3] - before[:3]) < 0.005  # nothing moved it
        env.reset(seed=0, options={"joint_reset": True})
        env.close()


def test_gymnasiums_checks_pass_after_a_reset_that_failed_too(server):
    env = gym.make("hilserl/RamInsertion-v0", robot=server.url)
    assert env.spec.nondeterministic and not gym.spec("hilserl/RamInsertion-v0").nondeterministic
    requests.post(f"{server.url}/emergency_stop", json={}, timeout=10)
    try:
        with pytest.raises(RobotError, match="emergency stop"):
            env.reset(seed=0)
    finally:
        requests.post(f"{server.url}/emergency_stop/clear", json={}, timeout=10).raise_for_status()
    check_env(env.unwrapped)  # it renders, too
    env.close()


class Freezing:
    """A camera's source, 30 pictures a second, that hangs while it is frozen."""

    size = (128, 128)
    frozen = False
    number = 0

    def open(self):
        """Nothing to open."""

    def read(self, timeout):
        time.sleep(timeout if self.frozen else 1 / 30)
        if self.frozen:
            return None
        self.number += 1
        return np.full((*self.size, 3), self.number % 256, np.uint8), self.number

    def close(self):
        """Nothing to close."""


def test_a_camera_that_freezes_for_ten_seconds():
    source = Freezing()
    cameras = {"wrist_1": CameraReader(source), "wrist_2": FakeCamera()}
    with fake_server(cameras=cameras, grippers=False) as server:
        env = gym.make("hilserl/RamInsertion-v0", robot=server.url)
        still = np.zeros(6, np.float32)
        env.reset(seed=0)
        env.step(still)
        source.frozen, thaws = True, time.monotonic() + 10
        with pytest.raises(CameraError, match="wrist_1.* its newest picture is .* old"):
            for _ in range(20):
                env.step(still)
        while time.monotonic() < thaws:
            began = time.monotonic()
            body = {"commands": {"arm": {"wrench": [0] * 6}}, "images": ["wrist_2"]}
            assert requests.post(f"{server.url}/step", json=body, timeout=5).status_code == 200
            assert time.monotonic() - began < 1.0  # who does not look through it does not wait for it
            with pytest.raises(CameraError, match="wrist_1"):
                env.reset(seed=0)
        source.frozen = False
        time.sleep(1.5)
        env.reset(seed=0)
        env.step(still)
        env.close()


class HurriedClock:
    """Of a robot whose seconds are short."""

    def now(self):
        return 50 * time.monotonic()

    def wait_until(self, instant):
        time.sleep(max(0.0, (instant - self.now()) / 50))


def test_two_servers_are_two_arms():
    with contextlib.ExitStack() as closing:
        servers = {
            name: closing.enter_context(fake_server(cameras={}, clock=HurriedClock()))
            for name in ("left", "right")
        }
        urls = {name: server.url for name, server in servers.items()}
        env = closing.enter_context(contextlib.closing(FrankaEnv(TwoArms(cameras={}), robot=urls)))
        env.reset(seed=0)
        arms = {name: server.guard.station.parts["arm"] for name, server in servers.items()}
        before = {name: arm.state.tcp_pose[:3] for name, arm in arms.items()}
        action = np.zeros(13)
        action[7:10] = [0.5, 0, 0]  # of the right one
        observation, *_ = env.step(action)
        assert env.observation_space.contains(observation)
        step = env.task.arms["right"].translation_scale * np.array([0.5, 0, 0])
        np.testing.assert_allclose(arms["left"].state.tcp_pose[:3], before["left"], atol=1e-9)
        np.testing.assert_allclose(arms["right"].state.tcp_pose[:3], before["right"] + step, atol=1e-9)
