"""`Window`: the live view on this machine's display."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hilserl_envs.errors import ConfigError, RenderingError
from hilserl_envs.live import display_missing
from hilserl_envs.live.status import MODES, Status

if TYPE_CHECKING:
    import pygame

SIZE = (1180, 720)  # at the start [pixels]; the person may change it
_BORDER, _BAR, _FOOT, _GAP = 10, 56, 76, 8  # [pixels]
_BACK, _TEXT, _DIM = "#101418", "#f2f5f7", "#9fb0bd"


class Window:
    """Cameras side by side in a frame whose colour says who is in control.

    To be made and used in the main thread. Closing it never stops a run.

    Args:
        title: of the window.

    Raises:
        RenderingError: there is no display, it does not open, or this is another thread.
        ConfigError: pygame-ce is not installed.
    """

    kind = "window"

    def __init__(self, title: str = "hilserl"):
        instead = "take the live view 'browser' (a page), or 'none'"
        if display_missing():
            raise RenderingError(
                "the live view's window needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; "
                f"{instead}, or run under a virtual display: xvfb-run -a python ..."
            )
        if threading.current_thread() is not threading.main_thread():
            raise RenderingError(f"a window must be opened in the main thread; open it there, or {instead}")
        # Else SDL takes SIGTERM for a click on the window's cross, and a run can't be ended.
        os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ModuleNotFoundError:
            raise ConfigError('the window needs pygame-ce: pip install "hilserl_envs[teleop]"') from None
        self._pygame = pygame
        try:
            pygame.display.init()
            pygame.display.set_caption(title)
            self._screen = pygame.display.set_mode(SIZE, pygame.RESIZABLE)
        except pygame.error as error:
            raise RenderingError(f"the live view's window does not open ({error}); {instead}") from error
        pygame.font.init()
        self._fonts = {size: pygame.font.Font(None, size) for size in (24, 32, 40)}
        self._open = True

    @property
    def is_open(self) -> bool:
        """False once the person, or `close`, has closed it."""
        return self._open

    def show(self, images: Mapping[str, np.ndarray], status: Status) -> None:
        """Draw; does nothing once the window is closed."""
        if not self._open:
            return
        if any(event.type == self._pygame.QUIT for event in self._pygame.event.get()):
            self.close()
            return
        self._screen = self._pygame.display.get_surface()
        mode = MODES[status.mode]
        self._screen.fill(mode.color)
        width, height = self._screen.get_size()
        inside = self._pygame.Rect(
            _BORDER, _BAR, max(1, width - 2 * _BORDER), max(1, height - _BAR - _BORDER)
        )
        self._screen.fill(_BACK, inside)
        place = f"{status.task}   episode {status.episode}   step {status.step}   {status.seconds:.1f} s"
        arm = f"   ({status.arm} arm)" if status.arm else ""
        self._write(mode.text + arm, 40, "#000000", (2 * _BORDER, _BAR // 2))
        self._write(place, 32, "#000000", (width - 2 * _BORDER, _BAR // 2), "midright")
        self._draw_cameras(images, self._pygame.Rect(inside.x, inside.y, inside.w, inside.h - _FOOT))
        self._draw_foot(status, self._pygame.Rect(inside.x, inside.bottom - _FOOT, inside.w, _FOOT))
        self._pygame.display.flip()

    def close(self) -> None:
        """Close the window; safe to call twice."""
        if self._open:
            self._open = False
            self._pygame.display.quit()

    def __deepcopy__(self, memo: dict) -> Window:
        # gymnasium copies the arguments of wrappers; there is one window.
        return self

    def _draw_cameras(self, images: Mapping[str, np.ndarray], place: pygame.Rect) -> None:
        if not images:
            self._write("no cameras", 32, _DIM, place.center, "center")
            return
        height = max(image.shape[0] for image in images.values())
        widths = [image.shape[1] * height / image.shape[0] for image in images.values()]
        scale = min((place.w - _GAP * (len(images) + 1)) / sum(widths), (place.h - 2 * _GAP - 24) / height)
        if scale <= 0:
            return
        left = place.x + (place.w - scale * sum(widths) - _GAP * (len(images) - 1)) / 2
        top = place.y + (place.h - scale * height - 24) / 2
        for (name, image), width in zip(images.items(), widths, strict=True):
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = self._pygame.image.frombuffer(
                np.ascontiguousarray(image), (image.shape[1], image.shape[0]), "RGB"
            )
            self._screen.blit(self._pygame.transform.smoothscale(small, size), (left, top))
            self._write(name, 24, _DIM, (left + size[0] / 2, top + size[1] + 12), "center")
            left += size[0] + _GAP

    def _draw_foot(self, status: Status, place: pygame.Rect) -> None:
        parts = [
            f"success {_percent(status.success_rate)}",
            f"interventions {_percent(status.intervention_rate)}",
        ]
        if status.value is not None:
            parts.append(f"value {status.value:.2f}")
        if status.wanted is not None:
            parts.append(f"kept {status.kept} of {status.wanted}")
        if status.last_outcome:
            parts.append(f"last: {status.last_outcome}")
        self._write("     ".join(parts), 32, _TEXT, (place.x + 2 * _GAP, place.y + 20))
        self._write(status.message, 32, MODES["person"].color, (place.x + 2 * _GAP, place.y + 54))

    def _write(
        self, text: str, size: int, color: str, at: tuple[float, float], anchor: str = "midleft"
    ) -> None:
        """Write a line whose `anchor` (an attribute of pygame's Rect) is `at` a place."""
        line = self._fonts[size].render(text, True, color)
        self._screen.blit(line, line.get_rect(**{anchor: at}))


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0%}"
