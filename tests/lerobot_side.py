"""Run by the interpreter that has `lerobot`: reads datasets, or writes one of its own.

lerobot_side.py read OUT.npz ROOT...     every frame of datasets, as arrays
lerobot_side.py write ROOT               a small dataset made by lerobot itself
"""

import json
import sys

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def read(out: str, *roots: str) -> None:
    arrays = {}
    for number, root in enumerate(roots):
        # Its default decoder needs the system's FFmpeg.
        dataset = LeRobotDataset("test/exported", root=root, video_backend="pyav")
        frames = [dataset[index] for index in range(len(dataset))]
        for key, value in frames[0].items():
            column = [frame[key] for frame in frames]
            arrays[f"{number}/{key}"] = np.array(column if isinstance(value, str) else np.stack(column))
        for feature, stats in dataset.meta.stats.items():
            arrays |= {f"{number}/stats/{feature}/{name}": value for name, value in stats.items()}
        ends = [episode["dataset_to_index"] for episode in dataset.meta.episodes]
        facts = {"fps": dataset.fps, "robot_type": dataset.meta.robot_type, "ends": ends}
        arrays[f"{number}/facts"] = json.dumps(facts | {"features": dataset.features})
        part = LeRobotDataset("test/exported", root=root, episodes=[1], video_backend="pyav")
        arrays[f"{number}/second"] = np.stack([part[index]["index"] for index in range(len(part))])
    np.savez(out, **arrays)


def write(root: str) -> None:
    one, rng = {"shape": (1,), "names": None}, np.random.default_rng(0)
    image = {"shape": (64, 64, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        "observation.images.front": {"dtype": "video", **image},
        "observation.images.wrist": {"dtype": "image", **image},
        "action": {"dtype": "float32", "shape": (2,), "names": None},
        "next.reward": {"dtype": "float32", **one},
        "next.done": {"dtype": "bool", **one},
        "complementary_info.discrete_penalty": {"dtype": "float32", **one},
    }
    dataset = LeRobotDataset.create("test/theirs", 10, features, root=root)
    for episode in range(2):
        for step in range(4 + episode):
            grey = np.full((64, 64, 3), 20 * step + 100 * episode, np.uint8)
            dataset.add_frame(
                {
                    "observation.state": np.array([episode, step, 0.5], np.float32),
                    "observation.images.front": grey,
                    "observation.images.wrist": rng.integers(0, 256, (64, 64, 3), np.uint8),
                    "action": np.array([episode, step], np.float32),
                    "next.reward": np.array([float(step == 3 + episode)], np.float32),
                    "next.done": np.array([step == 3 + episode]),
                    "complementary_info.discrete_penalty": np.array([-0.5 * step], np.float32),
                    "task": "theirs",
                }
            )
        dataset.save_episode(parallel_encoding=False)
    dataset.finalize()


{"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
