"""The page in a real browser: what is done there is what the device says, and it ends when it ends."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.live import controls
from hilserl_envs.live.status import Status
from hilserl_envs.teleop import TeleopCommand, make_device
from hilserl_envs.teleop.browser import Browser, BrowserSettings
from hilserl_envs.teleop.gamepad_mapping import read_mapping
from hilserl_envs.teleop.keys import START
from tests.conftest import CHROMIUM_ARGUMENTS, FAR
from tests.driven import Driven, until
from tests.generic_env import GenericEnv

ONE, TWO = GenericEnv().action_layout, GenericEnv(arms=2).action_layout
NO_GRIPPER = GenericEnv(gripper=False).action_layout

GAMEPAD = """
window.pad = {id: "Test Pad", index: 0, connected: true, mapping: "standard", axes: [0, 0, 0, 0],
              buttons: Array.from({length: 17}, () => ({pressed: false, value: 0}))};
navigator.getGamepads = () => [null, window.pad];
window.button = (i, value) => { pad.buttons[i] = {pressed: value > 0.5, value}; };
"""
SPACEMOUSE = """
class Mouse extends EventTarget {
  opened = false; productName = "Test Mouse"; vendorId = 0x256f;
  collections = [{usagePage: 1, usage: 8}];
  async open() { this.opened = true; }
  report(reportId, bytes) {
    const data = new DataView(new Uint8Array(bytes).buffer);
    this.dispatchEvent(Object.assign(new Event("inputreport"), {device: this, reportId, data}));
  }
}
window.mouse = new Mouse();
const hid = new EventTarget();
hid.getDevices = async () => [];
hid.requestDevice = async (options) => { window.asked = options; return [window.mouse]; };
Object.defineProperty(navigator, "hid", {value: hid});
"""


FRENCH = """
Object.defineProperty(navigator, "keyboard", {value: {getLayoutMap: async () => new Map([["KeyW", "z"]])}});
"""


class Desk(Driven):
    """A device, and pages of it in a browser."""

    def __init__(self, chromium, layout=ONE, **settings):
        self._chromium, self._contexts = chromium, []
        self.device = Browser(layout, BrowserSettings(**({"ramp": 0.0, "timeout": 2.0} | settings)))
        self.errors: list[str] = []

    def open(self, script: str = "", host: str = "127.0.0.1"):
        """The page, once it has got an answer."""
        context = self._chromium.new_context(viewport={"width": 1120, "height": 500})
        self._contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(self.device.url.replace("127.0.0.1", host))
        page.wait_for_selector("#mode:has-text('PAUSED')")
        return page

    def motion(self, **expected: float) -> None:
        """Wait until the arm is moved just so, by axis; x=1, rz=-0.5."""
        wanted = np.zeros(6)
        for axis, value in expected.items():
            wanted[("x", "y", "z", "rx", "ry", "rz").index(axis)] = value
        self.until(
            lambda command: (
                command.arms and np.allclose(next(iter(command.arms.values())).motion, wanted, atol=1e-3)
            )
        )

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self.device.close()
        assert not self.errors


@pytest.fixture
def desk(chromium):
    desk = Desk(chromium)
    yield desk
    desk.close()


def test_a_held_key_moves_the_arm_and_its_end_stops_it(desk):
    assert desk.device.read() == TeleopCommand(connected=False)
    page = desk.open()
    desk.until(lambda command: command.connected and not command.acting)
    page.keyboard.down("w")
    desk.motion(x=1)
    page.keyboard.down("Shift")  # fine
    desk.motion(x=0.3)
    page.keyboard.down("ArrowLeft")
    desk.motion(x=0.3, rx=-0.3)
    for key in ("ArrowLeft", "Shift", "w"):
        page.keyboard.up(key)
    stopped = desk.until(lambda command: not command.acting)
    assert stopped.connected


def test_a_short_tap_is_a_nudge_in_one_read(chromium):
    desk = Desk(chromium, ramp=0.4)
    page = desk.open()
    desk.until(lambda command: command.connected)
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    command = desk.until(lambda command: command.acting)
    assert command.arms["arm"].motion.tolist() == [0, START, 0, 0, 0, 0]
    pressed = command.pressed or desk.until(lambda command: command.pressed).pressed
    assert pressed == {"success"}
    desk.until(lambda command: not (command.pressed or command.held or command.acting))
    desk.close()


def test_buttons_on_the_screen(chromium):
    desk = Desk(chromium, NO_GRIPPER)
    page = desk.open()
    names = [button.inner_text().split("\n")[0] for button in page.query_selector_all("footer button")]
    assert names == ["Take over", "Pause", "Success", "Failure", "Discard"]
    page.click("button.failure")
    assert desk.until(lambda command: command.pressed).pressed == {"failure"}
    page.hover("button.takeover")
    page.mouse.down()
    command = desk.until(lambda command: command.held)
    assert command.held == {"takeover"} and command.pressed == {"takeover"} and not command.acting
    page.mouse.up()
    desk.until(lambda command: not command.held)
    page.keyboard.press("Space")  # the button that was clicked last must not be pressed by it
    assert desk.until(lambda command: command.pressed).pressed == {"takeover"}
    desk.close()


def test_a_gamepad(desk):
    page = desk.open(GAMEPAD)
    page.evaluate("pad.axes = [0.05, -1, 0, 0]")  # the first one within the dead zone
    desk.motion(x=1)
    page.evaluate("pad.axes = [-1, 0, 1, 0.55]")
    desk.motion(y=1, rz=-1, z=-0.5)
    page.evaluate("pad.axes = [0, 0, 0, 0]; button(7, 1); button(4, 1)")
    desk.motion(rx=1, ry=-1)
    page.evaluate("button(7, 0); button(4, 0); button(3, 1)")
    assert desk.until(lambda command: command.pressed).pressed == {"success"}
    assert desk.until(lambda command: command.held).held == {"success"}
    page.evaluate("button(3, 0); button(0, 1)")
    assert desk.until(lambda command: "gripper" in command.pressed).arms["arm"].gripper == "toggle"
    page.evaluate("pad.connected = false")
    desk.until(lambda command: command.connected and not command.held)


def test_a_gamepad_of_unknown_layout_is_not_read_and_the_press_that_wakes_one_is_no_command(desk):
    page = desk.open(GAMEPAD + "button(3, 1); pad.mapping = '';")
    page.wait_for_selector("#pad:has-text('Test Pad: this browser does not know its layout')")
    assert not desk.device.read().held
    page.evaluate("pad.mapping = 'standard'")
    assert not desk.until(lambda command: command.held == {"success"}).pressed


@pytest.mark.parametrize("combined", [False, True], ids=["two reports", "one report"])
def test_a_spacemouse(desk, combined):
    page = desk.open(SPACEMOUSE)
    page.click("#connect")
    page.wait_for_selector("#mouse:has-text('Test Mouse')")
    assert page.evaluate("asked.filters.map((filter) => filter.vendorId)") == [0x256F, 0x046D]

    def report(*axes: int) -> None:
        data = np.array(axes, "<i2").tobytes()
        parts = [(1, data)] if combined else [(1, data[:6]), (2, data[6:])]
        for number, part in parts:
            page.evaluate("([id, bytes]) => mouse.report(id, bytes)", [number, list(part)])

    report(350, 0, 0, 0, 0, 0)  # to the right
    desk.motion(y=-1)
    report(0, -350, -350, 0, 0, 0)  # away and up
    desk.motion(x=1, z=1)
    report(0, 0, 0, 350, 0, 0)  # about the right: pitch; right-handed about the left is the other way
    desk.motion(ry=-1)
    report(0, 0, 0, 0, -350, 350)  # away about the axis away, and clockwise as seen from above
    desk.motion(rx=1, rz=-1)
    report(0, 0, 0, 0, 0, 20)  # within the dead zone
    desk.motion()
    page.evaluate("mouse.report(3, [2, 0])")
    assert desk.until(lambda command: command.pressed).pressed == {"open"}
    page.evaluate("mouse.report(3, [0, 0])")
    desk.until(lambda command: not command.held)


def test_a_spacemouse_that_falls_silent_or_is_pulled_out_is_at_rest(desk):
    page = desk.open(SPACEMOUSE)
    page.click("#connect")
    push = "mouse.report(1, [94, 1, 0, 0, 0, 0])"  # 350 to the right
    page.evaluate(push)
    desk.motion(y=-1)
    desk.motion()
    page.evaluate(f"timer = setInterval(() => {push}, 16)")
    desk.motion(y=-1)
    page.evaluate("navigator.hid.dispatchEvent(Object.assign(new Event('disconnect'), {device: mouse}))")
    desk.motion()
    page.wait_for_selector("#connect", state="visible")
    page.evaluate("() => { mouse.opened = false; mouse.open = async () => { throw new Error('busy'); }; }")
    page.click("#connect")
    page.wait_for_selector("#banner:has-text('The SpaceMouse does not open (busy)')")
    assert page.is_visible("#connect")


@pytest.mark.parametrize(
    "lose, back",
    [
        ("window.dispatchEvent(new Event('blur'))", "window.dispatchEvent(new Event('focus'))"),
        (
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))",
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))",
        ),
    ],
    ids=["blur", "hidden"],
)
def test_nothing_is_held_while_the_person_is_elsewhere(chromium, lose, back):
    desk = Desk(chromium)
    page = desk.open(GAMEPAD)
    page.keyboard.down("w")
    page.evaluate("pad.axes = [-1, 0, 0, 0]")
    desk.motion(x=1, y=1)
    page.evaluate(lose)
    began = time.monotonic()
    desk.until(lambda command: not command.acting)
    assert time.monotonic() - began < 1.8  # told, not lapsed
    page.wait_for_selector("#banner:has-text('Click anywhere on this page to drive')")
    page.evaluate(back)
    desk.motion(y=1)  # the stick is still held; the key must be pressed anew
    desk.close()


def test_leaving_the_page_disconnects_at_once(chromium):
    desk = Desk(chromium)
    page = desk.open()
    page.keyboard.down("w")
    desk.motion(x=1)
    page.goto("about:blank")
    began = time.monotonic()
    desk.until(lambda command: not command.connected)
    assert time.monotonic() - began < 1.8
    assert desk.device.read() == TeleopCommand(connected=False)
    desk.close()


def test_a_killed_browser_stops_the_arm_within_the_timeout(playwright):
    timeout = 0.25
    device = Browser(ONE, BrowserSettings(timeout=timeout))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                "chromium",
                "--headless",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                *CHROMIUM_ARGUMENTS,
            ],
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # its children die with it, by the group's id
        )
        try:
            chromium = playwright.chromium.connect_over_cdp(_debugging_address(Path(folder)))
            page = chromium.contexts[0].new_page()
            page.goto(device.url)
            page.wait_for_selector("#mode:has-text('PAUSED')")
            page.keyboard.down("w")
            until(device, lambda command: command.acting)
            os.killpg(process.pid, signal.SIGKILL)
            began = time.monotonic()
            command = until(device, lambda command: not command.acting)
            assert time.monotonic() - began <= timeout + 0.5  # of a machine that may be busy
            assert command == TeleopCommand(connected=False)
        finally:
            process.kill()
            process.wait()
            device.close()


def _debugging_address(folder: Path) -> str:
    """Where a browser that was just started listens."""
    port, end = folder / "DevToolsActivePort", time.monotonic() + 15
    while not (port.exists() and port.read_text().count("\n")):
        assert time.monotonic() < end
        time.sleep(0.05)
    return f"http://127.0.0.1:{port.read_text().splitlines()[0]}"


def test_a_second_page_waits_until_the_first_is_still(desk, monkeypatch):
    monkeypatch.setattr(controls, "STILL_FOR", 60.0)  # a busy browser's keys may come a second late
    first, second = desk.open(), desk.open()
    first.keyboard.down("w")
    desk.motion(x=1)
    second.wait_for_selector("#banner:has-text('Another page is in control')")
    second.keyboard.down("a")
    second.click("#take")
    second.wait_for_selector("#banner:has-text('still for a second')")
    desk.motion(x=1)
    first.keyboard.up("w")
    desk.motion()
    second.keyboard.up("a")
    monkeypatch.setattr(controls, "STILL_FOR", 0.2)
    time.sleep(0.2)
    second.click("#take")
    first.wait_for_selector("#banner:has-text('Another page is in control')")
    first.keyboard.down("w")
    second.keyboard.down("d")
    desk.motion(y=-1)


def test_cameras_and_status_are_on_the_page(desk):
    page = desk.open()
    images = {
        "front": np.full((32, 48, 3), (250, 10, 10), np.uint8),
        "wrist": np.full((32, 32, 3), 90, np.uint8),
    }
    desk.device.page.show(
        images,
        Status(
            "PegTask", episode=7, step=31, seconds=3.1, person=True, last_outcome="success",
            kept=3, wanted=20, success_rate=0.85, intervention_rate=0.125, recent=(True, False, True),
            message="Keep going",
        ),
    )  # fmt: skip
    page.wait_for_selector("#mode:has-text('PERSON IN CONTROL')")
    page.wait_for_selector("#cameras canvas")
    shown = page.inner_text("body")
    for text in (
        "PegTask",
        "7",
        "31",
        "3.1 s",
        "85 %",
        "13 %",
        "kept 3 of 20",
        "last: success",
        "Keep going",
    ):
        assert text in shown
    assert [caption.inner_text() for caption in page.query_selector_all("figcaption")] == ["front", "wrist"]
    color = page.evaluate(
        "(() => { const c = document.querySelector('canvas');"
        "return [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]; })()"
    )
    np.testing.assert_allclose(color[:3], (250, 10, 10), atol=8)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 161, 26)"
    assert (
        page.query_selector_all("#recent .success") and len(page.query_selector_all("#recent .failure")) == 1
    )
    desk.device.page.show(images, Status("PegTask", connected=False))
    page.wait_for_selector("#mode:has-text('DISCONNECTED')")
    desk.device.close()
    page.wait_for_selector("#banner:has-text('nothing that you do here reaches the arm')")


def test_from_elsewhere_the_page_says_how_to_use_a_spacemouse(desk):
    page = desk.open(host=FAR)
    assert "ssh -L" in page.inner_text("#hint") and desk.device.url in page.inner_text("#hint")
    page.keyboard.down("w")  # the keyboard works all the same
    desk.motion(x=1)


def keys_shown(page) -> set[str]:
    return {cap.get_attribute("data-key") for cap in page.query_selector_all("kbd")}


def test_keys_that_mean_nothing_here_are_not_shown_and_stay_the_browsers(chromium):
    desk = Desk(chromium, NO_GRIPPER, bindings={"i": "+x", "w": ""})
    page = desk.open()
    keys = keys_shown(page)
    assert {"i", "s"} <= keys and not {"w", "g", "c", "tab"} & keys
    for key in ("Tab", "Control+KeyA", "Control+KeyD", "j"):
        page.keyboard.press(key)
    page.keyboard.press("p")
    desk.until(lambda command: command.pressed == {"pause"} and not command.acting)
    page.keyboard.down("i")
    desk.motion(x=1)
    desk.close()


def test_two_arms_are_driven_in_turn(chromium):
    desk = Desk(chromium, TWO)
    page = desk.open(FRENCH)
    assert {"w", "g", "c", "tab"} <= keys_shown(page)
    assert page.inner_text("kbd[data-key=w]") == "Z"  # keys go by place
    page.keyboard.down("w")
    assert desk.until(lambda command: command.acting).arms.keys() == {"left"}
    page.keyboard.press("Tab")
    assert desk.until(lambda command: "switch_arm" in command.pressed).arms.keys() == {"right"}
    desk.close()


def test_it_is_made_by_name(tmp_path):
    device = make_device("browser:fine=0.5", GenericEnv())
    assert device.read() == TeleopCommand(connected=False)
    device.close()
    device.close()
    (tmp_path / "pad.json").write_text('{"controls": {"a": "fire"}}')
    with pytest.raises(ConfigError, match="unknown meaning of 'a' 'fire'"):
        make_device(f"browser:mapping={tmp_path / 'pad.json'}", GenericEnv())
    assert read_mapping().controls["a"] == "gripper"


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"port": 70000}, "port = 70000 is outside"),
        ({"port": 80.5}, "port is a whole number"),
        ({"host": ""}, "host is an address"),
        ({"bindings": "w"}, "bindings are meanings by key name"),
        ({"bindings": {"w": "fire"}}, "unknown meaning in key bindings 'fire'"),
        ({"mapping": 3}, "mapping is a path"),
        ({"buttons": "success"}, "buttons is a list of roles"),
        ({"buttons": ["fire"]}, "unknown button role 'fire'"),
        ({"timeout": 0.0}, "timeout = 0.0 is outside"),
        ({"time_out": 1}, "did you mean 'timeout'"),
    ],
)
def test_wrong_settings_are_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        Browser(ONE, BrowserSettings(**settings))
