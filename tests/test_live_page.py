"""The page's addresses: who may talk to them, what they take, what they answer."""

import io
import json
import threading
import time

import flask
import numpy as np
import pytest
from PIL import Image

from hilserl_envs.live import page as module
from hilserl_envs.live.controls import Controls
from hilserl_envs.live.page import MAX_BYTES, Page
from hilserl_envs.live.server import PageServer
from hilserl_envs.live.status import Status
from hilserl_envs.teleop.keys import BINDINGS
from tests import needs
from tests.test_live_messages import message

RED, BLUE = (250, 10, 10), (10, 10, 250)


def picture(color, height=32, width=48) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


class Client:
    """Talks to a page as the browser does, or worse."""

    def __init__(self, page: Page, prefix: str = ""):
        app = flask.Flask("test", static_folder=None)
        app.register_blueprint(page.blueprint, url_prefix=prefix or None)
        self._client, self._page, self._prefix = app.test_client(), page, prefix

    def get(self, path: str, token: str | None = None):
        headers = {"X-Token": self._page.token if token is None else token}
        return self._client.get(self._prefix + path, headers=headers)

    def post(self, data, content_type="application/json", **headers):
        headers = {"X-Token": self._page.token} | headers
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self._client.post(
            f"{self._prefix}/input", data=body, content_type=content_type, headers=headers
        )


@pytest.fixture(autouse=True)
def packages():
    needs.module("simplejpeg")


@pytest.fixture
def page():
    return Page(Controls(BINDINGS, ["success"]))


@pytest.fixture
def client(page):
    return Client(page)


@pytest.fixture
def holding(page, client):
    """The client, on whose page a key is held."""
    tick = client.post(message()).json["tick"]
    client.post(message(seq=2, seen=tick, held=["key:w"]))
    assert held_names(page) == {"key:w"}
    return client


def held_names(page) -> frozenset[str]:
    return page.controls.read(time.monotonic()).names


def test_the_page_needs_its_token(page, client):
    assert client.get(f"/?token={page.token}").status_code == 200
    for wrong in ("/", "/?token=", "/?token=wrong", "/?token=%C3%A9"):
        refused = client.get(wrong)
        assert refused.status_code == 403 and "address that the running program printed" in refused.text


@pytest.mark.parametrize("path", ["/setup", "/frame?after=-1", "/setup?token=TOKEN"])
def test_everything_else_needs_the_token_in_a_header(page, client, path):
    page.show({"front": picture(RED)}, Status())
    path = path.replace("TOKEN", page.token)
    assert client.get(path).status_code == 200
    for wrong in ("", "wrong", page.token + "x"):
        assert client.get(path, token=wrong).status_code == 403


def test_static_files_hold_no_secret_and_need_none(client):
    for name in ("page.js", "inputs.js", "link.js", "cameras.js", "page.css", "icon.svg"):
        assert client.get(f"/static/{name}", token="").status_code == 200


def test_a_new_page_has_a_new_token():
    assert len({Page().token for _ in range(10)}) == 10


def test_input_without_the_token_moves_nothing(page, client):
    tick = client.post(message()).json["tick"]
    for headers in ({"X-Token": ""}, {"X-Token": "wrong"}, {"Origin": "http://evil.example", "X-Token": ""}):
        refused = client.post(message(seq=2, seen=tick, held=["key:w"]), **headers)
        assert refused.status_code == 403 and "Access-Control-Allow-Origin" not in refused.headers
    assert not held_names(page)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_declared_json_is_taken(page, holding, content_type):
    refused = holding.post(message(seq=3, held=["key:w"]), content_type=content_type)
    assert refused.status_code == 400 and "content type" in refused.text
    assert not held_names(page)


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (json.dumps(message()).replace("null", "NaN").encode(), "not JSON"),
        (json.dumps(message()).replace("null", "1e999").encode(), "seen must be numbers"),
        (b"null", "a message is an object"),
        (b"[]", "a message is an object"),
        (b'{"page": "0123456789abcdef"}', "a message is an object"),
        (json.dumps(message(held=["key:f12"])).encode(), "held must be"),
        (json.dumps(message(held=["key:w"] * MAX_BYTES)).encode(), "at most"),
    ],
)
def test_garbage_is_refused_and_stops_what_is_held(page, holding, body, reason):
    refused = holding.post(body)
    assert refused.status_code == 400 and reason in refused.text
    assert refused.mimetype == "text/plain"
    assert not held_names(page)


