"""The process that reads a gamepad for `Gamepad`: SDL in, lines of JSON out.

A process of its own, because SDL is one to a process: its video driver, its event queue, the
thread that must pump it and `pygame.quit` belong to whoever has a window open. So it imports
nothing of this package, and takes no part in what happens there.

A line is `{"pad", "axes", "down", "pressed", "unknown"}`: the pad's name or null; its axes in
[-1, 1]; buttons that are down, and that went down since the last line; pads that are plugged
in but whose buttons SDL does not know. One comes at every change, and every HEARTBEAT seconds.
"""

from __future__ import annotations

import json
import sys
import time

# SDL's names in SDL's order; y grows downwards, triggers go from 0 to 1.
AXES = ("leftx", "lefty", "rightx", "righty", "lefttrigger", "righttrigger")
BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick",
    "leftshoulder", "rightshoulder", "dpup", "dpdown", "dpleft", "dpright",
    "misc1", "paddle1", "paddle2", "paddle3", "paddle4", "touchpad",
)  # fmt: skip
PERIOD = 0.008  # between two looks [s]; SDL keeps what happens in between
HEARTBEAT = 0.1  # without a change [s]
SEARCH = 0.5  # between two searches for a pad: opening one makes its lights blink [s]


def main(wanted: str) -> None:
    """Print what a pad does until nobody reads it any more.

    Args:
        wanted: the first pad whose name holds this, whatever the case.
    """
    import pygame
    from pygame._sdl2 import controller

    pygame.display.init()  # SDL has no events without
    pygame.joystick.init()
    controller.init()
    pad, me, unknown = None, None, []
    said, said_at, searched_at = None, -HEARTBEAT, -SEARCH
    while True:
        now, events = time.monotonic(), pygame.event.get()
        if pad is not None and not pad.attached():
            pad = None
        if pad is None and now - searched_at > SEARCH:
            searched_at, pad = now, _find(controller, wanted)
            if pad is None:
                unknown = _unknown(pygame, controller)
            else:
                me, unknown, events = pad.as_joystick().get_instance_id(), [], []
                pygame.event.clear()  # a button that was down already was not pressed
        state = {"pad": None, "axes": [], "down": [], "pressed": [], "unknown": unknown}
        if pad is not None:
            presses = [e for e in events if e.type == pygame.CONTROLLERBUTTONDOWN and e.instance_id == me]
            state["pad"] = pad.name
            state["axes"] = [max(-1.0, round(pad.get_axis(i) / 32767, 3)) for i in range(len(AXES))]
            state["down"] = [name for i, name in enumerate(BUTTONS) if pad.get_button(i)]
            state["pressed"] = [BUTTONS[e.button] for e in presses if e.button < len(BUTTONS)]
        if state != said or state["pressed"] or now - said_at > HEARTBEAT:
            sys.stdout.write(json.dumps(state) + "\n")
            sys.stdout.flush()
            said, said_at = state, now
        time.sleep(PERIOD)


def _find(controller, wanted: str):
    for index in range(controller.get_count()):
        if controller.is_controller(index):
            pad = controller.Controller(index)
            if wanted.casefold() in pad.name.casefold():
                return pad
            pad.quit()
    return None


def _unknown(pygame, controller) -> list[str]:
    indices = [i for i in range(controller.get_count()) if not controller.is_controller(i)]
    sticks = [pygame.joystick.Joystick(index) for index in indices]
    return [f"{stick.get_name()!r} (GUID {stick.get_guid()})" for stick in sticks]


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:  # the reader is gone: nothing to do, and nobody to tell
        sys.stdout = None
