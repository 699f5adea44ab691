"""Tests of our own routes and of how the app refuses, over fakes, through a real server."""

import threading
import time

import numpy as np
import pytest
import requests

from hilserl_envs import wire
from hilserl_envs.cameras import FakeCamera
from hilserl_envs.kinematics import PANDA
from hilserl_envs.robot import ArmCommand
from robot_servers.parts import MonotonicClock
from tests.servers import fake_server

HOME = [0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]
UP = [0.5, 0.0, 0.32, 1.0, 0.0, 0.0, 0.0]


class Client:
    """Plain requests to one server."""

    def __init__(self, server):
        self.url, self._session = server.url, requests.Session()

    def get(self, path, status=200, **arguments):
        return self._done(self._session.get(self.url + path, timeout=10, **arguments), status)

    def post(self, path, json=None, status=200, **arguments):
        return self._done(self._session.post(self.url + path, json=json, timeout=10, **arguments), status)

    def step(self, **request):
        answer = self.post("/step", request)
        assert answer.headers["Content-Type"] == wire.STEP_TYPE
        return wire.unpack(answer.content)

    def refused(self, status, kind, method, path, **arguments):
        """The words of an answer that refuses."""
        answer = getattr(self, method)(path, status=status, **arguments).json()
        assert set(answer) == {"error", "kind"} and answer["kind"] == kind
        return answer["error"]

    def _done(self, answer, status):
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture(scope="module")
def server():
    with fake_server() as server:
        yield server


@pytest.fixture
def client(server):
    server.guard.clear_emergency_stop()
    server.guard.recover()
    arm = server.guard.station.parts["arm"]
    arm.command(pose=np.array(HOME))
    arm.commands.clear()
    arm.calls.clear()
    return Client(server)


@pytest.fixture
def arm(server, client):
    return server.guard.station.parts["arm"]


def test_the_robot_is_described(client):
    about = client.get("/robot").json()
    assert about["arms"] == about["grippers"] == ["arm"]
    assert about["cameras"] == {"wrist_1": [128, 128], "wrist_2": [128, 128]}
    assert about["box"] == {"low": [0.25, -0.4, 0.01], "high": [0.7, 0.4, 0.5]}
    assert (about["backend"], about["task"], about["speed"], about["deadman"]) == ("fake", None, 1.0, 0.5)


def test_the_state_is_one_that_the_client_reads(client):
    answer = client.get("/state").json()
    state = wire.state_from_json(answer)
    np.testing.assert_array_equal(state.arms["arm"].tcp_pose, HOME)
    assert answer["targets"] == {"arm": None} and answer["errors"] == {}


def test_a_step_moves_waits_and_shows(client, arm):
    began = time.monotonic()
    answer, frames = client.step(
        commands=wire.commands_to_json({"arm": ArmCommand(pose=np.array(UP), gripper=0.5)}),
        wait=0.1,
        images=True,
        encoding="raw",
    )
    assert 0.1 <= time.monotonic() - began < 1
    assert answer["arms"]["arm"]["tcp_pose"] == UP and answer["arms"]["arm"]["gripper_pose"] == 0.5
    assert answer["targets"]["arm"] == UP
    assert list(frames) == ["wrist_1", "wrist_2"] and frames["wrist_1"].image.shape == (128, 128, 3)
    assert len(arm.commands) == 1


def test_a_wait_counts_from_when_the_client_says(client):
    now = client.get("/state").json()["time"]
    for since, least, most in ((now - 5, 0.0, 0.2), (now + 1000, 0.3, 0.8)):
        began = time.monotonic()
        client.step(wait=0.3, since=since)
        assert least <= time.monotonic() - began < most


def test_a_step_may_ask_for_some_cameras(client):
    assert list(client.step(images=["wrist_2"])[1]) == ["wrist_2"]
    assert client.step()[1] == {}


