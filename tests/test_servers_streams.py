"""Tests of the streams, over fakes, through a real server."""

import contextlib
import itertools
import json
import time

import pytest
import requests

from hilserl_envs.errors import RobotError
from robot_servers.routes.streams import MAX_STREAMS
from tests.servers import fake_server


@pytest.fixture
def server():
    with fake_server() as server:
        yield server


@contextlib.contextmanager
def stream(server, path):
    with requests.get(server.url + path, stream=True, timeout=5) as answer:
        yield answer


def events(answer):
    """Kind and data of one event after another."""
    event = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        event[name] = value
        if not line:
            yield event["event"], json.loads(event["data"])


def take(stream, count):
    return list(itertools.islice(stream, count))


def pictures(answer, count):
    """Heads and pictures of the parts."""
    found, raw = [], answer.raw
    while len(found) < count:
        assert raw.readline() == b"--frame\r\n"
        head = {}
        while line := raw.readline().strip():
            name, _, value = line.decode().partition(": ")
            head[name] = value
        found.append((head, raw.read(int(head["Content-Length"]))))
        assert raw.readline() == b"\r\n"
    return found


def test_events_tell_the_state_at_the_rate_asked_for(server):
    with stream(server, "/events?hz=20") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        began = time.monotonic()
        found = take(events(answer), 11)
    assert 0.45 < time.monotonic() - began < 1.5
    assert {kind for kind, _ in found} == {"state"}
    times = [data["time"] for _, data in found]
    assert times == sorted(times) and found[0][1]["arms"]["arm"]["gripper_pose"] == 1.0


def test_events_say_when_the_robot_does_not_answer_and_go_on(server):
    arm = server.guard.station.parts["arm"]
    read = arm.read

    def silent():
        raise RobotError("no state for 0.2 s")

    with stream(server, "/events?hz=50") as answer:
        told = events(answer)
        assert next(told)[0] == "state"
        arm.read = silent
        assert ("trouble", {"error": "no state for 0.2 s"}) in take(told, 10)
        arm.read = read
        assert "state" in [kind for kind, _ in take(told, 20)]


def test_a_film_shows_frame_after_frame(server):
    with stream(server, "/cameras/wrist_1.mjpg?hz=30") as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        found = pictures(answer, 5)
    numbers = [int(head["X-Frame-Number"]) for head, _ in found]
    assert numbers == sorted(set(numbers))
    assert all(picture[:2] == b"\xff\xd8" and picture[-2:] == b"\xff\xd9" for _, picture in found)


def test_a_film_goes_on_when_its_camera_does(server):
    camera = server.guard.station.eyes["wrist_1"]
    with stream(server, "/cameras/wrist_1.mjpg?hz=30") as answer:
        pictures(answer, 2)
        camera.trouble = "unplugged"
        time.sleep(0.3)
        camera.trouble = None
        pictures(answer, 2)


@pytest.mark.parametrize("path", ["/events", "/cameras/wrist_1.mjpg"])
@pytest.mark.parametrize("hz", ["0", "-1", "1e9", "nan", "inf", "fast", ""])
def test_a_rate_that_makes_no_sense_is_refused(server, path, hz):
    answer = requests.get(f"{server.url}{path}?hz={hz}", timeout=5)
    assert answer.status_code == 400 and "hz must be a number" in answer.json()["error"]


def test_a_camera_that_is_not_there(server):
    answer = requests.get(f"{server.url}/cameras/front.mjpg", timeout=5)
    assert answer.status_code == 404 and answer.json()["kind"] == "no_camera"


def test_streams_leave_room_for_commands_and_end_with_who_looks(server):
    with contextlib.ExitStack() as looking:
        for _ in range(MAX_STREAMS):
            answer = looking.enter_context(stream(server, "/events?hz=60"))
            assert answer.status_code == 200
        more = requests.get(server.url + "/events", timeout=5)
        assert more.status_code == 503 and "close one" in more.json()["error"]
        began = time.monotonic()
        assert requests.post(server.url + "/getpos", timeout=5).ok
        assert time.monotonic() - began < 1
    end = time.monotonic() + 5
    while True:
        with stream(server, "/events?hz=60") as answer:
            if answer.status_code == 200:
                return
        assert time.monotonic() < end, "the places of those who left are not free"
        time.sleep(0.05)


def test_asking_for_the_head_only_takes_no_place(server):
    for _ in range(2 * MAX_STREAMS):
        assert requests.head(server.url + "/events", timeout=5).status_code == 200
    with stream(server, "/events") as answer:
        assert answer.status_code == 200


def test_a_server_closes_although_somebody_looks():
    with fake_server() as server:
        answer = requests.get(server.url + "/events?hz=60", stream=True, timeout=5)
        take(events(answer), 2)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    answer.close()
