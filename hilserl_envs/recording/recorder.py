"""`RecordEpisodes`: every reset and step of an environment into an episode store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.recording.describe import describe_env
from hilserl_envs.recording.schema import Leaf, Schema
from hilserl_envs.recording.writer import EpisodeWriter

KEEP = ("success", "all")


class RecordEpisodes(gymnasium.Wrapper, RecordConstructorArgs):
    """Records what the environment inside it does, step by step, as it happens.

    The action recorded is the one that was executed: a person's where one acted
    (`info["intervene_action"]`). An episode ends with `terminated` or `truncated`, with
    `end` or `discard`, with the next reset or with `close`; a process that dies leaves it
    unfinished. Put it outside of everything that changes observations or actions.

    Example:
        >>> import tempfile
        >>> import gymnasium as gym
        >>> import hilserl_envs
        >>> from hilserl_envs.recording import EpisodeStore, RecordEpisodes
        >>> folder = tempfile.mkdtemp()
        >>> env = RecordEpisodes(gym.make("hilserl/PickCube-v0", obs="state"), folder, keep="all")
        >>> observation, info = env.reset(seed=3)
        >>> for _ in range(5):
        ...     observation, *_ = env.step(env.action_space.sample())
        >>> env.close()
        >>> (episode,) = EpisodeStore(folder)
        >>> episode["state/tcp_pose"].shape, episode.actions.shape, episode.info.why
        ((6, 7), (5, 7), 'closed')

    Args:
        env: one environment, with observations of fixed shapes.
        folder: of the store; made where there is none, else appended to.
        keep: "success": only episodes whose last step is a success are kept; or "all".
            What is not kept stays on disk, out of the way.
        image_format: "png" (lossless), "raw" or "jpeg".
        extras: more that is taken from `info` at every reset and step, with its type:
            {"grasp_penalty": "float32", "label": "int8"}; 0 where `info` lacks it.
        session: anything worth keeping about this session, such as its seed.
        sync: wait for the disk at the end of every episode.

    Raises:
        ConfigError: a wrong setting, or a store of other observations, actions or wrappers.
        RecordingError: the folder holds something else, or is damaged.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        folder: str | Path,
        keep: str = "success",
        image_format: str = "png",
        extras: Mapping[str, str | Leaf] | None = None,
        session: Mapping[str, Any] | None = None,
        sync: bool = True,
    ):
        RecordConstructorArgs.__init__(
            self, folder=str(folder), keep=keep, image_format=image_format, extras=extras, session=session,
            sync=sync,
        )  # fmt: skip
        super().__init__(env)
        self._keep_all = check_name(keep, KEEP, "keep") == "all"
        schema = Schema.of_env(env, extras, image_format)
        self._writer = EpisodeWriter(folder, schema, describe_env(env), session, sync)
        self._last: int | None = None
        self._kept_now: list[int] = []
        self._before: int | None = None  # the last episode with a step that ended
        self._stepped = False
        self._succeeded = False

    @property
    def recorded(self) -> int:
        """Episodes in the store, those of earlier sessions and the one in progress included."""
        return self._writer.recorded

    @property
    def kept(self) -> int:
        """Episodes in the store that are kept."""
        return self._writer.kept

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """As the environment's; an episode in progress ends there.

        Raises:
            RecordingError: it cannot be written.
        """
        self.end_if_open("reset")
        observation, info = self.env.reset(seed=seed, options=options)
        self._succeeded, self._stepped = bool(info.get("is_success", False)), False
        self._last = self._writer.begin(
            observation, seed=seed, options=options, success=self._succeeded, extras=self._extras(info)
        )
        return observation, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict]:
        """As the environment's, recorded; after `end` or `discard` no longer, up to the next reset.

        Raises:
            RecordingError: it cannot be written.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._writer.episode is not None:
            self._succeeded = bool(info.get("is_success", False))
            try:
                self._writer.step(
                    observation,
                    np.asarray(info.get("intervene_action", action), dtype=np.float32),
                    reward,
                    terminated,
                    truncated,
                    success=self._succeeded,
                    intervened=info.get("intervened", "intervene_action" in info),
                    extras=self._extras(info),
                )
            except BaseException:
                self._writer.skip_step()
                raise
            self._stepped = True
            if terminated or truncated:
                self.end()
        return observation, reward, terminated, truncated, info

    def end(self, kept: bool | None = None, why: str = "") -> None:
        """End the episode in progress here.

        Args:
            kept: None decides by `keep`.
            why: in words.

        Raises:
            ConfigError: none is in progress.
        """
        kept = (self._keep_all or self._succeeded) if kept is None else kept
        self._writer.end(kept, why=why)
        if kept:
            self._kept_now.append(self._last)
        if self._stepped:
            self._before = self._last

    def discard(self, why: str = "discarded") -> None:
        """Don't keep the episode in progress, which ends here, or the last one if it has ended.

        Raises:
            ConfigError: nothing was recorded yet.
        """
        if self._writer.episode is not None:
            self.end(kept=False, why=why)
        elif self._last is not None:
            self._writer.mark(self._last, kept=False, why=why)
            self._kept_now = [number for number in self._kept_now if number != self._last]
        else:
            raise ConfigError("there is no episode to discard yet; call reset() first")

    def take_back(self, why: str = "discarded") -> bool:
        """No longer keep the episode before the one that has only just begun.

        Returns whether it was kept until now; nothing happens to those before it.
        """
        if self._before not in self._kept_now:
            return False
        self._writer.mark(self._before, kept=False, why=why)
        self._kept_now.remove(self._before)
        return True

    def close(self) -> None:
        """End the episode in progress, let go of the store, and close the environment."""
        try:
            self.end_if_open("closed")
        finally:
            self._writer.close()
            self.env.close()

    def end_if_open(self, why: str, kept: bool | None = None) -> None:
        """As `end`, if an episode is in progress."""
        if self._writer.episode is not None:
            self.end(kept, why)

    def _extras(self, info: Mapping[str, Any]) -> dict[str, Any]:
        return {name: info[name] for name in self._writer.schema.extras if name in info}
