"""A thousand seeded requests that make no sense: no crash, no motion outside the box, a clear answer each."""

import copy
import json

import numpy as np
import requests

from tests.servers import twin_server

REFUSED = 1000
POSE = [0.5, 0.0, 0.08, 1.0, 0.0, 0.0, 0.0]
COMPLIANCE = {"translational_stiffness": 2000, "rotational_clip_x": 0.05}
BODIES = {
    "pose": {"arr": POSE},
    "wrench": {"arr": [0.0, 0.0, 5.0, 0.0, 0.0, 0.0]},
    "move_gripper": {"gripper_pos": 0},
    "set_load": {"mass": 0.1, "F_x_center_load": [0, 0, 0.1], "load_inertia": [0.001] * 9},
    "update_param": COMPLIANCE,
    "step": {
        "commands": {"arm": {"pose": POSE, "wrench": [0.0] * 6, "gripper": 0.0}},
        "wait": 0.01,
        "since": 0.0,
        "images": ["wrist_1"],
        "encoding": "raw",
    },
    "configure": {"compliance": {"arm": COMPLIANCE}},
    "reset_joints": {"q": {"arm": [0.0, 0.34, 0.0, -2.3, 0.0, 2.65, 0.78]}},
    "load": {"arm": "arm", "mass": 0.1, "center": [0, 0, 0.1], "inertia": [[0.001] * 3] * 3},
    "twin/rearrange": {"seed": 1},
}
ODD = (
    None, True, False, "", "x" * 500, "NaN", -1, 0, 1e-300, 1e308, -1e308, 10**400, [], {}, [[]], [None],
    {"arm": None}, {"": {}}, "0.5", float("nan"), float("inf"), -float("inf"), {"__proto__": 1}, "\u0000",
)  # fmt: skip


def places(value, path=()):
    """Paths to everything inside a JSON value, itself included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoiled(value, rng):
    """A body with one place in it replaced, removed, doubled or moved."""
    value = copy.deepcopy(value)
    path = list(places(value))
    path = path[rng.integers(len(path))]
    odd = ODD[rng.integers(len(ODD))]
    if not path:
        return odd
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    kind = rng.integers(4)
    if kind == 0 and isinstance(holder, dict):
        holder[f"{path[-1]}x"] = holder.pop(path[-1])
    elif kind == 1:
        del holder[path[-1]]
    elif kind == 2 and isinstance(holder, list):
        holder.append(holder[0])
    elif kind == 3 and isinstance(holder[path[-1]], float):
        holder[path[-1]] += float(rng.choice([1e-4, 0.2, -0.2, 5, -5, 1e6]))
    else:
        holder[path[-1]] = odd
    return value


def raw_body(value, rng):
    """The bytes of a request and its content type, now and then no JSON at all."""
    body = json.dumps(value).encode()
    kind = rng.integers(12)
    if kind == 0:
        body = body[: rng.integers(len(body) + 1)]
    elif kind == 1:
        body = rng.integers(0, 256, 200, np.uint8).tobytes()
    elif kind == 2:
        depth = int(rng.integers(100, 20_000))
        body = b'{"arr":' + b"[" * depth + b"]" * depth + b"}"
    elif kind == 3:
        body = body + b" " * int(rng.integers(60_000, 200_000))
    types = ["application/json"] * 8 + [
        "text/plain",
        "",
        "application/json; charset=utf-16",
        "multipart/form-data",
    ]
    return body, types[rng.integers(len(types))]


def test_a_thousand_requests_that_make_no_sense(caplog):
    rng, session, names = np.random.default_rng(5), requests.Session(), list(BODIES)
    with twin_server(speed=5.0) as server:
        guard, sent = server.guard, []
        box, command = guard.settings, guard.station.command

        def recorded(commands):
            sent.extend(one.pose for one in commands.values() if one.pose is not None)
            command(commands)

        guard.station.command = recorded
        refused = 0
        while refused < REFUSED:
            name = names[rng.integers(len(names))]
            body, kind = raw_body(spoiled(BODIES[name], rng), rng)
            answer = session.post(
                f"{server.url}/{name}", data=body, headers={"Content-Type": kind}, timeout=30
            )
            assert answer.status_code < 500, (name, body[:300], answer.text)
            if answer.status_code >= 400:
                told = answer.json()
                refused += 1
                assert set(told) == {"error", "kind"} and 0 < len(told["error"]) < 700, (name, told)
            measured = guard.station.read().arms["arm"].tcp_pose[:3]
            assert (measured > np.array(box.box_low) - 0.005).all() and (measured < box.box_high).all()
        for pose in sent:
            assert np.isfinite(pose).all() and abs(np.linalg.norm(pose[3:]) - 1) < 1e-9
            assert (pose[:3] >= box.box_low).all() and (pose[:3] <= box.box_high).all()
        assert session.post(f"{server.url}/pose", json={"arr": pose_now(guard)}, timeout=5).text == "Moved"
    assert "a fault of this server" not in caplog.text


def pose_now(guard):
    return guard.station.read().arms["arm"].tcp_pose.tolist()
