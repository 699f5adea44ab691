"""`teleop.gamepad_process` with a pad in it that SDL makes up: moved by lines of JSON on a pipe.

Run in the process's place. In the environment, VIRTUAL_PADS lists the pads at the start, and
VIRTUAL_GAMEPAD is the path of the pipe.
"""

import ctypes
import json
import os
import runpy
import signal
import threading
from pathlib import Path

PROCESS = Path(__file__).parents[1] / "hilserl_envs" / "teleop" / "gamepad_process.py"
KNOWN, UNKNOWN = 1, 0  # SDL's types of joysticks: a game controller, anything
_AXES, _BUTTONS = 6, 15


class _Description(ctypes.Structure):
    """SDL_VirtualJoystickDesc, version 1 (SDL_joystick.h)."""

    _fields_ = [
        *((name, ctypes.c_uint16) for name in ("version", "type", "axes", "buttons", "hats", "vendor")),
        *((name, ctypes.c_uint16) for name in ("product", "padding")),
        *((name, ctypes.c_uint32) for name in ("button_mask", "axis_mask")),
        ("name", ctypes.c_char_p),
        ("userdata", ctypes.c_void_p),
        ("callbacks", ctypes.c_void_p * 6),
    ]


class VirtualPad:
    """Makes pads, moves the newest one, takes pads away."""

    def __init__(self, sdl: ctypes.CDLL):
        self._sdl, self._pad = sdl, None
        sdl.SDL_JoystickOpen.restype = ctypes.c_void_p

    def plug(self, name: str, kind: int = KNOWN) -> None:
        description = _Description(
            version=1, type=kind, axes=_AXES, buttons=_BUTTONS, name=name.encode(), vendor=1, product=1
        )
        index = self._sdl.SDL_JoystickAttachVirtualEx(ctypes.byref(description))
        self._pad = ctypes.c_void_p(self._sdl.SDL_JoystickOpen(index))

    def unplug(self, index: int) -> None:
        self._sdl.SDL_JoystickDetachVirtual(index)

    def axis(self, axis: int, level: float) -> None:
        self._sdl.SDL_JoystickSetVirtualAxis(self._pad, axis, ctypes.c_int16(round(level * 32767)))

    def button(self, button: int, down: bool) -> None:
        self._sdl.SDL_JoystickSetVirtualButton(self._pad, button, down)
        self._sdl.SDL_JoystickUpdate()  # else a short press may begin and end between two looks

    def hang(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


def follow(path: str, pad: VirtualPad) -> None:
    # Open for writing too, so that the pipe never ends: a reader that opens it anew after each
    # writer breaks the pipe of a writer who comes just before it closes.
    with open(os.open(path, os.O_RDWR)) as commands:
        for line in commands:
            name, *arguments = json.loads(line)
            getattr(pad, name)(*arguments)


if __name__ == "__main__":
    import pygame

    pygame.joystick.init()
    virtual = VirtualPad(ctypes.CDLL(pygame.base.__file__))
    for arguments in json.loads(os.environ["VIRTUAL_PADS"]):
        virtual.plug(*arguments)
    threading.Thread(target=follow, args=(os.environ["VIRTUAL_GAMEPAD"], virtual), daemon=True).start()
    runpy.run_path(str(PROCESS), run_name="__main__")
