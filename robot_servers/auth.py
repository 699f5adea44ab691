"""Who may talk to the server: a token beyond this machine, and no other web site anywhere."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import flask

from hilserl_envs.errors import ConfigError
from robot_servers.limits import Refusal

MIN_TOKEN = 16  # characters
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Access:
    """Checks every request of an app before any route sees it.

    Without a token only pages and programs of this machine come in: the Host header must
    name it, or a site could let its own name resolve to this machine and be its own origin.
    With one, every request carries it, as `Authorization: Bearer ...` or as the cookie that
    the address `/?token=...` sets in a browser. Either way a browser's request on behalf of
    another site is refused.

    Args:
        token: what every request must carry, None for none.
    """

    def __init__(self, token: str | None = None):
        self.token = token

    def protect(self, app: flask.Flask) -> None:
        """Check the requests of an app from now on."""
        app.before_request(self._check)
        app.after_request(self._remember)

    def _check(self) -> None:
        request = flask.request
        if not self._same_site():
            raise Refusal("other_site", "requests on behalf of another web site are refused", 403)
        if self.token is None:
            if _host_name(request.host) not in LOOPBACK:
                raise Refusal(
                    "unknown_host",
                    "without a token this server answers at localhost and 127.0.0.1 only; start it with "
                    "--token-file to let others in",
                    403,
                )
            return
        given = [request.cookies.get(_cookie(), "")]
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given.append(bearer.strip())
        in_address = request.args.get("token", "") if request.path == "/" else ""
        flask.g.token_in_address = self._is_token(in_address)
        if not flask.g.token_in_address and not any(map(self._is_token, given)):
            raise Refusal(
                "no_token",
                "wrong or missing token: send it as 'Authorization: Bearer ...', or open /?token=... in a "
                "browser",
                401,
            )

    def _is_token(self, given: str) -> bool:
        # In constant time, so that its characters can't be found out one by one.
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _same_site(self) -> bool:
        request = flask.request
        origin = request.headers.get("Origin")
        if origin is not None:
            return origin in (f"http://{request.host}", f"https://{request.host}")
        # Pictures and links carry no Origin; browsers say this of them.
        site = request.headers.get("Sec-Fetch-Site", "none")
        opened_by_person = request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        return site in ("none", "same-origin") or opened_by_person

    def _remember(self, response: flask.Response) -> flask.Response:
        if flask.g.get("token_in_address"):
            response.set_cookie(_cookie(), self.token, httponly=True, samesite="Strict", path="/")
        return response


def _cookie() -> str:
    # With the port in its name: cookies are shared by all ports of a host.
    return f"hilserl_{flask.request.environ['SERVER_PORT']}"


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(path: Path) -> str:
    """The token in a file; one that is not there is made, readable by its owner only.

    Raises:
        ConfigError: others can read the file, or it holds no token.
    """
    try:
        # Not before it is private: nobody may read it in between.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"cannot make the token file {path}: {error.strerror}") from None
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(f"others can read the token file {path}; make it private: chmod 600 {path}")
    token = path.read_text().strip()
    if len(token) < MIN_TOKEN or not re.fullmatch(r"[\w.~+/=-]+", token, re.ASCII):
        raise ConfigError(
            f"the token in {path} must be at least {MIN_TOKEN} letters, digits or -._~+/=; delete the file "
            "to have one made"
        )
    return token


def _host_name(host: str) -> str:
    """Of a Host header, without the port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
