"""The background server: over real sockets."""

import http.client
import json
import logging
import socket
import threading
import time

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.live.controls import Controls
from hilserl_envs.live.page import Page
from hilserl_envs.live.server import PageServer
from hilserl_envs.live.status import Status
from hilserl_envs.teleop.keys import BINDINGS
from tests import needs
from tests.test_live_messages import message


@pytest.fixture(autouse=True)
def packages():
    needs.module("waitress")
    needs.module("simplejpeg")


@pytest.fixture
def server():
    server = PageServer(Page(Controls(BINDINGS, ["success"])))
    yield server
    server.close()


class Connection:
    """One connection that stays open, as a browser's does."""

    def __init__(self, server: PageServer):
        self._http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        self._token = server.page.token

    def request(self, method: str, path: str, body: bytes | None = None, **headers) -> tuple[int, bytes]:
        headers = {"X-Token": self._token, "Content-Type": "application/json"} | headers
        self._http.request(method, path, body, headers)
        response = self._http.getresponse()
        return response.status, response.read()

    def say(self, **changes) -> tuple[int, dict]:
        status, body = self.request("POST", "/input", json.dumps(message(**changes)).encode())
        return status, json.loads(body)


def test_it_says_where_it_is(caplog):
    with caplog.at_level(logging.WARNING):
        server = PageServer(Page())
    try:
        assert server.url == f"http://127.0.0.1:{server.port}/?token={server.page.token}"
        assert server.url in caplog.text
        status, body = Connection(server).request("GET", server.url.partition(str(server.port))[2])
        assert status == 200 and b"<!doctype html>" in body
    finally:
        server.close()


def test_a_taken_port_is_a_plain_word():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken"):
            PageServer(Page(), port=port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_this_machine_is_a_plain_word(host):
    with pytest.raises(ConfigError, match=f"cannot be served at '{host}', port 0"):
        PageServer(Page(), host=host)


@pytest.mark.parametrize(
    "host, shown", [("localhost", "localhost"), ("0.0.0.0", socket.gethostname()), ("127.0.0.2", "127.0.0.2")]
)
def test_other_addresses(host, shown):
    server = PageServer(Page(), host=host)
    server.close()
    assert server.url.startswith(f"http://{shown}:{server.port}/?token=")


def test_input_arrives(server):
    connection = Connection(server)
    tick = connection.say()[1]["tick"]
    assert connection.say(seq=2, seen=tick, held=["key:w"])[0] == 200
    assert server.page.controls.read(time.monotonic()).names == {"key:w"}


def test_wrong_requests_move_nothing(server):
    connection = Connection(server)
    tick = connection.say()[1]["tick"]
    good = json.dumps(message(seq=2, seen=tick, held=["key:w"])).encode()
    assert connection.request("POST", "/input", good, **{"X-Token": "wrong"})[0] == 403
    assert connection.request("POST", "/input", good, **{"Content-Type": "text/plain"})[0] == 400
    assert connection.request("POST", "/input", b"{" + good)[0] == 400
    assert connection.request("GET", "/input")[0] == 405
    assert connection.request("OPTIONS", "/input")[1] == b""
    assert not server.page.controls.read(time.monotonic()).names
    try:
        refusal = connection.request("POST", "/input", b" " * 50_000_000)[0]
    except ConnectionError:  # cut off while it was still talking
        refusal = 413
    assert refusal == 413
    assert Connection(server).say(seq=3, seen=tick)[0] == 200  # the server lives on


def test_input_is_answered_while_others_wait_for_frames(server):
    waiting = [
        threading.Thread(target=Connection(server).request, args=("GET", "/frame?after=99")) for _ in range(8)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.1)
    connection = Connection(server)
    assert connection.say()[0] == 200
    assert any(thread.is_alive() for thread in waiting)
    server.page.close()
    for thread in waiting:
        thread.join(timeout=5)


def test_closing_ends_it_though_pages_wait(server):
    server.show({"front": np.zeros((8, 8, 3), np.uint8)}, Status())
    thread = threading.Thread(target=Connection(server).request, args=("GET", "/frame?after=99"))
    thread.start()
    time.sleep(0.1)
    server.close()
    server.close()
    thread.join(timeout=5)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
    PageServer(Page(), port=server.port).close()  # the port is free again
