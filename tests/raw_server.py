"""A server on a real socket that answers what a test wants, right or wrong, or nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

ABOUT = {
    "arms": ["arm"],
    "cameras": {},
    "speed": 1.0,
    "limits": {"max_jump": 0.1, "max_turn": 0.5},
}
SILENCE = None  # keeps the connection open
HANG_UP = b""


def answer(body: dict | bytes, status: int = 200, says_it_closes: bool = True) -> bytes:
    """A whole answer of HTTP."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, len(body))
    return head + b"Connection: close\r\n" * says_it_closes + b"\r\n" + body


class RawServer:
    """Answers each path with the bytes given for it, then closes the connection.

    Attributes:
        answers: by path.
        requests: method, path, headers (names in lower case) and body of all that came.
    """

    def __init__(self, answers: dict[str, bytes | None]):
        self.answers = {"/robot": answer(ABOUT)} | answers
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def paths(self) -> list[str]:
        return [path for _, path, *_ in self.requests]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        method, path, _ = stream.readline().decode().split()
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        self.requests.append((method, path, headers, body))
        reply = self.answers[path]
        if reply is SILENCE:
            self._kept.append(connection)
            return
        connection.sendall(reply)
        stream.close()
        connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._kept:
            connection.close()
