"""What a teleoperation device says, and the one method it must have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hilserl_envs.errors import ActionError, check_array, check_name

if TYPE_CHECKING:
    import gymnasium

# What buttons and keys can mean. Devices map theirs to these names.
ROLES = (
    "takeover",  # held: in control even without a motion; with `toggle`, a press takes and gives control
    "gripper",  # a press closes the gripper, the next one opens it
    "close",
    "open",
    "success",  # this episode, or this frame, is a success
    "failure",
    "discard",  # throw the episode away and do it again
    "pause",  # a press halts the session, the next one goes on
    "switch_arm",  # one hand on two arms: drive the other one
)
GRIPPER_COMMANDS = ("close", "stay", "open", "toggle")


@dataclass(frozen=True, eq=False)
class ArmMotion:
    """What a person wants of one arm for the next control step.

    Args:
        motion: displacement (3,) then rotation vector (3,), each number in [-1, 1], in
            the person's axes: x away from them, y to their left, z up. Scales belong
            to the task; in a dynamic one they are force and torque.
        gripper: "close", "stay", "open", or "toggle": whichever of close and open the
            gripper was not told last.

    Raises:
        ActionError: a motion of a wrong shape, not finite or outside [-1, 1].
        ConfigError: an unknown gripper command.
    """

    motion: np.ndarray = field(default_factory=lambda: np.zeros(6))
    gripper: str = "stay"

    def __post_init__(self) -> None:
        motion = check_array(self.motion, (6,), "a teleoperated motion", ActionError)
        if np.abs(motion).max() > 1:
            raise ActionError(f"a teleoperated motion lies in [-1, 1], got {motion.tolist()}")
        motion.setflags(write=False)
        object.__setattr__(self, "motion", motion)
        check_name(self.gripper, GRIPPER_COMMANDS, "gripper command")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArmMotion):
            return NotImplemented
        return self.gripper == other.gripper and np.array_equal(self.motion, other.motion)

    def __hash__(self) -> int:
        return hash((self.motion.tobytes(), self.gripper))

    @property
    def still(self) -> bool:
        """Whether nothing is asked of the arm."""
        return self.gripper == "stay" and not self.motion.any()


@dataclass(frozen=True)
class TeleopCommand:
    """What the person does now.

    Args:
        arms: by arm name; an arm that is not there shall stay where it is.
        acting: whether the person moves an arm or a gripper.
        held: roles (see `ROLES`) whose buttons are down.
        pressed: roles whose buttons went down since the last read, however briefly.
        connected: False while the device is gone; then nothing else is set.
    """

    arms: Mapping[str, ArmMotion] = field(default_factory=dict)
    acting: bool = False
    held: frozenset[str] = frozenset()
    pressed: frozenset[str] = frozenset()
    connected: bool = True


class Device(ABC):
    """Something by which a person (or a script in their place) drives the arms.

    To add one, derive from this, implement `read`, and enter it in `teleop.DEVICES`.

    Attributes:
        Settings: frozen dataclass of its settings, the second argument of the constructor.
        real_time: whether a person holds it, so that time must pass at its real pace.
        in_base_frame: its motions are along the axes of each arm's base, however anybody
            stands; a person's are along their own.
    """

    Settings: ClassVar[type]
    real_time: bool = True
    in_base_frame: bool = False

    @classmethod
    def for_env(cls, env: gymnasium.Env, settings: Any) -> Device:
        """The device for an environment's arms."""
        return cls(env.unwrapped.action_layout, settings)

    @abstractmethod
    def read(self) -> TeleopCommand:
        """The newest command. Never blocks, and takes far less than a millisecond.

        Presses since the last read are in it, and in no later one: one reader a step.
        """

    def begin(self, seed: int | None) -> None:  # noqa: B027 (a device need not care)
        """A new episode starts."""

    def close(self) -> None:  # noqa: B027
        """Release the device; safe to call twice."""

    def __deepcopy__(self, memo: dict) -> Device:
        # gymnasium copies the arguments of wrappers; a thing in somebody's hand has no copy.
        return self


class FakeDevice(Device):
    """A device without hardware, for unit tests: says what it is told to.

    Args:
        commands: answers of the first reads; after them nobody acts.
    """

    @dataclass(frozen=True)
    class Settings:
        """None."""

    real_time = False

    def __init__(self, commands: Iterable[TeleopCommand] = ()):
        self.commands = list(commands)
        self.seeds: list[int | None] = []
        self.closed = False

    def read(self) -> TeleopCommand:
        return self.commands.pop(0) if self.commands else TeleopCommand()

    def begin(self, seed: int | None) -> None:
        self.seeds.append(seed)

    def close(self) -> None:
        self.closed = True
