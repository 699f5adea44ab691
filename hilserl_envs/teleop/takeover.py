"""`Takeover`: who is in control, the person or the policy."""

from __future__ import annotations

from dataclasses import dataclass

from hilserl_envs.errors import check_fields, check_name, checked_names, ranged
from hilserl_envs.teleop.device import TeleopCommand

MODES = ("hold", "toggle")


@checked_names
@dataclass(frozen=True)
class TakeoverSettings:
    """How the person takes and gives control.

    Args:
        mode: "hold": in control while they move something or hold "takeover", and a little
            longer; "toggle": a press of "takeover" takes control, the next one gives it back.
        release_delay: with "hold", how long control stays with the person after the last
            motion [s], the arm holding still; bridges the pauses between two motions.

    Raises:
        ConfigError: an unknown mode, or a delay out of range.
    """

    mode: str = "hold"
    release_delay: float = ranged(0.5, 0.0, 10.0)

    def __post_init__(self) -> None:
        check_name(self.mode, MODES, "takeover mode")
        check_fields(self)


class Takeover:
    """Follows the commands, one a control step, and says who is in control.

    A device that is lost while its person is in control leaves them in control: the arm
    holds still rather than go on by itself. It ends as any other absence does once the
    device is back.

    Args:
        settings: see `TakeoverSettings`.
        control_hz: control steps a second.
    """

    def __init__(self, settings: TakeoverSettings | None = None, control_hz: float = 10.0):
        self._settings = settings or TakeoverSettings()
        self._delay = round(self._settings.release_delay * control_hz)
        self._person, self._gone, self._idle = False, False, 0

    @property
    def person(self) -> bool:
        """Whether the person is in control."""
        return self._person

    def begin(self) -> None:
        """A new episode: `hold` starts with the policy, `toggle` goes on as it was.

        While the device is gone, both go on as they were.
        """
        if self._settings.mode == "hold" and not self._gone:
            self._person = False

    def update(self, command: TeleopCommand) -> bool:
        """Whether the person is in control for the step that this command is for."""
        self._gone = not command.connected
        if self._gone:
            return self._person
        if self._settings.mode == "toggle":
            self._person ^= "takeover" in command.pressed
        elif command.acting or "takeover" in command.held | command.pressed:
            self._person, self._idle = True, 0
        else:
            self._idle += 1
            self._person = self._person and self._idle <= self._delay
        return self._person
