"""Many environments in one process, stepped on as many threads.

The physics loop and the rasteriser release the GIL, so N twins keep N cores busy; what
an environment does is the same to the bit as alone. Autoreset, spaces and infos are
those of gymnasium's `SyncVectorEnv`, which this class only feeds with results computed
side by side.
"""

from __future__ import annotations

import numbers
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import create_empty_array, iterate
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from hilserl_envs.errors import ActionError, ConfigError, RobotError, check_array
from hilserl_envs.franka_env import FrankaEnv


class _Ahead(gymnasium.Wrapper):
    """An environment whose next step or reset is begun before it is asked for.

    This one does the work when it is begun, on the calling thread.
    """

    def __init__(self, make: Callable[[], gymnasium.Env]):
        self._outcomes: SimpleQueue = SimpleQueue()
        self._begun = False
        self._reset_with_step: tuple | None = None
        super().__init__(self._call(make))

    def _begin(self, function: Callable, **arguments: Any) -> None:
        if self._begun:  # another environment's error left it unasked for
            self._outcomes.get()
        self._begun = True
        self._start(function, arguments)

    def _start(self, function: Callable, arguments: dict) -> None:
        self._work_off(function, arguments)

    def _work_off(self, function: Callable, arguments: dict) -> None:
        try:
            self._outcomes.put((function(**arguments), None))
        except BaseException as error:  # goes to whoever asks for the outcome
            self._outcomes.put((None, error))

    def _outcome(self) -> Any:
        outcome, error = self._outcomes.get()
        self._begun = False
        if error is not None:
            raise error
        return outcome

    def _call(self, function: Callable, **arguments: Any) -> Any:
        self._begin(function, **arguments)
        return self._outcome()

    def begin_step(self, action: Any, reset_when_done: bool) -> None:
        """Begin a step; `step` hands out its result, and `reset` that of a reset it called for."""
        self._begin(self._step, action=action, reset_when_done=reset_when_done)

    def begin_reset(self, **arguments: Any) -> None:
        """Begin a reset; `reset` hands out its result."""
        self._reset_with_step = None
        self._begin(self.env.reset, **arguments)

    def _step(self, action: Any, reset_when_done: bool) -> tuple[tuple, tuple | None]:
        stepped = self.env.step(action)
        over = stepped[2] or stepped[3]
        return stepped, self.env.reset() if over and reset_when_done else None

    def step(self, action: Any) -> tuple:
        stepped, self._reset_with_step = self._outcome()
        return stepped

    def reset(self, **arguments: Any) -> tuple:
        if self._reset_with_step is not None:
            return self._reset_with_step
        return self._outcome()

    def render(self) -> Any:
        return self._call(self.env.render)


class _Threaded(_Ahead):
    """The same on a thread of its own, where the environment is made, too.

    Queues written in C pass work and results: an executor's futures would cost more than
    an environment's Python does.
    """

    def __init__(self, make: Callable[[], gymnasium.Env]):
        self._work: SimpleQueue = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="env", daemon=True)
        self._thread.start()
        try:
            super().__init__(make)
        except BaseException:
            self._work.put(None)
            raise

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._work_off(*work)

    def _start(self, function: Callable, arguments: dict) -> None:
        self._work.put((function, arguments))

    def close(self) -> None:
        if self._thread.is_alive():
            self._call(self.env.close)
            self._work.put(None)
            self._thread.join()


class ThreadVectorEnv(SyncVectorEnv):
    """A vector environment that steps its environments side by side, on as many threads.

    Args:
        env_fns: functions that make the environments, each called on its environment's thread;
            the last one's is the caller's.
        autoreset_mode: one of gymnasium's, as member or value.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gymnasium.Env]],
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ):
        if not env_fns:
            raise ConfigError("a vector environment needs num_envs of at least 1")
        made: list[_Ahead] = []
        try:
            # The last one steps on the caller's thread, which would only wait and be woken.
            for kind, make in zip([_Threaded] * (len(env_fns) - 1) + [_Ahead], env_fns, strict=True):
                made.append(kind(make))
            # Observations are written into new arrays each time, so they need no copying.
            super().__init__([lambda env=env: env for env in made], copy=False, autoreset_mode=autoreset_mode)
        except BaseException:
            for env in made:
                env.close()
            raise

    def _check_open(self) -> None:
        if self.closed:
            raise RobotError("this vector environment is closed; make another with gym.make_vec")

    def _renew_observations(self) -> None:
        self._observations = create_empty_array(self.single_observation_space, self.num_envs, fn=np.empty)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None) -> tuple:
        self._check_open()
        if seed is None or isinstance(seed, numbers.Integral):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ConfigError(f"got {len(seeds)} seeds for {self.num_envs} environments; give one or as many")
        passed = {name: value for name, value in (options or {}).items() if name != "reset_mask"} or None
        mask = (options or {}).get("reset_mask", [True] * self.num_envs)
        for env, single_seed, chosen in zip(self.envs, seeds, mask, strict=True):
            if chosen:
                env.begin_reset(seed=single_seed, options=passed)
        self._renew_observations()
        return super().reset(seed=seeds, options=dict(options) if options else None)

    def step(self, actions: Any) -> tuple:
        """Step all environments.

        Raises:
            ActionError: the actions have a wrong shape or are not finite; nothing moves.
        """
        self._check_open()
        check_array(actions, self.action_space.shape, "actions", ActionError)
        same_step = self.autoreset_mode == AutoresetMode.SAME_STEP
        for i, (env, action) in enumerate(zip(self.envs, iterate(self.action_space, actions), strict=True)):
            if self.autoreset_mode == AutoresetMode.NEXT_STEP and self._autoreset_envs[i]:
                env.begin_reset()
            else:
                env.begin_step(action, reset_when_done=same_step)
        self._renew_observations()
        return super().step(actions)


def make_twin_vector(
    num_envs: int = 1,
    max_episode_steps: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    **arguments: Any,
) -> ThreadVectorEnv:
    """What `gym.make_vec` calls: `num_envs` bare `FrankaEnv`s, made with `arguments`.

    Raises:
        ConfigError: not a whole number of environments, or several of them on one robot.
    """
    check_number(num_envs, arguments.get("robot", "twin"))

    def make() -> gymnasium.Env:
        env = OrderEnforcing(FrankaEnv(**arguments))
        return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)

    return ThreadVectorEnv([make] * num_envs, autoreset_mode)


def check_number(num_envs: int, robot: Any) -> None:
    """Refuse what is not a number of environments, and several that would command one robot.

    Raises:
        ConfigError: so.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, numbers.Integral) or num_envs < 1:
        raise ConfigError(f"num_envs must be a whole number of at least 1, got {num_envs!r}")
    if num_envs > 1 and robot != "twin":
        raise ConfigError(f"{num_envs} environments would command one robot; many need robot='twin'")
