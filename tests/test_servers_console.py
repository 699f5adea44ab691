"""The operator's console in a real browser, at real servers: over the twin and over fakes."""

import contextlib
import re
import threading
import time

import numpy as np
import pytest
import requests

from hilserl_envs.cameras import FakeCamera, Frame
from hilserl_envs.errors import RobotError
from hilserl_envs.tasks import make_task
from tests.conftest import FAR
from tests.server_process import ServerProcess
from tests.servers import fake_server, twin_server

UP = [0.5, 0.0, 0.32, 1.0, 0.0, 0.0, 0.0]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
TWICE = 500  # between two presses that are two [ms]


class Console:
    """The page of a server.

    Attributes:
        page: Playwright's.
        errors: what went wrong in it: exceptions, and what its security policy kept out.
        hosts: whom it asked for anything.
    """

    def __init__(self, chromium, url: str, **settings):
        self._context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self._context.new_page()
        self.errors, self.hosts = [], set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)
        self.until(".arm .pose", r"\d\.\d")

    def _hear(self, message) -> None:
        # Chromium reports refused and failed requests too, which the page shows by itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def until(self, selector: str, text: str, timeout: float = 10.0) -> str:
        """Wait until an element that is seen says something; what it says."""
        found = self.page.locator(selector, has_text=re.compile(text)).first
        found.wait_for(timeout=1000 * timeout)
        return found.inner_text()

    def press(self, name: str, inside: str = "body") -> None:
        self.page.locator(inside).get_by_role("button", name=name).click()

    def press_twice(self, name: str, question: str, inside: str = "body") -> None:
        self.press(name, inside)
        self.page.wait_for_timeout(TWICE)
        self.press(question, inside)

    def numbers(self, table: str, column: int, inside: str = ".arm") -> list[float]:
        """A column of a table of an arm."""
        cells = self.page.locator(f"{inside} .{table} tbody tr td:nth-of-type({column})").all_inner_texts()
        return [float(cell.replace("−", "-").split()[0]) for cell in cells]

    def goes_grey(self, selector: str) -> bool:
        return "grayscale" in self.page.evaluate(
            "(it) => getComputedStyle(document.querySelector(it)).filter", selector
        )

    def wait(self, true, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, "it never came true"
            self.page.wait_for_timeout(50)  # the page's events are heard meanwhile

    def close(self) -> None:
        self._context.close()
        assert not self.errors


@pytest.fixture
def open_console(chromium):
    with contextlib.ExitStack() as closing:

        def open_console(url: str, **settings) -> Console:
            console = Console(chromium, url, **settings)
            closing.callback(console.close)
            return console

        yield open_console


@pytest.fixture
def server():
    with fake_server() as server:
        yield server


@pytest.fixture
def arm(server):
    return server.guard.station.parts["arm"]


@pytest.fixture
def console(open_console, server):
    return open_console(server.url)


class Driver:
    """Sends an arm to and fro, ten times a second, until it is refused."""

    def __init__(self, url: str):
        self._url, self.refused, self._done = url, None, threading.Event()
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._thread.start()

    def _drive(self) -> None:
        pose = requests.get(f"{self._url}/state", timeout=5).json()["arms"]["arm"]["tcp_pose"]
        tick = 0
        while not self._done.is_set():
            target = [*pose[:2], pose[2] + 0.04 * np.sin(0.4 * tick) ** 2, *pose[3:]]
            step = {"commands": {"arm": {"pose": target}}, "wait": 0.1}
            answer = requests.post(f"{self._url}/step", json=step, timeout=5)
            if not answer.ok:
                self.refused = answer.json()["kind"]
                return
            tick += 1

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=5)


