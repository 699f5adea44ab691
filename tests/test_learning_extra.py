"""PyTorch beside a renderer."""

import subprocess
import sys

SCRIPT = """
import hilserl_envs

env = hilserl_envs.make_env("PickCube", obs="pixels", render_mode="rgb_array")
env.reset(seed=0)
env.render()

from hilserl_envs.learning.extra import torch

torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
env.render()
print("both")
"""


def test_learning_may_begin_after_a_picture_was_drawn():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "both\n", (done.returncode, done.stderr)