def test_a_step_that_is_not_safe_moves_nothing(client, arm):
    far = {"commands": {"arm": {"pose": [0.5, 0, 0.45, 1, 0, 0, 0]}}}
    assert "go there in steps" in client.refused(422, "jump_too_far", "post", "/step", json=far)
    outside = {"commands": {"arm": {"pose": [0.5, 0, 0.0, 1, 0, 0, 0]}}}
    client.refused(422, "pose_outside_box", "post", "/step", json=outside)
    client.refused(400, "bad_request", "post", "/step", json={"commands": {"left": {}}})
    assert not arm.commands


def test_a_broken_camera_answers_503_where_it_is_asked_for_only(client, server):
    camera = server.guard.station.eyes["wrist_1"]
    camera.trouble = "no frame for 2 s"
    try:
        said = "camera 'wrist_1': no frame for 2 s"
        assert client.refused(503, "camera", "post", "/step", json={"images": True}) == said
        assert client.refused(503, "camera", "get", "/cameras/wrist_1.jpg") == said
        assert list(client.step(images=["wrist_2"])[1]) == ["wrist_2"]
        assert client.get("/state").json()["errors"] == {"wrist_1": "no frame for 2 s"}
        health = client.get("/health").json()
        assert not health["ok"] and health["errors"] == {"wrist_1": "no frame for 2 s"}
        assert client.get("/cameras").json()["wrist_1"]["error"] == "no frame for 2 s"
    finally:
        camera.trouble = None
    assert client.get("/health").json()["ok"]


def test_a_picture_says_when_it_was_taken(client):
    first, second = (client.get("/cameras/wrist_1.jpg") for _ in range(2))
    assert first.headers["Content-Type"] == "image/jpeg" and first.content[:2] == b"\xff\xd8"
    assert int(second.headers["X-Frame-Number"]) > int(first.headers["X-Frame-Number"])
    assert float(second.headers["X-Frame-Time"]) > float(first.headers["X-Frame-Time"])
    assert "known: wrist_1, wrist_2" in client.refused(404, "no_camera", "get", "/cameras/front.jpg")


def test_compliance_is_set_clamped_and_shown(client, arm):
    changes = {"compliance": {"arm": {"translational_stiffness": 9000, "rotational_stiffness": 200}}}
    answer = client.post("/configure", changes).json()
    assert answer == {"clamped": {"arm": {"translational_stiffness": 6000}}}
    assert arm.compliance.rotational_stiffness == 200
    shown = client.get("/configure").json()
    assert shown["compliance"]["arm"]["translational_stiffness"] == 6000
    assert shown["ranges"]["rotational_Ki"] == {"low": 0, "high": 100, "default": 0}
    bad = {"compliance": {"arm": {"stiffness": 1}}}
    client.refused(400, "unknown_parameter", "post", "/configure", json=bad)
    client.refused(400, "bad_request", "post", "/configure", json={"compliance": {"arm": 5}})


def test_joint_resets_go_where_they_are_told_or_to_the_reset_posture(client, arm):
    client.post("/reset_joints")
    np.testing.assert_array_equal(arm.state.q, PANDA.ready)
    q = [*PANDA.ready[:6], 0.5]
    client.post("/reset_joints", {"q": {"arm": q}})
    np.testing.assert_array_equal(arm.state.q, q)
    wrong = {"q": {"arm": [9, *q[1:]]}}
    client.refused(422, "joints_outside_limits", "post", "/reset_joints", json=wrong)


def test_controllers_stop_start_and_recover(client, arm):
    assert client.post("/stop").json()["errors"] == {"arm": "stopped"}
    move = {"commands": {"arm": {"pose": UP}}}
    assert "start or recover it" in client.refused(409, "arm_error", "post", "/step", json=move)
    assert client.post("/start").json()["errors"] == {}
    client.post("/step", move)
    arm.trouble = "reflex"
    assert client.post("/recover", {}).json()["errors"] == {}
    client.post("/step", move)


