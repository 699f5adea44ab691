"""A store of episodes whose observations say which they are, and a replay of it."""

import numpy as np

from hilserl_envs.learning.batch import Inputs
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.replay import Replay
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.tasks.setup import laid_out

EYE = {"images/eye": (32, 32, 3)}
INPUTS = Inputs({"state/place": 2, "state/gripper_pose": 1}, {})
LAYOUT = laid_out([("", True, ("x", "z"))])


def schema(images: bool = False) -> Schema:
    # In another order than that of the inputs.
    state = {"state/gripper_pose": Leaf((1,)), "state/more": Leaf((4,)), "state/place": Leaf((2,))}
    return Schema(state, EYE if images else {}, Leaf((3,)), image_format="raw")


def observe(episode: int, step: int, images: bool = False) -> dict:
    observation = {
        "state": {
            "place": np.array([episode, step], np.float32),
            "gripper_pose": np.ones(1, np.float32),
            "more": np.full(4, 99, np.float32),
        }
    }
    return observation | ({"images": {"eye": frame(episode, step)}} if images else {})


def frame(episode: int, step: int) -> np.ndarray:
    return np.random.default_rng([episode, step]).integers(0, 256, (32, 32, 3), np.uint8)


class Store:
    """Episodes as somebody writes them; each observation says which it is."""

    def __init__(self, folder, images=False):
        self.folder, self.images, self._taken_over = folder, images, ()
        self.writer = EpisodeWriter(folder, schema(images), {"fps": 10}, sync=False)

    def begin(self, intervened=()) -> int:
        """Start an episode; somebody takes over in the steps `intervened`, counted from 1."""
        self.number, self._step, self._taken_over = self.writer.recorded, 0, intervened
        self.writer.begin(observe(self.number, 0, self.images))
        return self.number

    def step(self, terminated=False, truncated=False, gripper=0.0) -> None:
        self._step += 1
        self.writer.step(
            observe(self.number, self._step, self.images),
            np.array([0.1 * self._step, -0.1 * self._step, gripper]),
            10 * self.number + self._step,
            terminated,
            truncated,
            success=terminated,
            intervened=self._step in self._taken_over,
        )

    def episode(self, steps: int, end="terminated", kept=True, intervened=()) -> int:
        self.begin(intervened)
        for step in range(1, steps + 1):
            self.step(**{end: True} if step == steps and end in ("terminated", "truncated") else {})
        if end != "dies":
            self.writer.end(kept=kept)
        else:
            self.writer.close()
            self.writer = EpisodeWriter(self.folder, sync=False)
        return self.number


def open_replay(store: Store, capacity=1000, demonstrations=False, features=None, penalty=-0.02) -> Replay:
    inputs = Inputs(INPUTS.state, EYE if store.images else {})
    replay = Replay(EpisodeStore(store.folder), inputs, LAYOUT, penalty, features, capacity, demonstrations)
    replay.refresh()
    return replay


def open_cache(tmp_path, encoder, capacity=100) -> FeatureCache:
    return FeatureCache(tmp_path / "cache.bin", encoder, EYE, crops=1, capacity=capacity, seed=3)
