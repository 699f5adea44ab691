"""Record demonstrations of a task: by the scripted expert, or by you with any device.

python examples/record_demonstrations.py            # the expert, as fast as it goes
python examples/record_demonstrations.py browser    # you, on a page whose address is printed
"""

import sys

import numpy as np

import hilserl_envs
from hilserl_envs.recording import EpisodeStore, RecordEpisodes
from hilserl_envs.recording.session import Session
from hilserl_envs.wrappers import LiveView

device = sys.argv[1] if len(sys.argv) > 1 else "expert"
env = hilserl_envs.make_env("PickCube", device=device, flatten=False)
env = recorder = RecordEpisodes(env, "demos")  # keeps successes; a second run adds to it
env = LiveView(env, "none" if device == "expert" else "auto")

session = Session(env)  # waits for you to begin, keeps real time, pauses, discards
while recorder.kept < 5:
    outcome = session.run_episode(seed=recorder.recorded)
    print(f"episode {recorder.recorded}: {outcome.value}, {recorder.kept} kept")
env.close()

store = EpisodeStore("demos")
for episode in store:
    heights = episode["state/tcp_pose"][:, 2]  # (steps + 1,) [m], from the reset pose
    print(f"{len(episode)} steps, {np.ptp(heights):.2f} m up and down, {episode['images/front'].shape}")
