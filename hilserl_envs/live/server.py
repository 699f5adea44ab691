"""`PageServer`: serves a `Page` from a background thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import flask
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.live.page import MAX_BYTES, Page
from hilserl_envs.live.status import Status

# What a person must see goes out as a warning: Python shows those without any set-up.
log = logging.getLogger("hilserl_envs.live")

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
        port: that it listens on.
        url: with the token in it.

    Raises:
        ConfigError: the port is taken, the host is not this machine, or waitress is missing.
    """

    kind = "browser"

    def __init__(self, page: Page, host: str = "127.0.0.1", port: int = 0):
        try:
            from hilserl_envs.serving import AppServer
        except ModuleNotFoundError:
            raise ConfigError(
                'the page needs waitress; pip install "hilserl_envs[teleop]" brings it'
            ) from None
        self.page = page
        app = flask.Flask("hilserl_live", static_folder=None)
        app.register_blueprint(page.blueprint)
        self._server = AppServer(
            app, host, port, _THREADS, "the operator's page", max_request_body_size=4 * MAX_BYTES
        )
        self.port = self._server.port
        self.url = f"{self._server.address}/?token={page.token}"
        log.warning("The operator's page is at %s", self.url)

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """See `Page.show`."""
        self.page.show(images, status)

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        self.page.close()
        self._server.close()

    def __deepcopy__(self, memo: dict) -> PageServer:
        return self
