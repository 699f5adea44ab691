"""Step several twins at once, on native threads in this one process."""

import time

import numpy as np

import hilserl_envs

NUM_ENVS, STEPS = 4, 100

envs = hilserl_envs.make_vec_env("PickCube", NUM_ENVS, obs="state")
observations, infos = envs.reset(seed=0)
rng = np.random.default_rng(0)
began = time.perf_counter()
for _ in range(STEPS):
    actions = rng.uniform(-1, 1, envs.action_space.shape).astype(np.float32)
    observations, rewards, terminated, truncated, infos = envs.step(actions)
seconds = time.perf_counter() - began
print(f"{NUM_ENVS * STEPS / seconds:.0f} environment steps a second, state {observations['state'].shape}")
envs.close()
