"""Played back, a recording shows how far it is from itself."""

import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.recording import EpisodeStore, RecordEpisodes, rebuild_env
from hilserl_envs.recording.replay import replay_episode
from hilserl_envs.wrappers import CropImages


def record(folder, seeds, **arguments):
    """One episode a seed, of an expert."""
    env = RecordEpisodes(hilserl_envs.make_env("PickCube", device="expert", **arguments), folder, keep="all")
    for seed in seeds:
        env.reset(seed=seed)
        over = False
        while not over:
            *_, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape))
            over = terminated or truncated
    env.close()
    return EpisodeStore(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        {"obs": "state", "flatten": False},
        {"obs": "state", "frame": "base", "rotation": None},
        {"obs": "state", "rotation": "6d", "axes": ["x", "y", "z", "rz"], "gripper_penalty": 0.02},
    ],
    ids=str,
)
def test_the_same_actions_from_the_same_seed_go_the_same_way(tmp_path, arguments):
    store = record(tmp_path / "demos", [3], **arguments)
    env = rebuild_env(store.meta)
    replay = replay_episode(env, next(iter(store)))
    assert replay.same_outcome and replay.success
    assert replay.position_drift.max() == 0.0 and max(replay.state_drift.values()) == 0.0
    assert len(replay.position_drift) == len(next(iter(store))) + 1
    env.close()


def test_drift_is_measured_in_metres(tmp_path):
    """From another seed the same actions lead somewhere else."""
    store = record(tmp_path / "demos", [3], obs="state", frame="base", flatten=False)
    episode = next(iter(store))
    env = rebuild_env(store.meta)
    true_reset = env.reset
    env.reset = lambda seed, options: true_reset(seed=seed + 1, options=options)
    replay = replay_episode(env, episode)
    start = true_reset(seed=4)[0]["state"]["tcp_pose"][:3]
    expected = np.linalg.norm(start - episode["state/tcp_pose"][0, :3])
    assert replay.position_drift[0] == pytest.approx(expected, rel=1e-5) and expected > 1e-3
    env.close()


def test_what_cannot_be_replayed_says_why(tmp_path):
    store = record(tmp_path / "seedless", [None], obs="state", flatten=False)
    env = rebuild_env(store.meta)
    with pytest.raises(ConfigError, match="without a seed"):
        replay_episode(env, next(iter(store)))
    env.close()
    store = record(tmp_path / "keyless", [0], obs="state", keys=["tcp_vel"])
    env = rebuild_env(store.meta)
    with pytest.raises(ConfigError, match="no tcp_pose"):
        replay_episode(env, next(iter(store)))
    env.close()


def test_images_may_be_cropped(tmp_path):
    inner = hilserl_envs.make_env("PickCube", device="expert", flatten=False)
    env = RecordEpisodes(CropImages(inner, {"front": (0, 0, 64, 64)}), tmp_path / "demos", keep="all")
    env.reset(seed=1)
    for _ in range(3):
        env.step(np.zeros(7))
    env.close()
    store = EpisodeStore(tmp_path / "demos")
    again = rebuild_env(store.meta)
    episode = next(iter(store))
    assert replay_episode(again, episode).position_drift.max() == 0.0
    observation, _ = again.reset(seed=1)
    np.testing.assert_array_equal(observation["images"]["front"], episode["images/front"][0])
    again.close()
