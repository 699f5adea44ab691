"""Make a task, wrap it, step it, render it: the scripted expert inserts RAM in the twin."""

import gymnasium as gym

import hilserl_envs  # registers the tasks
from hilserl_envs.images import save_png
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.video import write_video
from hilserl_envs.wrappers import FlattenProprioception, RelativeFrame, RotationRepresentation

env = gym.make("hilserl/RamInsertion-v0", render_mode="rgb_array")
env = RelativeFrame(env)
env = RotationRepresentation(env, "rotvec")
env = FlattenProprioception(env, ["tcp_pose", "tcp_vel", "tcp_force", "tcp_torque"])

observation, info = env.reset(seed=0)
policy = ExpertPolicy(env)  # put your own policy here: observation -> action
frames = [env.render()]
over = False
while not over:
    action = policy(observation)
    observation, reward, terminated, truncated, info = env.step(action)
    frames.append(env.render())
    over = terminated or truncated
print(f"hilserl_envs {hilserl_envs.__version__}: success {info['is_success']} after {len(frames) - 1} steps")
save_png("wrist_1.png", observation["images"]["wrist_1"])
write_video("insertion.mp4", frames, fps=env.metadata["render_fps"])
env.close()
