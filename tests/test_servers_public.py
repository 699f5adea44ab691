"""Tests of the public server's routes, by a client that knows their list alone."""

import time

import numpy as np
import pytest
import requests
from scipy.spatial.transform import Rotation

from robot_servers.parts import FakeGripper
from tests.servers import fake_server, twin_server


class PublicClient:
    """Written from the public route list: all POST, JSON; `pose` takes {"arr": xyz + xyzw}, and so on."""

    def __init__(self, url):
        self.url = url

    def post(self, name, body=None):
        return requests.post(f"{self.url}/{name}", json=body, timeout=30)

    def do(self, name, body=None):
        answer = self.post(name, body)
        answer.raise_for_status()
        return answer.text

    def ask(self, name):
        answer = self.post(name)
        answer.raise_for_status()
        return answer.json()

    def move(self, pose):
        self.do("clearerr")
        self.do("pose", {"arr": np.asarray(pose, np.float32).tolist()})


@pytest.fixture
def server():
    with fake_server() as server:
        yield server


@pytest.fixture
def client(server):
    return PublicClient(server.url)


@pytest.fixture
def arm(server):
    return server.guard.station.parts["arm"]


@pytest.mark.parametrize(
    "name, key, shape",
    [
        ("getpos", "pose", (7,)),
        ("getpos_euler", "pose", (6,)),
        ("getvel", "vel", (6,)),
        ("getforce", "force", (3,)),
        ("gettorque", "torque", (3,)),
        ("getq", "q", (7,)),
        ("getdq", "dq", (7,)),
        ("getjacobian", "jacobian", (6, 7)),
        ("get_gripper", "gripper", ()),
    ],
)
def test_what_can_be_asked_for(client, name, key, shape):
    answer = client.ask(name)
    assert list(answer) == [key] and np.shape(answer[key]) == shape


def test_everything_at_once(client):
    state = client.ask("getstate")
    shapes = {name: np.shape(value) for name, value in state.items()}
    assert shapes == {
        "pose": (7,), "vel": (6,), "force": (3,), "torque": (3,), "q": (7,), "dq": (7,), "jacobian": (6, 7),
        "gripper_pos": (),
    }  # fmt: skip


def test_euler_angles_are_about_fixed_axes(client, arm):
    turn = Rotation.from_euler("xyz", [3.0, 0.1, -0.2])
    arm.command(pose=np.array([0.5, 0.1, 0.2, *turn.as_quat()]))
    np.testing.assert_allclose(client.ask("getpos_euler")["pose"], [0.5, 0.1, 0.2, 3.0, 0.1, -0.2], atol=1e-9)


@pytest.mark.parametrize(
    "name, body, text",
    [
        ("clearerr", None, "Clear"),
        ("startimp", None, "Started impedance"),
        ("stopimp", None, "Stopped impedance"),
        ("startwrench", None, "Started wrench"),
        ("stopwrench", None, "Stopped wrench"),
        ("jointreset", None, "Reset Joint"),
        ("reset", None, "Reset"),
        ("activate_gripper", None, "Activated"),
        ("reset_gripper", None, "Reset"),
        ("open_gripper", None, "Opened"),
        ("close_gripper", None, "Closed"),
        ("close_gripper_slow", None, "Closed"),
        ("move_gripper", {"gripper_pos": 100}, "Moved Gripper"),
        ("pose", {"arr": [0.5, 0, 0.31, 1, 0, 0, 0]}, "Moved"),
        ("wrench", {"arr": [0, 0, 1, 0, 0, 0]}, "Moved"),
        ("update_param", {"translational_stiffness": 1000}, "Updated compliance parameters"),
        ("set_load", {"mass": 0, "F_x_center_load": [0, 0, 0], "load_inertia": [0] * 9}, "Set Load"),
    ],
)
def test_what_can_be_done_and_what_is_said(client, name, body, text):
    assert client.do(name, body) == text


