"""`open_view`: the view that suits the machine."""

import logging

import numpy as np
import pytest

from hilserl_envs import live
from hilserl_envs.errors import ConfigError, RenderingError
from hilserl_envs.live import NoView, Status, View, open_view
from hilserl_envs.live import window as window_module
from hilserl_envs.teleop import FakeDevice
from tests import needs


@pytest.fixture(autouse=True)
def packages():
    needs.module("waitress")
    needs.module("simplejpeg")


@pytest.fixture
def headless(monkeypatch):
    monkeypatch.setattr(live.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_auto_without_a_display_is_a_page(headless, caplog):
    view = open_view("auto", FakeDevice())
    try:
        assert view.kind == "browser" and isinstance(view, View)
        assert view.url in caplog.text
        view.show({"front": np.zeros((8, 8, 3), np.uint8)}, Status())
    finally:
        view.close()


def test_auto_with_a_display_is_a_window(headless, monkeypatch):
    class FakeWindow:
        kind = "window"

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window_module, "Window", FakeWindow)
    assert isinstance(open_view("auto"), FakeWindow)


def test_auto_with_a_display_that_does_not_answer_is_a_page_and_says_why(headless, monkeypatch, caplog):
    def broken():
        raise RenderingError("it does not open")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window_module, "Window", broken)
    with caplog.at_level(logging.WARNING):
        view = open_view("auto")
    view.close()
    assert view.kind == "browser" and "it does not open" in caplog.text
    with pytest.raises(RenderingError):
        open_view("window")


@pytest.mark.parametrize("kind", ["auto", "browser"])
def test_the_browser_device_has_a_page_already(kind, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    device = FakeDevice()
    device.page = NoView()
    assert open_view(kind, device) is device.page


def test_none_shows_nothing():
    assert isinstance(open_view("none"), NoView)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="unknown live view 'brower': did you mean 'browser'"):
        open_view("brower")
