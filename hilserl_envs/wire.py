"""What a robot server and its client say to each other: JSON, and the answer of a control step.

Both sides use these functions, so they can't disagree.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilserl_envs.cameras import Frame
from hilserl_envs.errors import ActionError, RobotError, check_name
from hilserl_envs.json_values import check_number, check_numbers, check_object, short
from hilserl_envs.recording.image_codec import ImageCodec, image_codec
from hilserl_envs.robot import ArmCommand, ArmState, RobotState

STEP_TYPE = "application/x-hilserl-step"  # content type of a step's answer
ENCODINGS = ("jpeg", "raw")
MAX_WAIT = 10.0  # of a step [s]
# How long a client may think between a step's answer and the next step [s of robot time], half a
# control step at 10 Hz: the step's wrenches lapse so long after its answer, not before.
THINKING_TIME = 0.05

_STATE_SHAPES = {
    "tcp_pose": (7,),
    "tcp_vel": (6,),
    "tcp_force": (3,),
    "tcp_torque": (3,),
    "q": (7,),
    "dq": (7,),
    "jacobian": (6, 7),
}


def state_to_json(state: RobotState) -> dict[str, Any]:
    """A state as plain values: {"time": s, "arms": {name: {"tcp_pose": [7], ..., "gripper_pose": 1.0}}}.

    Raises:
        RobotError: an arm measures something that is not finite, which JSON can't say.
    """
    arms = {}
    for name, arm in state.arms.items():
        arms[name] = {key: getattr(arm, key).tolist() for key in _STATE_SHAPES}
        arms[name]["gripper_pose"] = float(arm.gripper_pose)
        for key in _STATE_SHAPES:
            if not np.isfinite(getattr(arm, key)).all():
                raise RobotError(f"{key} of arm {name!r} is not finite: {arms[name][key]}; recover the robot")
    return {"time": float(state.time), "arms": arms}


def state_from_json(data: Any) -> RobotState:
    """The state that `state_to_json` made plain, with what else a server says of it.

    Raises:
        RobotError: it is none.
    """
    try:
        arms = {
            str(name): ArmState(
                **{key: check_numbers(arm[key], shape, key) for key, shape in _STATE_SHAPES.items()},
                gripper_pose=check_number(arm["gripper_pose"], -1.0, 2.0, "gripper_pose"),
            )
            for name, arm in data["arms"].items()
        }
        succeeded = data.get("succeeded")
        if succeeded not in (True, False, None):
            raise ActionError(f"succeeded is true, false or absent, got {short(succeeded)}")
        return RobotState(check_number(data["time"], -1e12, 1e12, "time"), arms, succeeded)
    except (ActionError, AttributeError, KeyError, TypeError) as error:
        raise RobotError(f"the server's answer is no state of a robot: {error!r}") from None


def commands_to_json(commands: Mapping[str, ArmCommand]) -> dict[str, Any]:
    """Commands as plain values: {name: {"pose": [7], "wrench": [6], "gripper": 1.0}}; None is left out."""
    plain = {}
    for name, command in commands.items():
        parts = {"pose": command.pose, "wrench": command.wrench, "gripper": command.gripper}
        plain[name] = {
            key: value.tolist() if isinstance(value, np.ndarray) else float(value)
            for key, value in parts.items()
            if value is not None
        }
    return plain


def commands_from_json(data: Any, arms: Collection[str]) -> dict[str, ArmCommand]:
    """The commands that `commands_to_json` made plain.

    Args:
        data: parsed JSON.
        arms: names of those that there are.

    Raises:
        ActionError: another arm, or something that is no command of it.
    """
    commands = {}
    for name, parts in check_object(data, arms, "commands").items():
        parts = check_object(parts, ("pose", "wrench", "gripper"), f"the command of arm {name!r}")
        pose, wrench, gripper = (parts.get(key) for key in ("pose", "wrench", "gripper"))
        commands[name] = ArmCommand(
            pose=None if pose is None else check_numbers(pose, (7,), f"pose of arm {name!r}"),
            wrench=None if wrench is None else check_numbers(wrench, (6,), f"wrench of arm {name!r}"),
            gripper=None if gripper is None else check_number(gripper, 0, 1, f"gripper of arm {name!r}"),
        )
    return commands


@dataclass(frozen=True)
class StepRequest:
    """The body of POST /step.

    Args:
        commands: by arm; none is needed.
        wait: robot time [s] to let pass before the answer, 0 to `MAX_WAIT`.
        since: robot time [s] that `wait` counts from; None counts from when the commands
            are taken. What is past already is not waited for.
        images: cameras whose newest images the answer shall hold; True for all, False for none.
        encoding: "jpeg" or "raw".
        instance: of the server that it is for, as its states tell it; any other refuses it.

    Raises:
        ActionError: a value of another kind or out of range.
    """

    commands: Mapping[str, ArmCommand] = dataclasses.field(default_factory=dict)
    wait: float = 0.0
    since: float | None = None
    images: bool | tuple[str, ...] = False
    encoding: str = "jpeg"
    instance: str | None = None

    def __post_init__(self) -> None:
        check_number(self.wait, 0.0, MAX_WAIT, "wait [s]")
        if self.since is not None:
            check_number(self.since, -1e12, 1e12, "since [s of robot time]")
        if self.encoding not in ENCODINGS:
            raise ActionError(f"encoding must be one of {', '.join(ENCODINGS)}, got {short(self.encoding)}")
        if not isinstance(self.instance, str | None):
            raise ActionError(f"instance must be a text or null, got {short(self.instance)}")

    def to_json(self) -> dict[str, Any]:
        return {
            "commands": commands_to_json(self.commands),
            "wait": self.wait,
            "since": self.since,
            "images": self.images if isinstance(self.images, bool) else list(self.images),
            "encoding": self.encoding,
            "instance": self.instance,
        }

    @classmethod
    def from_json(cls, data: Any, arms: Collection[str], cameras: Collection[str]) -> StepRequest:
        """The request that parsed JSON is; every key may be absent, `since` null.

        Raises:
            ActionError: it is none for a robot with these arms and cameras.
        """
        values = dict(check_object(data, [field.name for field in dataclasses.fields(cls)], "a step"))
        images = values.get("images", False)
        if isinstance(images, list):
            for name in images:
                if not isinstance(name, str) or name not in cameras:
                    raise ActionError(
                        f"there is no camera {short(name)}; known: {', '.join(sorted(cameras))}"
                    )
            values["images"] = tuple(dict.fromkeys(images))
        elif not isinstance(images, bool):
            raise ActionError(f"images must be true, false or names of cameras, got {short(images)}")
        return cls(**values | {"commands": commands_from_json(values.get("commands", {}), arms)})


def pack(answer: Mapping[str, Any], frames: Mapping[str, Frame], encoding: str = "jpeg") -> bytes:
    """The body of a step's answer: one line of JSON, then the images, one after the other.

    Args:
        answer: plain values; it gains "images", a list of {"name", "encoding", "shape",
            "bytes", "time", "number"} in the order of the images.
        frames: by camera.
        encoding: "jpeg" or "raw".
    """
    encode = _codec(encoding).encode
    blobs = {name: encode(frame.image) for name, frame in frames.items()}
    images = [
        {
            "name": name,
            "encoding": encoding,
            "shape": list(frame.image.shape),
            "bytes": len(blobs[name]),
            "time": frame.time,
            "number": frame.number,
        }
        for name, frame in frames.items()
    ]
    line = json.dumps({**answer, "images": images}, allow_nan=False, separators=(",", ":"))
    return b"".join([line.encode(), b"\n", *blobs.values()])


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, Frame]]:
    """The answer and the frames that `pack` put into a body. The images are the caller's own.

    Raises:
        RobotError: the body is none of those, or was cut off.
    """
    line, newline, blobs = body.partition(b"\n")
    try:
        if not newline:
            raise ValueError("its first line has no end")
        answer, frames, start = json.loads(line), {}, 0
        for entry in answer["images"]:
            shape, stop = tuple(entry["shape"]), start + entry["bytes"]
            if stop > len(blobs):
                raise ValueError(f"it was cut off after {len(body)} bytes")
            image = _codec(entry["encoding"]).decode(blobs[start:stop], shape)
            if image.shape != shape:
                raise ValueError(f"an image of shape {image.shape} came as {shape}")
            frames[entry["name"]] = Frame(np.array(image), float(entry["time"]), int(entry["number"]))
            start = stop
        if start != len(blobs):
            raise ValueError(f"{len(blobs) - start} bytes follow its last image")
        return answer, frames
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # ConfigError is a ValueError
        raise RobotError(f"the server's answer is no step's: {error!r}") from None


def chosen_cameras(images: bool | Iterable[str], cameras: Iterable[str]) -> list[str]:
    """Names of the cameras that a request's `images` asks for."""
    if isinstance(images, bool):
        return list(cameras) if images else []
    return list(images)


@functools.cache
def _codec(encoding: str) -> ImageCodec:
    return image_codec(check_name(encoding, ENCODINGS, "encoding"))