def test_poses_and_wrenches_reach_the_arm(client, arm):
    client.move([0.5, 0, 0.31, 1, 0, 0, 0])
    client.do("wrench", {"arr": [1, 2, 3, 0.1, 0.2, 0.3]})
    (pose, none), (nothing, wrench) = arm.commands
    np.testing.assert_allclose(pose, [0.5, 0, 0.31, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(wrench, [1, 2, 3, 0.1, 0.2, 0.3])
    assert none is None and nothing is None and "recover" not in arm.calls


def test_each_start_is_for_its_own_motion(client, arm):
    client.do("startimp")
    client.do("startwrench")
    assert arm.calls == ["start pose", "start wrench"]


def test_gripper_positions_reach_the_gripper(client, server):
    gripper = server.guard.station.grippers["arm"]
    client.do("open_gripper")
    client.do("close_gripper")
    client.do("close_gripper_slow")
    assert [opening for opening, _ in gripper.moves] == [1, 0, 0] and gripper.moves[-1][1] < 0.5
    for value, opening in ((0, 0), (255, 1), (51, 0.2), (-20, 0), (1000, 1)):
        client.do("move_gripper", {"gripper_pos": value})
        assert gripper.moves[-1][0] == pytest.approx(opening)
    client.do("reset_gripper")
    assert gripper.calls == ["reset"]


def test_a_gripper_that_counts_to_closed_is_understood(client, server):
    class Counting(FakeGripper):
        counts_to_closed = True

    gripper = server.guard.station.grippers["arm"] = Counting()
    client.do("move_gripper", {"gripper_pos": 255})
    client.do("move_gripper", {"gripper_pos": 51})
    assert [round(opening, 3) for opening, _ in gripper.moves] == [0, 0.8]


def test_what_is_clamped_is_said(client, arm):
    body = {"rotational_stiffness": 250, "translational_clip_x": 0.5, "rotational_clip_y": 0.5}
    text = client.do("update_param", body)
    assert text == (
        "Updated compliance parameters; translational_clip_x clamped to 0.1; rotational_clip_y clamped to 0.1"
    )
    assert arm.compliance.translational_clip_x == 0.1 and arm.compliance.rotational_stiffness == 250


@pytest.mark.parametrize(
    "name, body, status, kind",
    [
        ("pose", None, 400, "bad_request"),
        ("pose", {"arr": [0.5, 0, 0.31, 3.1, 0, 0]}, 400, "bad_request"),
        ("pose", {"arr": [0.5, 0, 0.31, 1, 1, 0, 0]}, 400, "bad_request"),
        ("pose", {"arr": [0.5, 0, -0.1, 1, 0, 0, 0]}, 422, "pose_outside_box"),
        ("pose", {"arr": [0.5, 0, 0.45, 1, 0, 0, 0]}, 422, "jump_too_far"),
        ("wrench", {"arr": [0, 0, 500, 0, 0, 0]}, 422, "wrench_too_strong"),
        ("update_param", {"stiffness": 1}, 400, "unknown_parameter"),
        ("move_gripper", {"gripper_pos": "open"}, 400, "bad_request"),
        ("set_load", {"mass": 1}, 400, "bad_request"),
        (
            "set_load",
            {"mass": 9, "F_x_center_load": [0] * 3, "load_inertia": [0] * 9},
            422,
            "load_out_of_range",
        ),
    ],
)
def test_what_is_refused_says_why(client, arm, name, body, status, kind):
    answer = client.post(name, body)
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert answer.json()["error"] and not arm.commands


def test_without_a_gripper_its_routes_say_so_and_the_others_work():
    with fake_server(grippers=False) as server:
        client = PublicClient(server.url)
        assert client.ask("getstate")["gripper_pos"] == 1.0
        for name in ("open_gripper", "close_gripper", "activate_gripper", "reset_gripper"):
            assert client.post(name).json()["kind"] == "no_gripper"


def test_two_arms_have_their_own_and_the_root_says_where():
    with fake_server(arms=("left", "right")) as server:
        answer = PublicClient(server.url).post("getpos")
        assert answer.status_code == 404 and "POST /left/getpos or /right/getpos" in answer.json()["error"]
        right = PublicClient(f"{server.url}/right")
        right.move([0.5, 0, 0.31, 1, 0, 0, 0])
        assert right.ask("getpos")["pose"][2] == pytest.approx(0.31)
        assert PublicClient(f"{server.url}/left").ask("getpos")["pose"][2] == 0.3
        right.do("stopimp")  # of one server, and so of both arms
        assert set(server.guard.station.errors()) == {"left", "right"}


COMPLIANCE = {
    "translational_stiffness": 2000, "translational_damping": 89, "rotational_stiffness": 150,
    "rotational_damping": 7, "translational_Ki": 0, "rotational_Ki": 0,
    "translational_clip_x": 0.0075, "translational_clip_neg_x": 0.002, "translational_clip_y": 0.0016,
    "translational_clip_neg_y": 0.0016, "translational_clip_z": 0.0055, "translational_clip_neg_z": 0.005,
    "rotational_clip_x": 0.01, "rotational_clip_neg_x": 0.01, "rotational_clip_y": 0.025,
    "rotational_clip_neg_y": 0.025, "rotational_clip_z": 0.005, "rotational_clip_neg_z": 0.005,
}  # fmt: skip
PRECISION = {
    **{name: 0.1 if "translational" in name else 0.5 for name in COMPLIANCE if "clip" in name},
    "translational_stiffness": 2000, "translational_damping": 89, "rotational_stiffness": 250,
    "rotational_damping": 9, "translational_Ki": 0, "rotational_Ki": 0,
}  # fmt: skip
# Measured once with a seated module, as one does on a robot.
SEATED = np.array([0.5, 0.0, 0.0336, 1.0, 0.0, 0.0, 0.0])


def test_a_public_client_drives_a_whole_episode():
    """To above the slot, down, then searching along it and levelling until the module is in."""
    with twin_server(seed=0) as server:
        client = PublicClient(server.url)
        client.do("update_param", COMPLIANCE)
        client.move(client.ask("getpos")["pose"])
        client.do("update_param", PRECISION)
        start, above = np.array(client.ask("getstate")["pose"]), SEATED + [0, 0, 0.04, 0, 0, 0, 0]
        for share in np.linspace(0.1, 1, 10):
            client.move(between(start, above, share))
            time.sleep(0.1)
        time.sleep(0.5)
        client.do("update_param", COMPLIANCE)
        state, forces, tilt = client.ask("getstate"), [], 0.0
        for step in range(100):
            began = time.monotonic()
            target = SEATED + [0.003 * np.sin(0.3 * step), 0, 0, 0, 0, 0, 0]
            target[2] = state["pose"][2] - 0.006
            if state["force"][2] > 2.5 and target[2] < SEATED[2]:
                tilt += 0.015 * state["torque"][1]  # one end is in: level
            target[3:] = (Rotation.from_euler("y", tilt) * Rotation.from_quat(SEATED[3:])).as_quat()
            client.move(target)
            time.sleep(max(0.0, began + 0.1 - time.monotonic()))
            state = client.ask("getstate")
            forces.append(state["force"][2])
            if server.guard.station.world.succeeded():
                break
        assert server.guard.station.world.succeeded(), f"not in after {len(forces)} steps: {state['pose']}"
        assert max(forces) > 2 and abs(state["pose"][2] - SEATED[2]) < 0.002
        client.do("stopimp")
        assert client.post("pose", {"arr": state["pose"]}).status_code == 409


def between(start, end, share):
    """On the straight line and the shortest turn between two poses."""
    first, last = Rotation.from_quat(start[3:]), Rotation.from_quat(end[3:])
    turn = Rotation.from_rotvec(share * (last * first.inv()).as_rotvec())
    return [*(start[:3] + share * (end[:3] - start[:3])), *(turn * first).as_quat()]