def test_a_moving_arm_is_shown_and_the_emergency_stop_stops_it(open_console):
    with twin_server() as server:
        console = open_console(server.url)
        console.until("#word", "READY")
        before = console.numbers("pose", 1)
        with Driver(server.url) as driver:
            console.until("#word", "MOVING")
            console.wait(lambda: console.numbers("pose", 1)[2] > before[2] + 0.02)
            console.until(".arm .chip", "moves, follows commands")
            assert len(console.numbers("pose", 3)) == 6  # what is missing to the target
            console.press("Emergency stop")
            console.until("#word", "EMERGENCY STOP")
            console.wait(lambda: driver.refused == "emergency_stop")
        console.until("#latched", "nothing moves until it is cleared")

        def state():
            return server.guard.state()["arms"]["arm"]

        console.wait(lambda: np.abs(state()["tcp_vel"]).max() < 1e-4)  # of 0.3 s less than the tolerance
        rest = state()["tcp_pose"]
        console.page.wait_for_timeout(300)
        np.testing.assert_allclose(state()["tcp_pose"], rest, atol=1e-4)

        console.page.dblclick("#clear")  # is one press
        console.page.wait_for_timeout(TWICE)
        assert server.guard.emergency == "pressed at the console"
        console.press("Press again")
        console.until("#word", "READY")
        assert server.guard.emergency is None and not console.page.is_visible("#latched")
        np.testing.assert_allclose(state()["tcp_pose"], rest, atol=2e-3)

        console.press("Rearrange")
        console.wait(lambda: abs(console.numbers("pose", 1)[2] - before[2]) < 0.002)


def test_cameras_and_plots_are_alive(console):
    def drawn(selector: str) -> str:
        return console.page.eval_on_selector(selector, "it => it.toDataURL()")

    for selector in ("#cameras canvas", "canvas.force"):
        first = drawn(selector)
        console.wait(lambda first=first, selector=selector: drawn(selector) != first)
    picture = requests.get(console.page.eval_on_selector("#cameras a", "it => it.href"), timeout=5)
    assert picture.headers["Content-Type"] == "image/jpeg"


def test_a_server_that_was_killed_is_shown_as_stale_and_comes_back(open_console):
    with ServerProcess() as server:
        console = open_console(server.url)
        console.until("#word", "READY")
        assert not console.page.is_visible("#stale") and not console.goes_grey(".arm .numbers")
        server.kill()
        told = console.until("#stale", r"STALE What you see is from .+ [1-9]\.\d s ago")
        assert "the server does not answer" in told or "the connection was lost" in told
        console.until("#word", "NO CONNECTION")
        console.until("#cameras figure p", "no new picture since .+ the server does not answer")
        assert console.goes_grey(".arm .numbers") and console.goes_grey("#cameras canvas")
        assert console.page.is_disabled(".copy")
        console.press("Emergency stop")
        console.until("#unheard", "has not reached the server")
        port = int(server.url.rpartition(":")[2])
        with ServerProcess(port=port) as again:
            console.until("#word", "EMERGENCY STOP", timeout=30)  # it was sent until it was heard
            assert not console.page.is_visible("#unheard")
            assert requests.get(f"{again.url}/health", timeout=5).json()["emergency_stop"]
            console.wait(lambda: not console.page.is_visible("#stale"))
            console.wait(lambda: not console.goes_grey("#cameras canvas"))


def test_a_state_that_cannot_be_read_is_stale_and_what_is_wrong_is_told(server, arm, console):
    def silent():
        raise RobotError("no state for 0.2 s")

    read, arm.read, arm.trouble = arm.read, silent, "no connection"
    console.until("#stale", "no state for 0.2 s")
    console.until("#word", "ERROR")
    assert console.page.inner_text("#detail") == "arm: no connection"
    server.guard.emergency_stop("smoke")
    console.until("#latched", "smoke")
    arm.read = read
    console.wait(lambda: not console.page.is_visible("#stale"))
    assert console.page.is_visible("#latched")