def test_the_emergency_stop_is_heard_whatever_comes_with_it(client, arm):
    for body in (b"", b"{", b"\xff", b'{"why": 5}', b"[" * 5000, b'{"nonsense": 1}'):
        client.post("/emergency_stop/clear")
        answer = client.post("/emergency_stop", data=body)
        assert answer.json()["emergency_stop"] == "pressed" and arm.error() == "stopped"
    client.post("/emergency_stop", {"why": "smoke"})
    move = {"commands": {"arm": {"pose": UP}}}
    assert "smoke" in client.refused(423, "emergency_stop", "post", "/step", json=move)
    client.refused(423, "emergency_stop", "post", "/recover")
    assert client.step(images=True)[0]["emergency_stop"] == "smoke"  # looking is free
    assert not client.get("/health").json()["ok"]
    assert client.post("/emergency_stop/clear").json()["emergency_stop"] is False
    client.post("/step", move)


def test_a_load_is_told_to_the_arm(client, arm):
    load = {"arm": "arm", "mass": 0.4, "center": [0, 0, 0.1], "inertia": np.zeros((3, 3)).tolist()}
    client.post("/load", load)
    assert arm.calls == ["load"]
    client.refused(422, "load_out_of_range", "post", "/load", json={**load, "mass": 20})
    client.refused(400, "bad_request", "post", "/load", json={**load, "arm": ["arm"]})
    assert "lacks inertia" in client.refused(
        400, "bad_request", "post", "/load", json={k: v for k, v in load.items() if k != "inertia"}
    )


def test_every_refusal_is_json_that_says_why(client):
    assert "not found" in client.refused(404, "not_found", "get", "/nothing")
    client.refused(405, "method_not_allowed", "get", "/step")
    client.refused(405, "method_not_allowed", "post", "/state")
    client.refused(415, "media_type", "post", "/step", data="wait=1")
    client.refused(
        400, "bad_request", "post", "/step", data="{", headers={"Content-Type": "application/json"}
    )
    for size in (70_000, 3_000_000):
        client.refused(413, "too_large" if size < 1e6 else "bad_request", "post", "/step", data=b" " * size)


def test_what_is_no_http_is_refused_in_json_too(server):
    import http.client

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/step")
    connection.putheader("Content-Length", "minus one")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 400 and b'"kind": "bad_request"' in answer.read()


def test_many_waiting_steps_leave_room_for_commands(client, server):
    waiting = [threading.Thread(target=client.__class__(server).step, kwargs={"wait": 1.0}) for _ in range(8)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    assert client.refused(503, "too_many_waiting", "post", "/step", json={"wait": 1.0})
    began = time.monotonic()
    client.post("/step", {"commands": {"arm": {"pose": UP}}})
    assert time.monotonic() - began < 0.5
    for thread in waiting:
        thread.join()


def test_pages_may_load_nothing_foreign_and_be_framed_by_nobody(client):
    headers = client.get("/health").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_console_is_served_and_nothing_beside_it(client):
    assert "text/html" in client.get("/").headers["Content-Type"]
    assert "text/javascript" in client.get("/console/console.js").headers["Content-Type"]
    for path in ("/console/../app.py", "/console/%2e%2e/app.py", "/console//etc/passwd"):
        client.refused(404, "not_found", "get", path)


def test_two_arms_are_driven_together():
    with fake_server(arms=("left", "right"), cameras={"side": FakeCamera((48, 64))}) as server:
        client = Client(server)
        answer, frames = client.step(
            commands={"left": {"pose": UP}, "right": {"gripper": 0.0}}, images=True, wait=0.01
        )
        assert answer["arms"]["left"]["tcp_pose"] == UP and answer["arms"]["right"]["tcp_pose"] == HOME
        assert answer["arms"]["right"]["gripper_pose"] == 0.0 and frames["side"].image.shape == (48, 64, 3)


def test_a_fault_of_ours_is_a_plain_500(server, client, monkeypatch, caplog):
    def broken():
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(server.guard.station.parts["arm"], "read", broken)
    assert "its log says more" in client.refused(500, "fault", "get", "/state")
    assert "ZeroDivisionError: oops" in caplog.text


def test_robot_time_is_the_clocks(server, client):
    assert abs(client.get("/state").json()["time"] - MonotonicClock().now()) < 1
