"""Let a policy act, and somebody correct it: who did what, and what a learner gets to see.

python examples/correct_a_policy.py              # a scripted overseer
python examples/correct_a_policy.py keyboard     # you
"""

import sys

import hilserl_envs
from hilserl_envs.policies import RandomPolicy
from hilserl_envs.wrappers import LiveView

if len(sys.argv) > 1:
    env = LiveView(hilserl_envs.make_env("RamInsertion", device=sys.argv[1]))
else:
    env = hilserl_envs.make_env("RamInsertion", obs="state", overseer={"stall_steps": 5})
policy = RandomPolicy(env)  # put yours here

for episode in range(3):
    observation, info = env.reset(seed=episode)
    steps = corrected = 0
    over = False
    while not over:
        wanted = policy(observation)
        observation, reward, terminated, truncated, info = env.step(wanted)
        executed = info.get("intervene_action", wanted)  # what a learner stores
        steps, corrected = steps + 1, corrected + info["intervened"]
        over = terminated or truncated
    print(f"episode {episode}: success {info['is_success']}, corrected in {corrected} of {steps} steps")
print(f"the last action executed: {executed.round(2)}")
env.close()
