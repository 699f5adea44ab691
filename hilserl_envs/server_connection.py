"""`ServerConnection`: requests to one robot server, and what went wrong with them in words."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from hilserl_envs.errors import ActionError, CameraError, ConfigError, HilserlError, RobotError

CONNECT_TIMEOUT = 3.0  # [s]
ANSWER_TIMEOUT = 5.0  # beyond the time that the request itself takes [s]
TOKEN_FILE = "HILSERL_TOKEN_FILE"  # environment variable: where the token is


class ServerConnection:
    """Requests to one server, over a connection that stays open and is made anew where it broke.

    The token for servers that want one is read from the file that the environment variable
    HILSERL_TOKEN_FILE names, so that it is in no URL, setting or recording. Redirects are not
    followed, proxies and .netrc are not asked: requests go to that server and nowhere else.

    Args:
        url: of the server, such as "http://127.0.0.1:5000".

    Raises:
        ConfigError: it is no such URL, or there is no token in the file.
    """

    def __init__(self, url: str):
        self.url = _checked(url)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = os.environ.get("REQUESTS_CA_BUNDLE", True)
        if token := _token():
            self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> dict[str, Any]:
        """What the server answers to a GET, a JSON object.

        Raises:
            RobotError: no answer, or none that can be read.
            CameraError: a camera has no picture.
            ConfigError: the server refuses it.
        """
        return self._object(path, self._send("GET", path, None, ANSWER_TIMEOUT, moves=False))

    def post(
        self, path: str, body: Mapping[str, Any], seconds: float = 0.0, moves: bool = True
    ) -> dict[str, Any]:
        """The same to a POST.

        Args:
            path: on the server.
            body: plain values.
            seconds: that the server needs until it can answer.
            moves: whether it can move an arm. What cannot is sent once more where the connection broke.

        Raises:
            ActionError: the server refuses what can move an arm.
            HilserlError: as `get`.
        """
        return self._object(path, self.post_for_bytes(path, body, seconds, moves))

    def post_for_bytes(
        self, path: str, body: Mapping[str, Any], seconds: float = 0.0, moves: bool = True
    ) -> bytes:
        """The same where the answer is no JSON."""
        return self._send("POST", path, body, ANSWER_TIMEOUT + seconds, moves)

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._session.close()

    def _object(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RobotError(
                f"{self.url}{path} answered with no JSON object, but {body[:60]!r}; {_WHAT_IS_IT}"
            )
        return answer

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, patience: float, moves: bool
    ) -> bytes:
        times, url, timeout = 1 if moves else 2, self.url + path, (CONNECT_TIMEOUT, patience)
        while True:
            try:
                times -= 1
                response = self._session.request(
                    method, url, json=body, timeout=timeout, allow_redirects=False
                )
            except requests.RequestException as error:
                if times == 0 or isinstance(error, requests.Timeout):
                    raise RobotError(self._silence(method, path, error, patience, moves)) from error
                continue
            if response.status_code == 200:
                return response.content
            raise self._refusal(method, path, response, moves)

    def _silence(self, method: str, path: str, error: Exception, patience: float, moves: bool) -> str:
        """Why there is no answer, and what to do."""
        if isinstance(error, requests.ReadTimeout):
            what = f"{self.url} took {method} {path}, but did not answer within {patience:.1f} s"
        else:
            what = f"{self.url} does not answer {method} {path}: {_cause(error)}"
        advice = "see whether the robot server runs there and can be reached"
        if moves:
            advice += "; what was to move is not sent again: reset the environment when the server is back"
        return f"{what}; {advice}"

    def _refusal(self, method: str, path: str, response: requests.Response, moves: bool) -> HilserlError:
        """The error for an answer that is not 200, with the server's own words."""
        status = response.status_code
        try:
            answer = response.json()
            words, kind = str(answer["error"]), str(answer.get("kind", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return RobotError(
                f"{self.url} answered {method} {path} with status {status} and no reason; {_WHAT_IS_IT}"
            )
        said = f"{self.url} refused {method} {path}: {words}"
        if status == 401:
            return ConfigError(
                f"{said}. Put the server's token into a file, and name that file in the environment variable "
                f"{TOKEN_FILE}"
            )
        if kind.startswith("camera"):
            return CameraError(said)
        if status in (400, 422) and moves:
            return ActionError(said)
        # With any other status nothing is wrong with what was asked for.
        return ConfigError(said) if status in (400, 403, 422) else RobotError(said)


_WHAT_IS_IT = "is it a robot server, and of this version?"


def _checked(url: str) -> str:
    """The URL without a slash at its end. Errors show nothing of one that could hold a secret."""
    if not isinstance(url, str) or "@" in url:
        raise ConfigError(
            "a robot server's URL is text such as 'http://127.0.0.1:5000', without user or token in it; "
            f"the environment variable {TOKEN_FILE} names the file of a token"
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        valid = False
    if not valid or parts.query or parts.fragment:
        raise ConfigError(f"a robot server's URL is such as 'http://127.0.0.1:5000', got {url!r}")
    return url.rstrip("/")


def _token() -> str | None:
    """The token of servers that want one; None where nobody named its file."""
    path = os.environ.get(TOKEN_FILE)
    if not path:
        return None
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{TOKEN_FILE} names the file of the robot server's token, but {error}") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{path} must hold the robot server's token and nothing else; {TOKEN_FILE} names it"
        )
    return token


def _cause(error: Exception) -> str:
    """What the operating system or the protocol said, below what the libraries made of it."""
    link: BaseException | None = error
    while link is not None:
        below = isinstance(link, OSError | http.client.HTTPException)
        if below and not isinstance(link, requests.RequestException):
            return str(link) or type(link).__name__
        link = link.__context__
    return str(error)
