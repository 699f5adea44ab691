"""`AppServer`: a WSGI app over HTTP, from a background thread of this process."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import waitress.server
import waitress.task
import waitress.wasyncore

from hilserl_envs.errors import ConfigError

_EVERYWHERE = ("0.0.0.0", "::")


class AppServer:
    """Serves an app by waitress until it is closed.

    Args:
        app: what to serve; its close is the caller's.
        host: address to listen on.
        port: 0 takes a free one.
        threads: requests served at once.
        what: is served, for messages and for the thread's name.
        settings: more of waitress's.
        error_task: answers what is no HTTP request; waitress's own by default.

    Attributes:
        port: that it listens on.
        address: scheme, host and port, for people on this network.

    Raises:
        ConfigError: the port is taken, or the host is not this machine.
    """

    def __init__(
        self,
        app: Callable,
        host: str,
        port: int,
        threads: int,
        what: str,
        error_task: type[waitress.task.Task] | None = None,
        **settings: Any,
    ):
        listener = _listen(host, port, what)
        self.port = listener.getsockname()[1]
        self._sockets: dict = {}
        self._server = waitress.server.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=threads,
            clear_untrusted_proxy_headers=True,
            **settings,
        )
        if error_task is not None:
            base = self._server.channel_class
            self._server.channel_class = type("Channel", (base,), {"error_task_class": error_task})
        # A burst of requests is no news to a person at work.
        self._server.task_dispatcher.queue_logger = logging.getLogger("hilserl_envs.serving.queue")
        self._server.task_dispatcher.queue_logger.setLevel(logging.ERROR)
        shown = socket.gethostname() if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}"
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=what, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.pull_trigger()
            self._thread.join(timeout=5)
            # First the connections: who streams notices, and ends.
            for channel in list(self._server.active_channels.values()):
                channel.handle_close()
            self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=1)
            waitress.wasyncore.close_all(self._sockets, ignore_all=True)

    def _serve(self) -> None:
        while not self._closing.is_set():
            waitress.wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)


def _listen(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens at one address: the first, if a name has several."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is taken; choose another one, or port=0 for any that is free"
            ) from None
        raise ConfigError(f"{what} cannot be served at {host!r}, port {port}: {error}") from None
