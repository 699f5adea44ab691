"""Tests of who may talk to the server."""

import stat

import pytest
import requests

from hilserl_envs.errors import ConfigError
from robot_servers.auth import is_loopback, read_token
from tests.servers import fake_server

TOKEN = "correct-horse-battery-staple"
PATHS = ("/", "/state", "/robot", "/health", "/events", "/cameras/wrist_1.mjpg", "/cameras/wrist_1.jpg",
         "/openapi.json", "/console/page.js", "/nothing")  # fmt: skip
POSTS = ("/getstate", "/pose", "/step", "/emergency_stop", "/stop", "/open_gripper")


@pytest.fixture(scope="module")
def open_house():
    with fake_server() as server:
        yield server


@pytest.fixture(scope="module")
def locked():
    with fake_server(token=TOKEN) as server:
        yield server


def ask(server, method, path, **headers):
    with requests.request(method, server.url + path, headers=headers, timeout=5, stream=True) as answer:
        return answer.status_code, answer.json()["kind"] if answer.status_code in (401, 403) else None


@pytest.mark.parametrize("method, path", [*[("GET", p) for p in PATHS], *[("POST", p) for p in POSTS]])
def test_every_route_wants_the_token_streams_included(locked, method, path):
    assert ask(locked, method, path) == (401, "no_token")
    assert ask(locked, method, path, Authorization="Bearer wrong") == (401, "no_token")
    assert ask(locked, method, path, Authorization=f"Basic {TOKEN}") == (401, "no_token")
    assert ask(locked, method, path, Cookie="hilserl_0=wrong") == (401, "no_token")
    if path != "/emergency_stop":  # the others leave the robot as it is
        assert ask(locked, method, path, Authorization=f"Bearer {TOKEN}")[1] is None


def test_nothing_moves_without_the_token():
    with fake_server(token=TOKEN) as locked:
        ask(locked, "POST", "/emergency_stop")
        ask(locked, "POST", "/open_gripper")
    assert locked.guard.emergency is None and not locked.guard.station.grippers["arm"].moves


def test_a_browser_gets_the_token_with_the_pages_address_only(locked):
    browser = requests.Session()
    assert browser.get(f"{locked.url}/?token=wrong", timeout=5).status_code == 401
    answer = browser.get(f"{locked.url}/?token={TOKEN}", timeout=5)
    assert answer.status_code != 401
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert browser.get(f"{locked.url}/state", timeout=5).ok
    with browser.get(f"{locked.url}/cameras/wrist_1.mjpg", timeout=5, stream=True) as film:
        assert film.ok
    assert requests.get(f"{locked.url}/state?token={TOKEN}", timeout=5).status_code == 401


@pytest.mark.parametrize("house", ["open_house", "locked"])
@pytest.mark.parametrize("method, path", [("POST", "/open_gripper"), ("POST", "/stop"), ("GET", "/state")])
def test_no_other_site_drives_it_through_a_browser(request, house, method, path):
    server, key = request.getfixturevalue(house), {"Authorization": f"Bearer {TOKEN}"}
    for origin in (
        "http://evil.example",
        "null",
        server.url.replace("127.0.0.1", "localhost"),
        f"{server.url}0",
    ):
        assert ask(server, method, path, Origin=origin, **key) == (403, "other_site")
    for site in ("cross-site", "same-site"):
        assert ask(server, method, path, **{"Sec-Fetch-Site": site}, **key) == (403, "other_site")
    assert ask(server, method, path, Origin=server.url, **{"Sec-Fetch-Site": "same-origin"}, **key)[0] == 200
    assert ask(server, method, path, **{"Sec-Fetch-Site": "none"}, **key)[0] == 200


def test_a_link_to_the_page_may_be_anywhere(open_house):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(open_house, "GET", "/", **link)[0] in (200, 404)
    assert ask(open_house, "GET", "/state", **link) == (403, "other_site")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "0.0.0.0"]
)
def test_a_name_that_somebody_lets_point_here_is_refused(open_house, host):
    assert ask(open_house, "GET", "/state", Host=host)[0] in (400, 403)
    assert ask(open_house, "POST", "/open_gripper", Host=host, Origin=f"http://{host}")[0] in (400, 403)
    assert not open_house.guard.station.grippers["arm"].calls


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:5000"])
def test_names_of_this_machine_are_welcome_through_a_tunnel_too(open_house, host):
    assert ask(open_house, "GET", "/state", Host=host)[0] == 200
    assert ask(open_house, "POST", "/getpos", Host=host, Origin=f"http://{host}")[0] == 200


def test_with_a_token_any_name_will_do(locked):
    assert ask(locked, "GET", "/state", Host="robot.lab:5000", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_a_token_is_made_private_and_read_again(tmp_path):
    path = tmp_path / "token"
    token = read_token(path)
    assert len(token) >= 32 and read_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token(tmp_path / "other") != token


def test_a_token_that_others_read_is_none(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read.*chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    "text", ["", "short", "with space in the middle", "ümlaut-ümlaut-ümlaut", "a\nb" * 9]
)
def test_a_file_without_a_token(tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="must be at least 16 letters"):
        read_token(path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot make the token file"):
        read_token(tmp_path / "no" / "token")


@pytest.mark.parametrize(
    "host, loopback",
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.0.0.2", True), ("0.0.0.0", False),
     ("192.168.1.5", False), ("robot.lab", False), ("", False)],
)  # fmt: skip
def test_what_counts_as_this_machine(host, loopback):
    assert is_loopback(host) == loopback
