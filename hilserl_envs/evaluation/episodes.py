"""Running seeded episodes of a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import gymnasium
import numpy as np

from hilserl_envs.errors import DivergedError
from hilserl_envs.policies import Policy
from hilserl_envs.recording.session import Outcome, Session


@dataclass(frozen=True)
class Episode:
    """One episode as it went.

    Args:
        seed: of the reset and the policy.
        success: whether it ended in success.
        steps: control steps taken.
        seconds: robot time from the first step to the last.
        mean_force, peak_force: of the lengths of the tcp_force after each step, of the arm
            with the larger one [N].
        total_reward: undiscounted sum.
        interventions: steps in which somebody else acted; None where nobody could.
        task_success: what the task itself said at the end; None where nobody else judges.
        task_success_at_any_step: whether it ever said so; of a task that ends with its first success
            this is what it would have come to under the task's own rule.
        diverged: whether the simulation diverged and so ended it, which counts as no success.
    """

    seed: int
    success: bool
    steps: int
    seconds: float
    mean_force: float
    peak_force: float
    total_reward: float
    interventions: int | None = None
    task_success: bool | None = None
    task_success_at_any_step: bool | None = None
    diverged: bool = False


def run_episodes(
    env: gymnasium.Env,
    policy: Policy,
    seeds: Iterable[int],
    watch: Callable[[dict], None] = lambda observation: None,
) -> Iterator[Episode]:
    """Run one episode per seed; yields each as it ends.

    A person who watches may take over, pause, and discard an episode, which is then run again.

    Args:
        env: a `FrankaEnv` in any stack.
        policy: made for `env`.
        seeds: of the episodes, for `env.reset` and `policy.start`.
        watch: called with every observation, that of the reset included.
    """
    meter = _Meter(env, watch)
    session = Session(meter, policy=policy)
    for seed in seeds:
        # What was told of already stays: "discard" during a reset is about the one to come.
        while session.run_episode(seed) in (Outcome.DISCARDED, Outcome.PREVIOUS_DISCARDED):
            pass
        yield meter.episode(seed)


class _Meter(gymnasium.Wrapper):
    """Takes down what happens in an episode; a simulation that diverges ends it."""

    def __init__(self, env: gymnasium.Env, watch: Callable[[dict], None]):
        super().__init__(env)
        self._watch = watch
        self._overseen = env.has_wrapper_attr("intervenes")

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._began = self.unwrapped.robot_state.time
        self._judged = "task_success" in info
        self._forces: list[float] = []
        self._infos: list[dict] = []
        self._reward, self._diverged = 0.0, False
        self._watch(self._observation)
        return self._observation, info

    def step(self, action: np.ndarray) -> tuple:
        try:
            result = self._observation, reward, _, _, info = self.env.step(action)
        except DivergedError:  # the next reset teleports
            self._diverged = True
            return self._observation, 0.0, False, True, {"is_success": False}
        arms = self.unwrapped.robot_state.arms.values()
        self._forces.append(max(float(np.linalg.norm(arm.tcp_force)) for arm in arms))
        self._infos.append(info)
        self._reward += float(reward)
        self._watch(self._observation)
        return result

    def episode(self, seed: int) -> Episode:
        """The episode since the last reset."""
        last = {} if self._diverged else self._infos[-1]
        return Episode(
            seed=seed,
            success=bool(last.get("is_success")),
            steps=len(self._infos),
            seconds=self.unwrapped.robot_state.time - self._began,
            mean_force=float(np.mean(self._forces)) if self._forces else 0.0,
            peak_force=max(self._forces, default=0.0),
            total_reward=self._reward,
            interventions=sum(info["intervened"] for info in self._infos) if self._overseen else None,
            task_success=bool(last.get("task_success")) if self._judged else None,
            task_success_at_any_step=any(i["task_success"] for i in self._infos) if self._judged else None,
            diverged=self._diverged,
        )
