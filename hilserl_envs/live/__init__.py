"""The live view: cameras and status for a person at work, in a window or on a web page.

`open_view("auto", device)` opens the one that suits the machine; `wrappers.LiveView` feeds it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from hilserl_envs.errors import RenderingError, check_name
from hilserl_envs.live.status import Status, Tracker
from hilserl_envs.teleop.device import Device

log = logging.getLogger("hilserl_envs.live")

KINDS = ("auto", "window", "browser", "none")

__all__ = ["KINDS", "NoView", "Status", "Tracker", "View", "display_missing", "open_view"]


@runtime_checkable
class View(Protocol):
    """Something that shows a run.

    Attributes:
        kind: the name by which `open_view` opens such a one.
    """

    kind: str

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """Show images (height, width, 3) uint8 RGB by camera; never waits for a person."""

    def close(self) -> None:
        """Take it away; safe to call twice."""


class NoView:
    """Shows nothing."""

    kind = "none"

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def open_view(kind: str = "auto", device: Device | None = None) -> View:
    """Open a live view.

    Args:
        kind: "window"; "browser", a page whose address is logged; "none"; or "auto", the
            window where there is a display, else the page.
        device: what the person drives with. The browser device has a page already: "auto"
            and "browser" show on that one.

    Raises:
        ConfigError: an unknown kind, or a package is missing.
        RenderingError: a window was asked for and cannot open.
    """
    check_name(kind, KINDS, "live view")
    if kind == "none":
        return NoView()
    page = getattr(device, "page", None)
    if kind != "window" and page is not None:
        return page
    if kind == "window" or (kind == "auto" and not display_missing()):
        from hilserl_envs.live.window import Window

        try:
            return Window()
        except RenderingError as error:
            if kind == "window":
                raise
            log.warning("A page instead of a window: %s", error)
    from hilserl_envs.live.page import Page
    from hilserl_envs.live.server import PageServer

    return PageServer(Page())


def display_missing() -> bool:
    """Whether a window has no chance to open here."""
    # Linux has windows where one of these says; macOS and Windows always have them.
    return sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
