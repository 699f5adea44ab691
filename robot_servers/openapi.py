"""The description of all routes that is served at /openapi.json, in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hilserl_envs.robot import MOTIONS, WRENCH_TIMEOUT
from hilserl_envs.wire import ENCODINGS, MAX_WAIT, STEP_TYPE, THINKING_TIME
from robot_servers.guard import Guard
from robot_servers.limits import MAX_LOAD, MAX_LOAD_OFFSET, PARAMETERS
from robot_servers.routes.own import ServerInfo
from robot_servers.routes.public import READS, TEXTS

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
POSE = "xyz [m] and quaternion xyzw of length 1, in the arm's base frame"
_JSON, _PLAIN, _JPEG = "application/json", "text/html", "image/jpeg"


def numbers(*shape: int, **more: Any) -> Schema:
    """Nested arrays of numbers."""
    items = numbers(*shape[1:]) if len(shape) > 1 else NUMBER
    return {"type": "array", "items": items, "minItems": shape[0], "maxItems": shape[0], **more}


def mapping(properties: Mapping[str, Schema], required: Iterable[str] | None = None, **more: Any) -> Schema:
    """An object with no other properties; all are required unless said otherwise."""
    wanted = list(properties if required is None else required)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": wanted,
        "additionalProperties": False,
        **more,
    }


def describe(guard: Guard, info: ServerInfo) -> Schema:
    """The description of a server."""
    arms, cameras = guard.station.arms, list(guard.station.cameras)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Robot server",
            "version": "1",
            "description": "Arms behind an impedance controller, their grippers and cameras. What is not "
            "done is refused: with 4xx for what the caller did, with 503 for a part that does not answer.",
        },
        "paths": {**_own(arms, cameras), **_streams(cameras), **_public(arms), **_of_twin(info)},
        "components": {"schemas": _schemas(arms)},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _by_arm(arms: Iterable[str], schema: Schema, required: bool = False) -> Schema:
    arms = list(arms)
    return mapping({name: schema for name in arms}, arms if required else [])


def _schemas(arms: tuple[str, ...]) -> dict[str, Schema]:
    arm = {
        "tcp_pose": numbers(7, description=POSE),
        "tcp_vel": numbers(6, description="linear [m/s], angular [rad/s]"),
        "tcp_force": numbers(3, description="[N], along the TCP's axes, positive where the robot pushes"),
        "tcp_torque": numbers(3, description="[Nm]"),
        "q": numbers(7, description="[rad]"),
        "dq": numbers(7, description="[rad/s]"),
        "jacobian": numbers(6, 7),
        "gripper_pose": {**NUMBER, "description": "0 closed to 1 open"},
    }
    state = {
        "time": {**NUMBER, "description": "of the robot's clock [s]"},
        "arms": _by_arm(arms, mapping(arm), True),
        "targets": _by_arm(arms, {"anyOf": [numbers(7), {"type": "null"}]}, True),
        "errors": {"type": "object", "additionalProperties": TEXT},
        "emergency_stop": {"anyOf": [TEXT, {"const": False}], "description": "why it is on, or false"},
        "held_by_deadman": {"type": "boolean"},
        "instance": {**TEXT, "description": "another one after the server was started again"},
    }
    told = {**state, "succeeded": {"type": "boolean", "description": "on the twin: whether the task is done"}}
    command = {
        "pose": numbers(7, description=POSE),
        "wrench": numbers(
            6,
            description=f"force [N], torque [Nm], base frame; lapses after {WRENCH_TIMEOUT:g} s, but not "
            f"before {THINKING_TIME:g} s after the answer of a step that waits no longer than that",
        ),
        "gripper": {**NUMBER, "minimum": 0, "maximum": 1, "description": "0 closed to 1 open"},
    }
    compliance = {
        name: {**NUMBER, "description": f"{low:g} to {high:g}; clamped beyond"}
        for name, (low, high) in PARAMETERS.items()
    }
    return {
        "Refusal": mapping({"error": TEXT, "kind": TEXT}),
        "State": mapping(told, state),
        "Commands": _by_arm(arms, mapping({k: _or_null(v) for k, v in command.items()}, [])),
        "Compliance": mapping(compliance, []),
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _answers(schema: Schema | None, kind: str = _JSON) -> Schema:
    content = {kind: {"schema": schema} if schema is not None else {}}
    refusal = {"description": "refused", "content": {_JSON: {"schema": _ref("Refusal")}}}
    return {"200": {"description": "done", "content": content}, "4XX": refusal, "503": refusal}


def _route(
    summary: str,
    answer: Schema | None,
    body: Schema | None = None,
    body_needed: bool = False,
    kind: str = _JSON,
    parameters: Iterable[Schema] = (),
) -> Schema:
    route: Schema = {"summary": summary, "responses": _answers(answer, kind)}
    if body is not None:
        route["requestBody"] = {"required": body_needed, "content": {_JSON: {"schema": body}}}
    if parameters := list(parameters):
        route["parameters"] = parameters
    return route


def _own(arms: tuple[str, ...], cameras: list[str]) -> dict[str, Schema]:
    state, anything = _ref("State"), {"type": "object"}
    camera = {"name": "name", "in": "path", "required": True, "schema": {"enum": cameras or [""]}}
    step = {
        "commands": _ref("Commands"),
        "wait": {**NUMBER, "minimum": 0, "maximum": MAX_WAIT, "description": "of robot time [s]"},
        "since": {**_or_null(NUMBER), "description": "robot time that `wait` counts from [s]"},
        "images": {
            "anyOf": [{"type": "boolean"}, {"type": "array", "items": {"enum": cameras or [""]}}],
            "description": "whether, or of which cameras, the answer holds the newest images",
        },
        "encoding": {"enum": list(ENCODINGS)},
        "instance": {**_or_null(TEXT), "description": "of the server that it is for; any other refuses it"},
    }
    load = {
        "arm": {"enum": list(arms)},
        "mass": {**NUMBER, "minimum": 0, "maximum": MAX_LOAD},
        "center": numbers(3, description=f"from the flange [m], each within {MAX_LOAD_OFFSET:g}"),
        "inertia": numbers(3, 3, description="[kg m^2]"),
    }
    clamped = mapping({"clamped": _by_arm(arms, {"type": "object", "additionalProperties": NUMBER})})
    parameters = mapping({"compliance": _by_arm(arms, _ref("Compliance"))})
    return {
        "/": {"get": _route("the operator's page", None, kind="text/html")},
        "/robot": {"get": _route("what there is", anything)},
        "/state": {"get": _route("the state now", state)},
        "/health": {"get": _route("what is wrong, and how long the server runs [s]", anything)},
        "/cameras": {"get": _route("the cameras and how old their newest frames are [s]", anything)},
        "/cameras/{name}.jpg": {
            "get": _route("the newest frame", None, kind=_JPEG, parameters=[camera]),
        },
        "/step": {
            "post": _route(
                "send commands, wait, answer with state and images: a line of JSON, then the images' bytes",
                None,
                mapping(step, []),
                kind=STEP_TYPE,
            )
        },
        "/configure": {
            "get": _route("the impedance parameters, their ranges and defaults", anything),
            "post": _route("change impedance parameters", clamped, parameters, True),
        },
        "/drive_by": {
            "post": _route(
                "say what arms will be commanded by next: where that is another controller's, it takes over",
                state,
                mapping({"motions": _by_arm(arms, {"enum": list(MOTIONS)})}),
                True,
            )
        },
        "/reset_joints": {
            "post": _route(
                "move joints to positions [rad], by default to the reset posture; answers when there",
                state,
                mapping({"q": _by_arm(arms, numbers(7))}, []),
            )
        },
        "/recover": {"post": _route("clear errors and hold the measured poses", state)},
        "/start": {"post": _route("start the controllers", state)},
        "/stop": {"post": _route("stop the controllers", state)},
        "/load": {"post": _route("what an arm carries", mapping({}), mapping(load), True)},
        "/emergency_stop": {"post": _route("stop, and refuse all motion until cleared", state, {})},
        "/emergency_stop/clear": {"post": _route("let motion through again; the arms hold", state)},
        "/openapi.json": {"get": _route("this description", anything)},
    }


def _streams(cameras: list[str]) -> dict[str, Schema]:
    rate = {"name": "hz", "in": "query", "schema": {**NUMBER, "minimum": 0.1, "maximum": 60}}
    camera = {"name": "name", "in": "path", "required": True, "schema": {"enum": cameras or [""]}}
    return {
        "/events": {
            "get": _route(
                "the state as server-sent events", None, kind="text/event-stream", parameters=[rate]
            )
        },
        "/cameras/{name}.mjpg": {
            "get": _route(
                "a camera as Motion JPEG", None, kind="multipart/x-mixed-replace", parameters=[camera, rate]
            )
        },
    }


def _public(arms: tuple[str, ...]) -> dict[str, Schema]:
    """The public server's routes; with two arms under their names."""
    shapes = {"tcp_pose": (7,), "tcp_vel": (6,), "tcp_force": (3,), "tcp_torque": (3,), "jacobian": (6, 7)}
    entries = {
        key: NUMBER if entry == "gripper_pose" else numbers(*shapes.get(entry, (7,)))
        for entry, key in READS.values()
    }
    bodies = {
        "pose": mapping({"arr": numbers(7, description=POSE)}),
        "wrench": mapping({"arr": numbers(6, description="force [N], torque [Nm]")}),
        "move_gripper": mapping({"gripper_pos": {**NUMBER, "description": "0 to 255, clipped beyond"}}),
        "set_load": mapping(
            {"mass": NUMBER, "F_x_center_load": numbers(3), "load_inertia": numbers(9)},
        ),
        "update_param": _ref("Compliance"),
    }
    routes = {
        name: _route("of the public server", TEXT, bodies.get(name), name != "update_param", _PLAIN)
        for name in TEXTS
    }
    for name, (_, key) in READS.items():
        routes[name] = _route("of the public server", mapping({key: entries[key]}))
    routes["getpos_euler"] = _route("of the public server", mapping({"pose": numbers(6)}))
    everything = {key: schema for key, schema in entries.items() if key != "gripper"}
    routes["getstate"] = _route("of the public server", mapping({**everything, "gripper_pos": NUMBER}))
    prefixes = [""] if len(arms) == 1 else [f"/{arm}" for arm in arms]
    return {f"{prefix}/{name}": {"post": route} for prefix in prefixes for name, route in routes.items()}


def _of_twin(info: ServerInfo) -> dict[str, Schema]:
    if info.backend != "twin":
        return {}
    seed = mapping({"seed": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53}}, [])
    return {
        "/twin/rearrange": {
            "post": _route("put arms and things where an episode starts", _ref("State"), seed)
        }
    }
