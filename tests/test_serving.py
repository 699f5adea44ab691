"""Tests of serving an app from a background thread."""

import http.client
import socket
import threading
import time

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.serving import AppServer


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/endless":
        return endless()
    return [environ["PATH_INFO"].encode()]


def endless():
    while True:
        yield b"x" * 100
        time.sleep(0.01)


def ask(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    return connection.getresponse()


@pytest.fixture
def server():
    server = AppServer(app, "127.0.0.1", 0, 4, "a test")
    yield server
    server.close()


def test_it_answers_at_its_address(server):
    assert server.address == f"http://127.0.0.1:{server.port}"
    assert ask(server, "/there").read() == b"/there"


def test_closing_ends_its_threads_whoever_still_listens():
    before = set(threading.enumerate())
    server = AppServer(app, "127.0.0.1", 0, 4, "a test")
    answer = ask(server, "/endless")
    assert answer.read(100) == b"x" * 100
    began = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - began < 3
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError):
        ask(server, "/there")


def test_a_taken_port_and_a_foreign_address_are_plain_words():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken"):
            AppServer(app, "127.0.0.1", port, 4, "a test")
    with pytest.raises(ConfigError, match="a test cannot be served at '192.0.2.1'"):
        AppServer(app, "192.0.2.1", 0, 4, "a test")
