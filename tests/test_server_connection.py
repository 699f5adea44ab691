"""The connection to a server: over real sockets, with servers that fail in every way."""

import json
import socket
import time

import pytest

from hilserl_envs import server_connection
from hilserl_envs.errors import ActionError, CameraError, ConfigError, RobotError
from hilserl_envs.server_connection import TOKEN_FILE, ServerConnection
from tests.raw_server import HANG_UP, SILENCE, RawServer, answer


@pytest.fixture
def serve():
    servers = []

    def serve(**answers):
        servers.append(RawServer({f"/{path}": reply for path, reply in answers.items()}))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def test_an_answer_is_handed_out(serve):
    server = serve(state=answer({"time": 1.5}), step=answer(b"a\nb"))
    connection = ServerConnection(server.url + "/")
    assert connection.get("/state") == {"time": 1.5}
    assert connection.post_for_bytes("/step", {"wait": 0.1}) == b"a\nb"
    assert [json.loads(body) for *_, body in server.requests if body] == [{"wait": 0.1}]


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:5000",
        "ftp://127.0.0.1",
        "http://",
        "http://robot:port",
        "http://robot:0",
        "http://robot/?token=1",
        "http://robot/#arm",
        5000,
        None,
    ],
)
def test_a_wrong_url_is_refused(url):
    with pytest.raises(ConfigError, match="http://127.0.0.1:5000"):
        ServerConnection(url)


@pytest.mark.parametrize("url", ["http://secret@robot:5000", "http://user:secret@robot", "secret@robot:5000"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match=TOKEN_FILE) as refused:
        ServerConnection(url)
    assert "secret" not in str(refused.value)


def test_the_token_comes_from_a_file(serve, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("abc123\n")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    server = serve(state=answer({}))
    connection = ServerConnection(server.url)
    connection.get("/state")
    assert server.requests[0][2]["authorization"] == "Bearer abc123"
    assert "abc123" not in repr(vars(connection))


@pytest.mark.parametrize("text", ["", " \n", "two words", "tök", None])
def test_a_file_without_a_token_is_refused(text, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "token").write_text(text)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    with pytest.raises(ConfigError, match=TOKEN_FILE):
        ServerConnection("http://127.0.0.1:5000")


def test_neither_a_proxy_nor_netrc_nor_a_redirect_sends_it_elsewhere(serve, tmp_path, monkeypatch):
    elsewhere = serve(state=answer({}), step=answer({}))
    monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
    monkeypatch.setenv("http_proxy", elsewhere.url)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    moved = f"HTTP/1.1 307 X\r\nLocation: {elsewhere.url}/step\r\nContent-Length: 0\r\n\r\n".encode()
    server = serve(state=answer({}), step=moved)
    connection = ServerConnection(server.url)
    connection.get("/state")
    with pytest.raises(RobotError, match="status 307"):
        connection.post("/step", {})
    assert "authorization" not in server.requests[0][2]
    assert not elsewhere.requests


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(RobotError, match=f"{url} does not answer GET /state: .*refused; see whether"):
        ServerConnection(url).get("/state")


def test_a_name_that_nobody_has():
    with pytest.raises(RobotError, match="http://robot.invalid:5000 does not answer GET /state: "):
        ServerConnection("http://robot.invalid:5000").get("/state")


@pytest.mark.parametrize("moves", [False, True])
def test_a_server_that_hangs_is_waited_for_once(serve, monkeypatch, moves):
    monkeypatch.setattr(server_connection, "ANSWER_TIMEOUT", 0.1)
    server = serve(step=SILENCE)
    began = time.monotonic()
    with pytest.raises(RobotError, match=f"{server.url} took POST /step, but did not answer within 0.3 s"):
        ServerConnection(server.url).post("/step", {}, seconds=0.2, moves=moves)
    assert 0.3 <= time.monotonic() - began < 2.0
    assert server.paths() == ["/step"]


def test_what_moves_an_arm_is_never_sent_twice(serve):
    server = serve(step=HANG_UP)
    with pytest.raises(RobotError, match=r"does not answer POST /step: .*closed.*; .*is not sent again"):
        ServerConnection(server.url).post("/step", {})
    assert server.paths() == ["/step"]


def test_what_moves_nothing_is_sent_once_more(serve):
    server = serve(state=HANG_UP, configure=HANG_UP)
    connection = ServerConnection(server.url)
    with pytest.raises(RobotError, match="does not answer GET /state: "):
        connection.get("/state")
    with pytest.raises(RobotError, match="does not answer POST /configure: "):
        connection.post("/configure", {}, moves=False)
    assert server.paths() == ["/state"] * 2 + ["/configure"] * 2


def test_a_connection_that_was_closed_meanwhile_is_made_anew(serve):
    server = serve(step=answer({}, says_it_closes=False))
    connection = ServerConnection(server.url)
    for _ in range(5):
        connection.post("/step", {})
        time.sleep(0.05)  # until the end of the connection has arrived
    assert server.paths() == ["/step"] * 5


@pytest.mark.parametrize(
    "reply",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",  # cut off
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        answer(b"<html>no JSON</html>"),
        answer(b"[1, 2]"),
        answer(b"\xff"),
        answer(b"bad gateway", 502),
        answer(b'["no object"]', 404),
    ],
)
def test_garbage_is_no_answer(serve, reply):
    server = serve(state=reply)
    with pytest.raises(RobotError, match=server.url):
        ServerConnection(server.url).get("/state")


@pytest.mark.parametrize(
    ("status", "kind", "moves", "error"),
    [
        (422, "pose_outside_box", True, ActionError),
        (400, "bad_request", True, ActionError),
        (400, "unknown_parameter", False, ConfigError),
        (423, "emergency_stop", True, RobotError),
        (409, "arm_error", True, RobotError),
        (404, "no_gripper", False, RobotError),
        (503, "robot", False, RobotError),
        (503, "camera", True, CameraError),
        (401, "token", False, ConfigError),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(serve, status, kind, moves, error):
    server = serve(step=answer({"error": "the very words", "kind": kind}, status))
    with pytest.raises(error, match=f"{server.url} .*the very words") as refused:
        ServerConnection(server.url).post("/step", {}, moves=moves)
    assert type(refused.value) is error
    assert server.paths() == ["/step"]