def test_a_camera_without_new_pictures_is_grey_and_says_since_when(server, console):
    eyes = server.guard.station.eyes
    eyes["wrist_2"].trouble = "wrist_2 is not plugged in"
    console.until("#cameras figure:nth-child(2) p", r"no new picture since \d.+: wrist_2 is not plugged in")
    assert console.goes_grey("#cameras figure:nth-child(2) canvas")
    assert not console.goes_grey("#cameras figure:nth-child(1) canvas")
    assert console.page.inner_text("#word") == "READY"
    console.until("#detail", "wrist_2: wrist_2 is not plugged in")
    eyes["wrist_2"].trouble = None
    console.wait(lambda: not console.goes_grey("#cameras figure:nth-child(2) canvas"))
    frozen = eyes["wrist_1"].frame()
    eyes["wrist_1"].frame = lambda: Frame(frozen.image, frozen.time, frozen.number)
    console.until("#cameras figure:nth-child(1) p", "no new picture since")


def test_commands_do_what_they_say_and_a_refusal_is_shown_in_the_servers_words(server, arm, console):
    console.press("Stop the")
    console.until("#word", "STOPPED")
    assert console.page.inner_text("#detail") == "arm: stopped"
    console.press_twice("Joint reset", "Press again: it moves")
    console.until("#said", "arm 'arm' does not move: stopped; start or recover it")
    console.press("Start the")
    console.until("#word", "READY")
    assert not console.page.is_visible("#said")
    arm.trouble = "a reflex stopped it (cartesian_reflex)"
    console.until("#word", "ERROR")
    console.until(".arm .chip", "cartesian_reflex")
    console.press("Recover")
    console.until("#word", "READY")
    arm.calls.clear()
    console.press("Joint reset")
    console.page.wait_for_timeout(TWICE)
    assert arm.calls == []
    console.press("Press again: it moves")
    console.wait(lambda: arm.calls == ["reset_joints"])
    console.press("Emergency stop")
    console.until("#latched", "pressed at the console")
    console.press("Open", ".gripper")
    console.until("#said", "the emergency stop is on")
    console.press("Dismiss")
    assert not console.page.is_visible("#said")


def test_the_gripper(server, console):
    gripper = server.guard.station.grippers["arm"]
    console.press("Close", ".gripper")
    console.until(".gripper b", "0 % open")
    console.press("Open", ".gripper")
    console.until(".gripper b", "100 % open")
    assert [opening for opening, _ in gripper.moves] == [0.0, 1.0]
    gripper.error = lambda: "it does not answer at 192.168.1.11"
    console.until(".gripper .fault", "does not answer at 192.168.1.11")
    console.press_twice("Reset", "Press again", ".gripper")
    console.press_twice("Activate", "Press again", ".gripper")
    console.wait(lambda: gripper.calls == ["reset", "activate"])


def test_an_arm_without_a_gripper_has_no_buttons_for_one(open_console):
    with fake_server(grippers=False, cameras={}) as server:
        console = open_console(server.url)
        assert not console.page.is_visible(".gripper") and not console.page.is_visible("#cameras")


def test_compliance_is_changed_and_what_was_clamped_is_told(arm, console, server):
    stiffness = console.page.get_by_label("translational_stiffness")
    assert stiffness.input_value() == "2000"
    console.until("#arm-translational_stiffness-range", "0 to 6000, default 2000")
    stiffness.fill("9000")
    console.page.get_by_label("rotational_damping").fill("8.5")
    assert arm.compliance.translational_stiffness == 2000  # not before it is applied
    console.press("Apply")
    console.until(".told", "Applied; translational_stiffness clamped to 6000")
    assert (arm.compliance.translational_stiffness, arm.compliance.rotational_damping) == (6000, 8.5)
    assert stiffness.input_value() == "6000"
    stiffness.fill("")
    console.press("Apply")
    console.until("#said", "translational_stiffness must be a number")
    console.press("Undo")
    assert stiffness.input_value() == "6000"
    console.press("Fill in zeros to float")
    console.press("Apply")
    console.wait(lambda: arm.compliance.translational_stiffness == arm.compliance.nullspace_stiffness == 0)
    assert arm.compliance.rotational_damping == 8.5
    server.guard.configure({"arm": {"translational_stiffness": 1234}})  # by somebody else
    console.wait(lambda: stiffness.input_value() == "1234")