def test_the_answer_carries_the_status(page, client):
    page.show({}, Status("Task", episode=3, person=True, success_rate=0.5, recent=(True, False)))
    answer = client.post(message()).json
    assert answer["status"]["episode"] == 3 and answer["status"]["recent"] == [True, False]
    assert answer["status"]["mode"] == "person"
    assert 0 <= answer["age"] < 1
    assert answer["driver"] == "nobody"


def test_the_value_has_a_bar_once_there_is_one(chromium):
    needs.module("waitress")
    server = PageServer(Page())
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def share() -> float:
        """Of the bar that is filled."""
        size = page.evaluate("getComputedStyle(document.querySelector('#value i')).backgroundSize")
        return float(size.split("%")[0]) / 100

    try:
        server.show({"front": picture(RED)}, Status(step=1))
        page.goto(server.url)
        page.wait_for_selector("#step:has-text('1')")
        assert not page.is_visible("#value")
        for value, shown, filled in (
            (0.63, "0.63", 0.63),
            (-0.2, "-0.20", 0),
            (1.4, "1.40", 1),
            (None, "–", 0),
        ):
            server.show({"front": picture(RED)}, Status(value=value))
            page.wait_for_selector(f"#value b:has-text('{shown}')")
            assert share() == filled
    finally:
        page.close()
        server.close()
    assert not errors


def test_a_page_that_only_shows_takes_no_input():
    client = Client(Page())
    assert client.get("/setup").json["controls"] is None
    assert client.post(message(held=["key:w"])).json["driver"] == "view"


def test_setup_says_what_the_keys_mean(client):
    setup = client.get("/setup").json
    assert setup["controls"]["keys"][0] == ["w", "+x"]  # in their order
    assert setup["controls"]["roles"] == ["success"]
    assert set(setup["modes"]) == {"person", "policy", "paused", "disconnected"}


def test_cameras_come_side_by_side_in_one_picture(page, client):
    page.show({"front": picture(RED), "wrist": picture(BLUE, 16, 16)}, Status())
    answer = client.get("/frame?after=-1")
    image = np.asarray(Image.open(io.BytesIO(answer.data)))
    assert image.shape == (32, 80, 3)
    assert json.loads(answer.headers["X-Cameras"]) == [["front", 0, 48, 32], ["wrist", 48, 32, 32]]
    np.testing.assert_allclose(image[16, 10], RED, atol=8)
    np.testing.assert_allclose(image[16, 60], BLUE, atol=8)


def test_a_request_waits_for_a_newer_frame(page, client):
    page.show({"front": picture(RED)}, Status())
    number = int(client.get("/frame?after=-1").headers["X-Frame"])
    threading.Timer(0.1, page.show, ({"front": picture(BLUE)}, Status())).start()
    answer = client.get(f"/frame?after={number}")
    assert int(answer.headers["X-Frame"]) == number + 1


@pytest.mark.parametrize("images", [{}, {"front": picture(RED)}], ids=["no cameras", "nothing newer"])
def test_a_request_does_not_wait_for_ever(page, client, images, monkeypatch):
    monkeypatch.setattr(module, "FRAME_WAIT", 0.05)
    page.show(images, Status())
    assert client.get("/frame?after=1").status_code == 204


def test_waiting_requests_leave_room_for_input(page, monkeypatch):
    codes = []

    def wait():
        codes.append(Client(page).get("/frame?after=0").status_code)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(codes) < 4:
        time.sleep(0.01)
    assert codes == [503] * 4
    page.close()
    for thread in threads:
        thread.join(timeout=5)
    assert sorted(codes) == [204] * 4 + [503] * 4


def test_a_frame_is_encoded_once_and_only_if_somebody_asks(page, client, monkeypatch):
    encoded = []
    encode = page._encode
    monkeypatch.setattr(page, "_encode", lambda *args, **kwargs: encoded.append(1) or encode(*args, **kwargs))
    for _ in range(5):
        page.show({"front": picture(RED)}, Status())
    assert not encoded
    for _ in range(3):
        assert client.get("/frame?after=-1").status_code == 200
    assert len(encoded) == 1


def test_the_page_can_be_part_of_another_app(page):
    client = Client(page, prefix="/operator")
    assert client.get(f"/?token={page.token}").status_code == 200
    assert client.get("/static/page.js").status_code == 200
    assert client.post(message()).status_code == 200


def test_the_page_loads_nothing_from_elsewhere_and_cannot_be_framed(page, client):
    headers = client.get(f"/?token={page.token}").headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"  # the token is in the address
