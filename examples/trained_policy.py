"""Let a trained policy act: the one in the folder that `hilserl train` made.

hilserl record PickCube --obs state --device expert --out demos
hilserl train PickCube --obs state --demos demos --out run --algorithm bc --steps 500
python examples/trained_policy.py run
"""

import sys

from hilserl_envs.learning.load_policy import load_policy
from hilserl_envs.learning.run_folder import RunFolder

run = RunFolder(sys.argv[1] if len(sys.argv) > 1 else "run")
env = run.settings.make_env(watched=False)  # what it was trained in, without whoever took over
policy = load_policy(run)  # its best checkpoint, or checkpoint="last"
for seed in range(3):
    observation, info = env.reset(seed=seed)
    policy.start(seed)
    steps, over = 0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        steps, over = steps + 1, terminated or truncated
    print(f"seed {seed}: success {info['is_success']} after {steps} steps")
env.close()