def test_a_copied_pose_is_python_that_a_task_takes(open_console):
    with fake_server() as server:
        arm = server.guard.station.parts["arm"]
        pose = np.array([0.512345678, -0.01, 0.12, 0.99995, 0.0, 0.01, -0.000004])
        arm.command(pose=pose / np.r_[1, 1, 1, np.full(4, np.linalg.norm(pose[3:]))])
        console = open_console(server.url)
        console.press("Copy pose")
        console.until(".copied p", "Copied")
        text = console.page.evaluate("navigator.clipboard.readText()")
    assert text == console.page.input_value(".copied textarea")
    measured = {}
    exec(text, measured)
    np.testing.assert_allclose(measured["tcp_pose"], arm.state.tcp_pose, atol=1e-6)
    np.testing.assert_allclose(measured["q"], arm.state.q, atol=1e-5)
    target, start = (eval(found, measured) for found in re.findall(r"settings=(\{.*\})", text))
    task = make_task("RamInsertion", target)
    assert task.target_pose == measured["tcp_pose"]
    setup = make_task("PickCube", start).arms["arm"]
    assert (setup.reset_pose, setup.reset_q) == (measured["tcp_pose"], measured["q"])


def test_two_arms_have_a_panel_each(open_console):
    cameras = {"left/wrist": FakeCamera((48, 64)), "right/wrist": FakeCamera((48, 64)), "side": FakeCamera()}
    with fake_server(arms=("left", "right"), cameras=cameras) as server:
        left, right = (server.guard.station.parts[name] for name in ("left", "right"))
        console = open_console(server.url)
        names = console.page.locator("h2").all_inner_texts()
        assert [name.lower() for name in names] == ["left arm", "right arm"]
        left.command(pose=np.array(UP))
        console.wait(lambda: console.numbers("pose", 1, "#arm-left")[2] == 0.32)
        assert console.numbers("pose", 1, "#arm-right")[2] == 0.3
        right.trouble = "a reflex"
        console.until("#detail", "^right: a reflex$")
        console.until("#arm-right .chip", "a reflex")
        right.trouble = None
        console.press_twice("Joint reset", "Press again", "#arm-right")
        console.wait(lambda: right.calls == ["reset_joints"])
        console.press("Close", "#arm-left .gripper")
        console.wait(lambda: server.guard.station.grippers["left"].opening() == 0)
        assert server.guard.station.grippers["right"].opening() == 1 and left.calls == []
        console.page.click("#arm-right summary")
        console.page.fill("#right-rotational_stiffness", "100")
        console.press("Apply", "#arm-right")
        console.wait(lambda: right.compliance.rotational_stiffness == 100)
        assert left.compliance.rotational_stiffness == 150
        assert not console.page.locator("#cameras figure.stale").count()
        console.press("Emergency stop")
        console.wait(lambda: left.error() == right.error() == "stopped")


@pytest.mark.parametrize("arms", [("arm",), ("left", "right")])
def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_stop_is_always_there(open_console, arms):
    with fake_server(arms=arms) as server:
        console = open_console(server.url, **PHONE)
        for details in console.page.query_selector_all("summary"):
            details.tap()
        server.guard.station.parts[arms[0]].trouble = "a_long_word_" * 12
        console.until("#detail", "a_long_word_")
        assert console.page.evaluate("document.documentElement.scrollWidth") == 360
        for place in (0, 500, 100_000):
            console.page.evaluate(f"scrollTo(0, {place})")
            box = console.page.locator("#emergency").bounding_box()
            assert box["height"] >= 60 and box["width"] > 300
            assert 0 <= box["y"] and box["y"] + box["height"] <= 740
        end = console.page.locator(".arm").last.bounding_box()
        assert end["y"] + end["height"] < box["y"]  # nothing is behind it for good
        small = console.page.evaluate(
            "() => [...document.querySelectorAll('button')].filter((b) => b.checkVisibility() && "
            "b.getBoundingClientRect().height < 40).map((b) => b.textContent)"
        )
        assert small == []
        console.page.tap("#emergency")
        console.wait(lambda: server.guard.emergency is not None)


