"""A camera that a thread reads: the newest picture at once, and every way of losing it."""

import logging
import threading
import time

import numpy as np
import pytest

from hilserl_envs.cameras import Camera, CameraReader, reader
from hilserl_envs.errors import CameraError, ConfigError


class Scripted:
    """A source that shows `number` whenever it changes, and raises or calls what the test puts in."""

    size = (4, 6)

    def __init__(self):
        self.number, self.shown = 1, None
        self.on_open = self.on_read = None
        self.opened = self.closed = 0

    def __str__(self):
        return "Scripted 7"

    def open(self):
        self.opened += 1
        self.shown = None
        if self.on_open is not None:
            raise self.on_open

    def read(self, timeout):
        if callable(self.on_read):
            self.on_read()
        elif self.on_read is not None:
            raise self.on_read
        if self.number == self.shown:
            time.sleep(min(timeout, 0.002))
            return None
        self.shown = self.number
        return np.full((4, 6, 3), self.number % 256, np.uint8), self.number

    def close(self):
        self.closed += 1


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(reader, "RETRY", 0.02)
    monkeypatch.setattr(reader, "STALL", 0.1)


@pytest.fixture
def source():
    return Scripted()


@pytest.fixture
def camera(source):
    made = CameraReader(source, stale_after=10.0)
    yield made
    source.on_read = None
    made.close()


def until(condition, what, timeout=5.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.002)


def test_it_is_a_camera_whose_newest_picture_is_there_at_once(source, camera):
    assert isinstance(camera, Camera) and camera.size == (4, 6) and camera.error() is None
    source.number = 9
    until(lambda: camera.frame().image[0, 0, 0] == 9, "the new picture")
    assert 0 <= time.monotonic() - camera.frame().time < 5


def test_a_picture_is_the_readers_own(camera):
    camera.frame().image[:] = 200
    assert camera.frame().image.max() == 1


def test_lost_pictures_show_as_gaps_also_after_it_was_opened_anew(source, camera):
    first = camera.frame().number
    source.number += 3
    until(lambda: camera.frame().number != first, "the next picture")
    assert camera.frame().number == first + 3
    source.on_read = CameraError("the cable is out")
    until(camera.error, "the loss")
    source.number, source.on_read = 1, None  # it counts from its own start again
    until(lambda: camera.error() is None, "its return")
    assert camera.frame().number == first + 4


def test_a_picture_that_is_shown_again_is_not_a_new_one(source):
    camera = CameraReader(source, stale_after=0.05)
    source.on_read = lambda: setattr(source, "shown", None)
    until(camera.error, "the frozen picture being noticed")
    assert "frozen" in camera.error()
    source.on_read = None
    camera.close()


def test_a_source_that_hangs_is_reported_and_nobody_waits_for_it(source):
    camera, go_on = CameraReader(source, stale_after=0.05), threading.Event()
    source.on_read = go_on.wait
    until(camera.error, "the hanging source being noticed")
    began = time.monotonic()
    with pytest.raises(CameraError, match=r"Scripted 7 is frozen: its newest picture is \d\.\d s old"):
        camera.frame()
    assert time.monotonic() - began < 1
    source.on_read, source.number = None, 2
    go_on.set()
    until(lambda: camera.error() is None, "its return")
    camera.close()


def test_a_lost_source_is_reported_once_and_opened_until_it_is_back(source, camera, caplog):
    source.on_read = source.on_open = CameraError("the cable is out")
    until(lambda: source.opened > 3, "more tries")
    assert camera.error() == "the cable is out"
    with pytest.raises(CameraError, match="the cable is out"):
        camera.frame()
    source.on_read = source.on_open = None
    until(lambda: camera.error() is None, "its return")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    gone, back = caplog.messages
    assert "the cable is out" in gone and "tried again" in gone and "Scripted 7 is back" in back


def test_a_silent_source_is_opened_anew(source, camera):
    until(lambda: source.opened > 1 and source.closed > 0, "another try")
    source.number = 2
    until(lambda: camera.error() is None and camera.frame().image[0, 0, 0] == 2, "its return")


def test_an_error_nobody_foresaw_is_logged_with_its_place_and_survived(source, camera, caplog):
    source.on_read = ZeroDivisionError("oops")
    until(camera.error, "the error")
    assert camera.error() == "Scripted 7 fails: ZeroDivisionError: oops"
    source.on_read = None
    until(lambda: camera.error() is None, "its return")
    assert caplog.records[0].exc_info is not None


def test_closing_ends_the_thread_and_is_said(source, camera):
    camera.close()
    camera.close()
    assert "Scripted 7" not in [thread.name for thread in threading.enumerate()]
    assert source.closed == source.opened
    with pytest.raises(CameraError, match="Scripted 7 is closed"):
        camera.frame()


def test_the_constructor_raises_what_opening_raised_and_leaves_no_thread(source):
    source.on_open = CameraError("no such camera")
    with pytest.raises(CameraError, match="no such camera"):
        CameraReader(source)
    assert "Scripted 7" not in [thread.name for thread in threading.enumerate()]


def test_the_constructor_waits_for_the_first_picture_but_not_for_ever(source, monkeypatch):
    source.shown = source.number
    source.open = lambda: None
    with pytest.raises(CameraError, match="Scripted 7 gives no pictures"):
        CameraReader(source)
    monkeypatch.setattr(reader, "START", 0.05)
    go_on = threading.Event()
    source.on_read = go_on.wait
    threading.Timer(0.2, go_on.set).start()
    with pytest.raises(CameraError, match="Scripted 7 does not answer"):
        CameraReader(source)


@pytest.mark.parametrize("age", [0, -1, float("nan")])
def test_a_wrong_age_is_refused(source, age):
    with pytest.raises(ConfigError, match="stale_after is a time above 0 s"):
        CameraReader(source, stale_after=age)
