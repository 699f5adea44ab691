"""What an agent sees of a store, and which batches it gets."""

import numpy as np
import pytest
import torch

import hilserl_envs
from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import Inputs
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.features import encode_crops, pack
from hilserl_envs.learning.replay import Replay
from hilserl_envs.recording import EpisodeStore, RecordEpisodes
from hilserl_envs.tasks.setup import laid_out
from tests.one_thread import one_thread  # noqa: F401
from tests.recorder_process import RecorderProcess
from tests.replay_store import EYE, INPUTS, LAYOUT, Store, frame, observe, open_cache, open_replay


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def all_of(replay: Replay):
    return replay.batch(replay.transitions, np.random.default_rng(0))


def places(replay: Replay) -> list[tuple[int, int]]:
    """Episode and step of the observations before each transition."""
    return [tuple(map(int, row[:2])) for row in all_of(replay).observations.state]


def test_what_follows_is_right_at_every_kind_of_end(store):
    store.episode(3, "terminated")
    store.episode(2, "truncated")
    store.episode(2, "dies")
    store.episode(2, "stopped")
    store.begin()
    store.step()
    replay = open_replay(store)
    expected = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0)]
    assert places(replay) == expected and len(replay) == replay.total == 10
    batch = all_of(replay)
    before, after = batch.observations.state, batch.next_observations.state
    assert torch.equal(after[:, 0], before[:, 0]) and torch.equal(after[:, 1], before[:, 1] + 1)
    assert torch.equal(batch.rewards, 10 * after[:, 0] + after[:, 1])
    torch.testing.assert_close(batch.actions, torch.stack([after[:, 1], -after[:, 1]], -1) / 10)
    # Only a termination ends it for good.
    assert batch.masks.tolist() == [1, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    assert batch.observations.images == {}
    for part in (before, batch.actions, batch.rewards, batch.masks, batch.penalties, batch.expert):
        assert part.dtype == torch.float32


def test_what_is_discarded_vanishes_and_comes_back(store):
    first = store.episode(2)
    store.episode(2, kept=False)
    replay = open_replay(store)
    assert places(replay) == [(0, 0), (0, 1)]
    store.begin()
    store.step()
    replay.refresh()
    assert places(replay)[2:] == [(2, 0)]  # while it goes on it counts
    store.writer.end(kept=False, why="discarded")
    store.writer.mark(first, kept=False)
    replay.refresh()
    assert places(replay) == [] and replay.total == 0
    store.writer.mark(1, kept=True)
    replay.refresh()
    assert places(replay) == [(1, 0), (1, 1)]


def test_a_demonstration_that_did_not_end_is_none(store):
    store.episode(3, "dies")
    whole = store.episode(1)
    store.begin()
    store.step()
    assert places(open_replay(store, demonstrations=True)) == [(whole, 0)]


@pytest.mark.parametrize("step", [0, 2])
def test_numbers_that_are_none_are_refused_by_name_where_they_are_used(store, step):
    store.episode(2)
    number = store.begin()
    for _ in range(step):
        store.step()
    replay = open_replay(store)
    observation = observe(number, step)
    observation["state"]["place"][1] = np.nan
    if step == 0:
        store.writer.end(kept=True)
        store.writer.begin(observation)
        number += 1
        store.step()
    else:
        store.writer.step(observation, np.zeros(3), 0.0, False, False)
        step += 1
    with pytest.raises(LearningError, match=f"step {step} of episode {number} holds.*--discard {number}`"):
        replay.refresh()
    store.writer.end(kept=False)
    replay.refresh()  # what that says to do helps
    assert replay.total == 2


def test_an_unfinished_episode_can_be_taken_back(store):
    number = store.episode(3, "dies")
    store.episode(1)
    assert places(open_replay(store)) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    store.writer.mark(number, kept=False, why="made again")
    assert places(open_replay(store)) == [(1, 0)]


def test_a_step_is_seen_as_soon_as_it_is_written(store):
    replay = open_replay(store)
    store.begin()
    for steps in range(1, 5):
        replay.refresh()
        assert len(replay) == steps - 1
        store.step()
        assert replay.refresh() == 0
        assert places(replay)[-1] == (0, steps - 1)


def test_another_processs_steps_are_seen(tmp_path):
    with RecorderProcess() as recorder:
        recorder.start(tmp_path, 1)
        recorder.wait_for_a_step()
        inputs = Inputs({"state/tcp_pose": 7}, {})
        replay = Replay(EpisodeStore(tmp_path), inputs, laid_out([("", False, ("x", "y"))]), 0.0, None, 1000)
        while len(replay) < 30:
            before = len(replay)
            replay.refresh()
            assert len(replay) >= before
        recorder.kill()
    batch = all_of(replay)
    steps = batch.actions[:, 1].numpy()
    assert (np.diff(batch.actions[:, 0]) >= 0).all() and set(np.unique(steps)) == set(range(1, 7))


def test_the_newest_are_used_and_all_are_counted(store):
    for _ in range(4):
        store.episode(2)
    replay = open_replay(store, capacity=5)
    assert places(replay) == [(2, 1), (3, 0), (3, 1)] and replay.total == 8
    store.episode(1)
    replay.refresh()
    assert places(replay) == [(3, 0), (3, 1), (4, 0)] and replay.total == 9


def test_episodes_that_are_not_used_push_none_out(store):
    """A run that made some again uses the same as one that did not have to."""
    for _ in range(3):
        store.episode(2)
        store.episode(3, kept=False)
    assert places(open_replay(store, capacity=5)) == [(2, 1), (4, 0), (4, 1)]


def test_what_its_rewards_allow(store):
    store.episode(3)
    replay = open_replay(store)
    low, high = replay.returns.bounds(0.9)
    store.episode(3, kept=False)
    replay.refresh()
    assert replay.returns.bounds(0.9) == (low, high)
    rewards = [replay.batch(np.array([step]), np.random.default_rng(0)).rewards.item() for step in range(3)]
    assert low <= sum(rewards) <= high and high > 0


def test_who_is_to_be_imitated(store):
    store.episode(4, intervened=(2, 3))
    replay = open_replay(store)
    assert all_of(replay).expert.tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(replay.interventions, replay.transitions[[1, 2]])
    assert all_of(open_replay(store, demonstrations=True)).expert.tolist() == [1, 1, 1, 1]


def test_statistics_are_those_of_the_transitions(store):
    store.episode(3)
    store.episode(5, kept=False)
    mean, deviation = open_replay(store).statistics()
    np.testing.assert_allclose(mean, [0, 1, 1])
    np.testing.assert_allclose(deviation[1], np.std([0, 1, 2]))
    np.testing.assert_allclose(deviation[[0, 2]], INPUTS.scales[[0, 2]])  # what never changed


def test_grippers_cost_what_the_wrapper_says(tmp_path):
    """At any pace of looking, across resets."""
    env = hilserl_envs.make_env("PickCube", obs="state", flatten=False, gripper_penalty=0.02)
    env = RecordEpisodes(env, tmp_path, "all", extras={"grasp_penalty": "float32"}, sync=False)
    inputs, layout = Inputs.of_env(env), env.get_wrapper_attr("action_layout")
    rng, replay = np.random.default_rng(0), None
    for episode, steps in enumerate([12, 7, 20]):
        env.reset(seed=episode)
        for _ in range(steps):
            action = np.zeros(7, np.float32)
            action[6] = rng.choice([-1.0, -0.4, 0.0, 0.4, 1.0])
            env.step(action)
            if replay is None:
                replay = Replay(EpisodeStore(tmp_path), inputs, layout, -0.02, None, 1000)
            if rng.random() < 0.3:
                replay.refresh()
    env.close()
    replay.refresh()
    expected = replay.store.take("grasp_penalty", replay.transitions + 1)
    np.testing.assert_allclose(all_of(replay).penalties, expected)
    assert 4 < (expected < 0).sum() < 30
    wanted = {-1.0: 0, -0.4: 1, 0.0: 1, 0.4: 1, 1.0: 2}
    told = [wanted[round(float(a), 1)] for a in replay.store.records["action"][replay.transitions + 1, 6]]
    assert all_of(replay).grippers.tolist() == told


def test_a_store_without_what_is_needed_is_refused(store):
    with pytest.raises(ConfigError, match="'images/eye' is absent"):
        Replay(EpisodeStore(store.folder), Inputs(INPUTS.state, EYE), LAYOUT, 0.0, None, 10)


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


def features_of(encoder, episode: int, step: int, ordinal: int):
    crops = encode_crops(encoder, frame(episode, step)[None], 1, np.random.default_rng([3, ordinal, 0]))
    return [part[0] for part in pack(crops[0])]


def check_features(replay: Replay, encoder, ordinals: dict) -> None:
    batch = all_of(replay)
    for observations in (batch.observations, batch.next_observations):
        packed = observations.images["images/eye"]
        for row, values, scale in zip(observations.state, packed.values, packed.scale, strict=True):
            place = tuple(map(int, row[:2]))
            expected = features_of(encoder, *place, ordinals[place])
            assert torch.equal(values, expected[0]) and torch.equal(scale, expected[1]), place


def test_each_observation_has_its_own_images_features(tmp_path, encoder):
    store = Store(tmp_path / "store", images=True)
    store.episode(2, "truncated")
    store.episode(2, kept=False)
    store.episode(1)
    replay = open_replay(store, features=open_cache(tmp_path, encoder))
    assert places(replay) == [(0, 0), (0, 1), (2, 0)]
    # Frames are numbered among those that are used: what was discarded changes no crop after it.
    frames = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]
    check_features(replay, encoder, {place: number for number, place in enumerate(frames)})