def test_it_follows_the_browsers_choice_of_dark_and_light(open_console, server):
    backs = {}
    for scheme in ("light", "dark"):
        page = open_console(server.url, color_scheme=scheme).page
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        backs[scheme] = sum(map(int, re.findall(r"\d+", back)))
    assert backs["dark"] < 150 < 600 < backs["light"]


def test_everything_that_can_be_touched_or_seen_has_a_name(console):
    nameless = console.page.evaluate(
        """() => [...document.querySelectorAll("button, input, meter, canvas, a")]
            .filter((it) => !(it.getAttribute("aria-label") || it.textContent.trim() || it.labels?.length))
            .map((it) => it.outerHTML)"""
    )
    assert nameless == []
    assert console.page.get_by_role("button", name="Emergency stop").count() == 1


def test_the_keyboard_can_stop_it_too(server, console):
    console.page.focus("#emergency")
    console.page.keyboard.press("Enter")
    console.wait(lambda: server.guard.emergency is not None)


def test_an_emergency_stop_finds_a_way_when_everything_else_hangs(server, arm, console):
    free = threading.Event()
    eyes = server.guard.station.eyes
    arm.reset_joints = lambda q: free.wait(20)
    stop, arm.stop = arm.stop, lambda: free.wait(20)
    console.press_twice("Joint reset", "Press again")
    console.press("Stop the")
    for eye in eyes.values():
        eye.frame = lambda look=eye.frame: free.wait(20) and look()
    health = server.app.view_functions["own.get_health"]
    server.app.view_functions["own.get_health"] = lambda: free.wait(20) and health()
    console.page.wait_for_timeout(1300)  # by now all six connections are taken
    began = time.monotonic()
    console.press("Emergency stop")
    console.wait(lambda: server.guard.emergency is not None)
    assert time.monotonic() - began < 1.2  # cameras would give up later
    arm.stop = stop
    free.set()
    console.until("#latched", "pressed at the console")


def test_the_token_leaves_the_address_and_nobody_else_is_asked_for_anything(open_console):
    with fake_server(token="0123456789abcdef") as server:
        console = open_console(f"{server.url.replace('127.0.0.1', FAR)}/?token=0123456789abcdef")
        console.until("#word", "READY")
        assert console.page.url == f"{server.url.replace('127.0.0.1', FAR)}/"
        console.page.reload()
        console.until("#word", "READY")
        assert {host.partition(":")[0] for host in console.hosts} == {FAR}
        # Not a safe context: there is no clipboard, and the old way works.
        console.press("Copy pose")
        console.until(".copied p", "Copied")
        console._context.clear_cookies()
        server.guard.emergency_stop("test")
        console.press("Recover")
        console.until("#said", "wrong or missing token")


def test_another_robot_at_the_same_address_is_noticed(open_console):
    with fake_server() as server:
        port = int(server.url.rpartition(":")[2])
        console = open_console(server.url)
        console.page.wait_for_timeout(1500)  # its health was told
    with fake_server(arms=("left", "right"), port=port):
        console.until("#arm-left h2", "eft arm")


def test_a_page_that_nobody_sees_takes_no_stream(server, console):
    console.page.evaluate(
        """() => { Object.defineProperty(document, "hidden", {value: true, configurable: true});
                   document.dispatchEvent(new Event("visibilitychange")); }"""
    )
    console.until("#stale", "STALE")
    console.page.evaluate("delete document.hidden")
    console.wait(lambda: not console.page.is_visible("#stale"))
