"""`PageServer`: serves a `Page` from a background thread."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Mapping

import flask
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.live.page import MAX_BYTES, Page
from hilserl_envs.live.status import Status

# What a person must see goes out as a warning: Python shows those without any set-up.
log = logging.getLogger("hilserl_envs.live")

_EVERYWHERE = ("0.0.0.0", "::")
_THREADS = 8  # half of them may wait for frames; the rest answer messages within a millisecond


class PageServer:
    """Serves a page until it is closed; logs its address, as a warning, when it starts.

    Args:
        page: what to serve.
        host: address to listen on. Any other than 127.0.0.1 sends token and images over the
            network in the clear; `ssh -L PORT:127.0.0.1:PORT` is safer, and lets the
            browser use gamepads and SpaceMice.
        port: 0 takes a free one.

    Attributes:
        url: with the token in it.

    Raises:
        ConfigError: the port is taken, the host is not this machine, or waitress is missing.
    """

    kind = "browser"

    def __init__(self, page: Page, host: str = "127.0.0.1", port: int = 0):
        try:
            import waitress.server
            import waitress.wasyncore
        except ModuleNotFoundError:
            raise ConfigError(
                'the page needs waitress; pip install "hilserl_envs[teleop]" brings it'
            ) from None
        self.page = page
        app = flask.Flask("hilserl_live", static_folder=None)
        app.register_blueprint(page.blueprint)
        listener = _listen(host, port)
        self.port = listener.getsockname()[1]
        self._sockets: dict = {}
        self._server = waitress.server.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=_THREADS,
            max_request_body_size=4 * MAX_BYTES,
            clear_untrusted_proxy_headers=True,
        )
        # A burst of requests is no news to a person at work.
        self._server.task_dispatcher.queue_logger = logging.getLogger(f"{log.name}.queue")
        self._server.task_dispatcher.queue_logger.setLevel(logging.ERROR)
        self._wasyncore = waitress.wasyncore
        shown = socket.gethostname() if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/?token={page.token}"
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="operator's page", daemon=True)
        self._thread.start()
        log.warning("The operator's page is at %s", self.url)

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """See `Page.show`."""
        self.page.show(images, status)

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        if not self._closing.is_set():
            self._closing.set()
            self.page.close()
            self._server.pull_trigger()
            self._thread.join(timeout=5)
            self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=1)
            self._wasyncore.close_all(self._sockets, ignore_all=True)

    def __deepcopy__(self, memo: dict) -> PageServer:
        return self

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)


def _listen(host: str, port: int) -> socket.socket:
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
        raise ConfigError(f"the page cannot be served at {host!r}, port {port}: {error}") from None
