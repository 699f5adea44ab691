"""The window, on a virtual display."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from hilserl_envs.errors import RenderingError
from hilserl_envs.live.status import MODES
from hilserl_envs.live.window import Window
from tests import needs

SHOW = """
import sys, os, signal
import numpy as np
from hilserl_envs.live.window import Window
from hilserl_envs.live.status import Status
window = Window()
import pygame
red = np.full((32, 48, 3), (250, 10, 10), np.uint8)
grey = np.full((16, 16, 3), 90, np.uint8)
def show(name, images, **status):
    window.show(images, Status("PegTask", 7, 31, 3.1, **status))
    pygame.image.save(pygame.display.get_surface(), f"{sys.argv[1]}/{name}.png")
"""
EVERY_MODE_THEN_CLOSED = """
rates = {"success_rate": 0.85, "intervention_rate": 0.1, "kept": 3, "wanted": 20, "arm": "left"}
show("person", {"front": red, "wrist": grey}, person=True, message="Keep going", **rates)
show("policy", {"front": red[:, ::2]})
show("valued", {"front": red[:, ::2]}, value=0.63)
show("paused", {}, paused=True)
show("disconnected", {"front": red}, connected=False)
pygame.display.set_mode((60, 40))
show("tiny", {"front": red, "wrist": grey})
pygame.event.post(pygame.event.Event(pygame.QUIT))
window.show({"front": red}, Status())
print("open:", window.is_open)
window.show({"front": red}, Status())
window.close()
print("the run goes on")
"""
TERMINATED = """
print("ends", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
window.show({}, Status())
print("goes on")
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess:
    needs.program("xvfb-run", "xvfb xauth")
    needs.module("pygame")
    return subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-W", "ignore", "-c", SHOW + script, str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_frame_says_who_is_in_control_and_closing_it_stops_nothing(tmp_path):
    done = run(EVERY_MODE_THEN_CLOSED, tmp_path)
    assert done.stdout.splitlines()[-2:] == ["open: False", "the run goes on"], done.stderr
    for name, mode in MODES.items():
        picture = np.asarray(Image.open(tmp_path / f"{name}.png"))
        for corner in (picture[2, 2], picture[-3, 2], picture[-3, -3], picture[2, -3]):
            assert tuple(corner[:3]) == ImageColor.getrgb(mode.color)
    person = np.asarray(Image.open(tmp_path / "person.png"))[..., :3]
    shares = [np.mean((person == color).all(2)) for color in ((250, 10, 10), (90, 90, 90))]
    assert shares[0] > 0.3 and shares[1] > 0.2  # of all pixels; both cameras as high
    policy, valued = (
        np.asarray(Image.open(tmp_path / f"{name}.png"))[..., :3] for name in ("policy", "valued")
    )
    changed = np.argwhere((policy != valued).any(2))
    assert len(changed) and (changed[:, 0] > policy.shape[0] - 90).all()  # the value is in the foot


def test_an_open_window_does_not_swallow_the_end_of_the_run(tmp_path):
    done = run(TERMINATED, tmp_path)
    assert done.stdout.splitlines()[-1] == "ends", done.stderr


def test_without_a_display_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(RenderingError, match="needs a display.*'browser'.*xvfb-run"):
        Window()


def test_it_belongs_to_the_main_thread(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    errors = []

    def open_it():
        try:
            Window()
        except RenderingError as error:
            errors.append(str(error))

    thread = threading.Thread(target=open_it)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]
