"""Add a wrapper of your own: touch gently. It goes into the standard stack, and into training:

hilserl record RamInsertion --obs state --device expert:noise=0.1 --out demos
PYTHONPATH=examples hilserl train RamInsertion --obs state --demos demos --out run --overseer --steps 8000 \\
    --set 'env={"wrappers": ["own_wrapper:GentleTouch"]}'
"""

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

import hilserl_envs
from hilserl_envs.policies import ExpertPolicy


class GentleTouch(gym.Wrapper, RecordConstructorArgs):
    """Ends an episode as failed where the arm presses harder than `limit` [N]."""

    def __init__(self, env, limit=11.0):
        RecordConstructorArgs.__init__(self, limit=limit)  # so that env.spec can make it again
        super().__init__(env)
        self._limit = limit

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        force = float(np.linalg.norm(observation["state"]["tcp_force"]))
        info = {**info, "force": force}
        if force > self._limit:
            reward, terminated, info = 0.0, True, {**info, "is_success": False, "succeed": False}
        return observation, reward, terminated, truncated, info


if __name__ == "__main__":
    env = hilserl_envs.make_env("RamInsertion", obs="state", wrappers=[GentleTouch])
    expert = ExpertPolicy(env)
    for seed in range(5):
        env.reset(seed=seed)
        expert.start(seed)
        over, most = False, 0.0
        while not over:
            *_, terminated, truncated, info = env.step(expert(None))
            over, most = terminated or truncated, max(most, info["force"])
        print(f"seed {seed}: success {info['is_success']}, pressed with {most:.1f} N")
    env.close()
