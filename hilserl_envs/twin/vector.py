"""Many environments in one process, each stepped on a thread of its own.

The physics loop and the rasteriser release the GIL, so N twins keep N cores busy; what
an environment does is the same to the bit as alone. Autoreset, spaces and infos are
those of gymnasium's `SyncVectorEnv`, which this class only feeds with results computed
side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate
from gymnasium.wrappers import TimeLimit

from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv


class _Worker(gymnasium.Wrapper):
    """An environment that lives on its own thread: images are drawn where contexts were made."""

    def __init__(self, make: Callable[[], gymnasium.Env]):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="env")
        super().__init__(self._thread.submit(make).result())
        self._begun: Future | None = None
        self._reset_after: Future | None = None

    def begin_step(self, action: Any, reset_when_done: bool) -> None:
        """Start a step; `step` hands out its result, `reset` that of a reset it called for."""
        self._begun = self._thread.submit(self.env.step, action)
        self._reset_after = self._thread.submit(self._reset_if_done, self._begun) if reset_when_done else None

    def begin_reset(self, **arguments: Any) -> None:
        """Start a reset; `reset` hands out its result."""
        self._reset_after = self._thread.submit(self.env.reset, **arguments)

    def _reset_if_done(self, step: Future) -> tuple | None:
        _, _, terminated, truncated, _ = step.result()
        return self.env.reset() if terminated or truncated else None

    def step(self, action: Any) -> tuple:
        return self._begun.result()

    def reset(self, **arguments: Any) -> tuple:
        return self._reset_after.result()

    def render(self) -> Any:
        return self._thread.submit(self.env.render).result()

    def close(self) -> None:
        self._thread.submit(self.env.close).result()
        self._thread.shutdown()


class ThreadVectorEnv(SyncVectorEnv):
    """A vector environment with a thread for each of its environments.

    Args:
        env_fns: functions that make the environments; each runs on its own thread.
        autoreset_mode: one of gymnasium's, as member or value.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gymnasium.Env]],
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ):
        if not env_fns:
            raise ConfigError("a vector environment needs num_envs of at least 1")
        super().__init__([lambda make=make: _Worker(make) for make in env_fns], autoreset_mode=autoreset_mode)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None) -> tuple:
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)]
            if _is_one(seed)
            else list(seed)
        )
        if len(seeds) != self.num_envs:
            raise ConfigError(f"got {len(seeds)} seeds for {self.num_envs} environments; give one or as many")
        passed = {name: value for name, value in (options or {}).items() if name != "reset_mask"} or None
        mask = (options or {}).get("reset_mask", [True] * self.num_envs)
        for worker, single_seed, chosen in zip(self.envs, seeds, mask, strict=True):
            if chosen:
                worker.begin_reset(seed=single_seed, options=passed)
        return super().reset(seed=seeds, options=dict(options) if options else None)

    def step(self, actions: Any) -> tuple:
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        for i, (worker, action) in enumerate(
            zip(self.envs, iterate(self.action_space, actions), strict=True)
        ):
            if self.autoreset_mode == AutoresetMode.NEXT_STEP and self._autoreset_envs[i]:
                worker.begin_reset()
            else:
                worker.begin_step(action, reset_when_done=same_step)
        return super().step(actions)


def _is_one(seed: Any) -> bool:
    return seed is None or isinstance(seed, int)


def make_twin_vector(
    num_envs: int = 1,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **arguments: Any,
) -> ThreadVectorEnv:
    """What `gym.make_vec` calls: `num_envs` bare `FrankaEnv`s, made with `arguments`."""

    def make() -> gymnasium.Env:
        env = FrankaEnv(**arguments)
        return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)

    return ThreadVectorEnv([make] * num_envs, autoreset_mode)
