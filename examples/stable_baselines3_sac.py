"""Train stable-baselines3's SAC on a task as it is. Install it first: pip install stable-baselines3

python examples/stable_baselines3_sac.py            # 200 steps: a look
python examples/stable_baselines3_sac.py 200000     # hours

It shows that nothing has to be adapted, not that it learns: the reward is 1 at success and 0 before, and
this SAC has neither demonstrations nor corrections. `hilserl train` has both.
"""

import sys

import gymnasium as gym
import torch
from gymnasium.wrappers import FlattenObservation
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy

import hilserl_envs  # noqa: F401 (registers the tasks)

torch.set_num_threads(1)  # small networks: several wait for each other more than they work

env = FlattenObservation(gym.make("hilserl/PickCube-v0", obs="state"))
model = SAC("MlpPolicy", env, learning_starts=100, seed=0)
model.learn(total_timesteps=int(sys.argv[1]) if len(sys.argv) > 1 else 200)
mean, deviation = evaluate_policy(model, model.get_env(), n_eval_episodes=3)
print(f"{model.num_timesteps} steps; reward of 3 episodes: {mean:.2f} +- {deviation:.2f}")
env.close()
