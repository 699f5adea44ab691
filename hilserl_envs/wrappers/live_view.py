"""`LiveView`: let a person see the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_array
from hilserl_envs.live import Status, Tracker, View, open_view


class LiveView(gymnasium.Wrapper, RecordConstructorArgs):
    """Shows cameras, who is in control, and how it goes; changes nothing.

    After a reset and after each step it shows the observation's images, or, where it has
    none, what the robot's cameras see. Steps that come faster than `hz` are not all drawn;
    the last one of an episode always is. Put it outside of the wrappers that decide on
    success and on who is in control: it reads `info`.

    Example:
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.wrappers import LiveView
        >>> env = LiveView(gym.make("hilserl/PickCube-v0"), "none")
        >>> observation, info = env.reset(seed=0)
        >>> env.status.episode, env.status.mode
        (1, 'policy')

    Args:
        env: any environment.
        view: "auto", "window", "browser" or "none", see `live.open_view`; or a `View`. One
            made from a name is closed with the environment.
        hz: most pictures a second.

    Attributes:
        view: where it shows.

    Raises:
        ConfigError: an unknown view, or hz not above 0.
        RenderingError: a window was asked for and cannot open.
    """

    def __init__(self, env: gymnasium.Env, view: str | View = "auto", hz: float = 15.0):
        named = isinstance(view, str)
        if not named and not isinstance(view, View):
            raise ConfigError(f"LiveView: a view is a name or has show and close, got {view!r}")
        if not check_array(hz, (), "LiveView's hz") > 0:
            raise ConfigError(f"LiveView: hz must be above 0, got {hz}")
        # By its name a view can be written into a file, and opened again.
        RecordConstructorArgs.__init__(self, view=view if named else view.kind, hz=hz)
        super().__init__(env)
        device = env.get_wrapper_attr("device") if env.has_wrapper_attr("device") else None
        self.view = open_view(view, device) if named else view
        self._owns_view = named and self.view is not getattr(device, "page", None)
        self._interval = 1.0 / hz
        self._drawn = -np.inf
        self._images: Mapping[str, np.ndarray] = {}
        task = env.spec.name if env.spec is not None else type(env.unwrapped).__name__
        self._tracker = Tracker(task, 1.0 / env.metadata.get("render_fps", 10))

    @property
    def status(self) -> Status:
        """What is known of the run."""
        return self._tracker.status

    def note(self, **changes: Any) -> None:
        """Tell the person what steps don't, and show it at once; see `Tracker.note`."""
        self.view.show(self._images, self._tracker.note(**changes))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        observation, info = self.env.reset(seed=seed, options=options)
        self._show(observation, self._tracker.reset())
        return observation, info

    def step(self, action: Any) -> tuple:
        result = observation, reward, terminated, truncated, info = self.env.step(action)
        status = self._tracker.step(float(reward), terminated, truncated, info)
        if terminated or truncated or time.monotonic() - self._drawn >= self._interval:
            self._show(observation, status)
        return result

    def close(self) -> None:
        if self._owns_view:
            self.view.close()
        self.env.close()

    def _show(self, observation: Any, status: Status) -> None:
        self._drawn = time.monotonic()
        self._images = self._images_of(observation)
        self.view.show(self._images, status)

    def _images_of(self, observation: Any) -> dict[str, np.ndarray]:
        """The newest image of every camera; none where there are no cameras."""
        if isinstance(observation, Mapping) and isinstance(observation.get("images"), Mapping):
            # Stacked in time, the last one is the newest.
            return {
                name: image[-1] if image.ndim == 4 else image for name, image in observation["images"].items()
            }
        robot = getattr(self.env.unwrapped, "robot", None)
        return {} if robot is None else robot.capture()
