"""Who acts on a cluster, and mistakes on the way there that are explained; see also its supervisor's test."""

import contextlib
import socket
import sys
import time
from pathlib import Path

import pytest

from hilserl_envs.cli import main
from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning import cluster as cluster_module
from hilserl_envs.learning.cluster import ClusterActor, _following, cluster_actors, connected
from tests import needs
from tests.learning_run import demonstrations, new_run


def test_who_acts():
    assert cluster_actors((), 1) == [ClusterActor()]
    assert cluster_actors((), 2) == [ClusterActor("twin_1"), ClusterActor("twin_2")]
    assert cluster_actors(("left=http://10.0.0.7:5000", "sim=twin"), 1) == [
        ClusterActor("left", "http://10.0.0.7:5000", "robot_left"),
        ClusterActor("sim", "twin", "robot_sim"),
    ]


@pytest.mark.parametrize(
    ("robots", "number", "message"),
    [
        (("left",), 1, "NAME=ROBOT.*got 'left'"),
        (("left=",), 1, "NAME=ROBOT"),
        (("=twin",), 1, "NAME=ROBOT"),
        (("../x=twin",), 1, "NAME=ROBOT"),
        (("a=twin", "a=twin"), 1, "two robots have the name 'a'"),
        (("a=twin", "b=twin"), 2, "leave out --actors 2"),
        ((), 0, "at least 1, got 0"),
    ],
)
def test_robots_that_cannot_be(robots, number, message):
    with pytest.raises(ConfigError, match=message):
        cluster_actors(robots, number)


def test_without_ray_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs Ray, .*pip install \"hilserl_envs\[cluster\]\""):
        with connected("auto"):
            pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "ray://10.0.0.7:10001",
            "HOST:PORT of the head of a Ray cluster.*or auto; got 'ray://10.0.0.7:10001'",
        ),
        ("10.0.0.7", "HOST:PORT.*or auto; got '10.0.0.7'"),
        ("local", "HOST:PORT"),
        ("127.0.0.1:99999999", "nobody answers at 127.0.0.1:99999999"),
    ],
)
def test_addresses_that_cannot_be(address, message):
    needs.module("ray", "cluster")
    with pytest.raises(ConfigError, match=message):
        with connected(address):
            pass


def test_where_nobody_answers_there_is_no_cluster():
    needs.module("ray", "cluster")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConfigError, match=f"nobody answers at 127.0.0.1:{port}.*`ray start --head`"):
        with connected(f"127.0.0.1:{port}"):
            pass


def test_a_machine_that_is_no_node_is_told_how_to_be_one():
    needs.module("ray", "cluster")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ends just now
            if b"gcs_server" in path.read_bytes():
                pytest.skip("a Ray cluster runs on this machine")
    with pytest.raises(ConfigError, match="(?s)cannot train on the Ray cluster at auto.*`ray start --head`"):
        with connected("auto"):
            pass


# The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--robots", "left=twin"), "give --cluster too"),
        (("--actors", "2"), "give --cluster too"),
        (("--cluster", "auto", "--sync"), "leave out --sync and --side"),
        (("--cluster", "auto", "--resume", "--side", "actor"), "leave out --sync and --side"),
        (("--cluster", "auto", "--robots", "left"), "NAME=ROBOT"),
    ],
)
def test_what_contradicts_itself_is_refused_before_there_is_a_run(tmp_path, capsys, arguments, message):
    run = tmp_path / "run"
    assert main(["train", "PickCube", "--no-demos", "--out", str(run), "--steps", "9", *arguments]) == 1
    assert message in capsys.readouterr().err and not run.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--algorithm", "bc", "--actors", "2"), "nobody acts in 'bc'; leave out --robots and --actors"),
        (("--robot", "http://a:1", "--robots", "b=twin"), "name it with --robots NAME=http://a:1 instead"),
        (("--device", "keyboard"), "on which machine is the person? Name the robot"),
        (("--set", "device=keyboard"), "on which machine is the person? Name the robot"),
    ],
)
def test_who_cannot_act_is_refused_before_there_is_a_run(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(cluster_module, "connected", lambda address: contextlib.nullcontext())
    run = tmp_path / "run"
    given = ["--demos", str(demonstrations()), "--out", str(run), "--cluster", "auto", "--steps", "9"]
    assert main(["train", "PickCube", *given, *arguments]) == 1
    assert message in capsys.readouterr().err and not run.exists()


def test_a_run_of_several_robots_goes_on_with_them(tmp_path, capsys):
    run = new_run(tmp_path / "run")
    (run.replays / "left").mkdir(parents=True)
    assert main(["train", "--out", str(run.path), "--resume", "--steps", "9"]) == 1
    assert "left act in this run; go on with --cluster" in capsys.readouterr().err


# A thread that looks


def test_what_a_thread_sees(monkeypatch):
    monkeypatch.setattr(cluster_module, "NEWS_EVERY", 0.01)
    looks = []
    with _following(lambda: looks.append(True) or len(looks) > 3) as told:
        assert not told()
        until = time.monotonic() + 5
        while not told() and time.monotonic() < until:
            time.sleep(0.005)
        assert told()


def test_what_goes_wrong_in_the_thread_stops_the_side_and_is_said(monkeypatch):
    monkeypatch.setattr(cluster_module, "NEWS_EVERY", 0.01)

    def look() -> bool:
        raise LearningError("no room for the policy")

    with pytest.raises(LearningError, match="no room for the policy"), _following(look) as told:
        until = time.monotonic() + 5
        while not told() and time.monotonic() < until:
            time.sleep(0.005)
        assert told()