def test_frames_are_encoded_a_few_at_a_time_the_oldest_first(tmp_path, encoder):
    store = Store(tmp_path / "store", images=True)
    store.episode(3)
    replay = Replay(
        EpisodeStore(store.folder), Inputs(INPUTS.state, EYE), LAYOUT, 0.0,
        open_cache(tmp_path, encoder), 1000,
    )  # fmt: skip
    seen = []
    for waiting in (3, 2, 1, 0, 0):
        assert replay.refresh(limit=1) == waiting
        seen.append(len(replay))
    assert seen == [0, 1, 2, 3, 3]


def test_what_the_cache_has_no_room_for_is_not_used(tmp_path, encoder):
    """However many there may be: its place is another's by then."""
    store = Store(tmp_path / "store", images=True)
    store.episode(2)
    store.episode(3, kept=False)
    store.episode(2)
    replay = open_replay(store, capacity=5, features=open_cache(tmp_path, encoder, capacity=8))
    assert places(replay) == [(2, 0), (2, 1)] and replay.total == 4
    check_features(replay, encoder, {(2, step): 3 + step for step in range(3)})


def test_features_that_were_damaged_are_made_again(tmp_path, encoder):
    store = Store(tmp_path / "store", images=True)
    store.episode(3)
    cache = open_cache(tmp_path, encoder)
    open_replay(store, features=cache)
    whole = cache.path.read_bytes()
    for damaged in (whole[: len(whole) // 150], bytes(len(whole)), b"\x55" * len(whole)):
        cache.path.write_bytes(damaged)
        again = open_cache(tmp_path, encoder)
        replay = open_replay(store, features=again)
        check_features(replay, encoder, {(0, step): step for step in range(4)})
    assert cache.path.read_bytes()[: 4 * len(whole) // 100] == whole[: 4 * len(whole) // 100]
