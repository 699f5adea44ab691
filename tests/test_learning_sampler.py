"""`Sampler`: one half of demonstrations and corrections, the other of experience."""

import itertools

import numpy as np
import pytest
import torch

from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.sampler import Sampler
from tests.one_thread import one_thread  # noqa: F401
from tests.replay_store import Store, open_cache, open_replay


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


def make_pair(tmp_path, demonstrations=1, online=2, intervened=(2,)):
    """A replay of demonstrations, and one of its own experience; their episodes are told apart by "place"."""
    shown, own = Store(tmp_path / "demonstrations"), Store(tmp_path / "own")
    for _ in range(demonstrations):
        shown.episode(4)
    own.episode(1, kept=False)  # so that the numbers of own episodes begin at 1
    for _ in range(online):
        own.episode(4, intervened=intervened)
    return open_replay(shown, demonstrations=True), open_replay(own)


def who(batch, rows: slice) -> list[tuple[int, int]]:
    return [tuple(map(int, row[:2])) for row in batch.observations.state[rows]]


def test_half_is_shown_and_half_is_lived(tmp_path):
    shown, own = make_pair(tmp_path)
    sampler = Sampler(shown, [own], 64, seed=0)
    first, second = [], []
    for _ in range(20):
        batch = sampler.sample()
        assert batch.rewards.shape == (64,) and batch.actions.shape == (64, 2)
        first += who(batch, slice(32))
        second += who(batch, slice(32, None))
        assert batch.expert[:32].tolist() == [1.0] * 32
    demonstrated, corrected = {(0, step) for step in range(4)}, {(1, 1), (2, 1)}
    lived = {(episode, step) for episode in (1, 2) for step in range(4)}
    assert set(first) == demonstrated | corrected  # interventions go to both
    assert set(second) == lived
    # All alike within a half.
    for half, members in ((first, 6), (second, 8)):
        counts = np.unique(half, axis=0, return_counts=True)[1]
        assert len(counts) == members and counts.min() > 0.7 * len(half) / members


def test_corrections_count_as_demonstrations_only_where_they_shall(tmp_path):
    shown, own = make_pair(tmp_path)
    sampler = Sampler(shown, [own], 64, seed=0, interventions=False)
    for _ in range(5):
        assert set(who(sampler.sample(), slice(32))) <= {(0, step) for step in range(4)}


def test_who_imitates_sees_only_experts(tmp_path):
    shown, own = make_pair(tmp_path)
    batch = Sampler(shown, [own], 64, seed=0, imitate=True).sample()
    assert batch.expert.tolist() == [1.0] * 64
    assert set(who(batch, slice(None))) == {(0, step) for step in range(4)} | {(1, 1), (2, 1)}


def test_a_half_that_has_nothing_yet_leaves_its_place(tmp_path):
    shown, own = make_pair(tmp_path, intervened=())
    empty = open_replay(Store(tmp_path / "empty"))
    for demonstrations, online, expected in [
        (shown, [], {0}),
        (shown, [empty], {0}),
        (None, [own], {1, 2}),
        (empty, [own], {1, 2}),
    ]:
        batch = Sampler(demonstrations, online, 32, seed=0).sample()
        assert {episode for episode, _ in who(batch, slice(None))} == expected
        assert len(batch.rewards) == 32


def test_several_stores_of_experience_are_as_one(tmp_path):
    """A store of 3 transitions, one of 9 with a correction, and one with nothing yet."""
    stores = [Store(tmp_path / name) for name in ("short", "long", "empty")]
    stores[0].episode(3)
    for _ in range(2):
        stores[1].episode(1, kept=False)  # so that the episode that counts has another number
    stores[1].episode(9, intervened=(2,))
    sampler, first, second = Sampler(None, [open_replay(store) for store in stores], 64, seed=0), [], []
    for _ in range(20):
        batch = sampler.sample()
        first += who(batch, slice(32))
        second += who(batch, slice(32, None))
    assert set(first) == {(2, 1)}  # in the half of demonstrations
    members, counts = np.unique(second, axis=0, return_counts=True)
    assert len(members) == 12 and counts.min() > 0.6 * len(second) / 12


def test_an_odd_batch_is_whole(tmp_path):
    shown, own = make_pair(tmp_path)
    batch = Sampler(shown, [own], 7, seed=0).sample()
    assert len(batch.rewards) == len(batch.next_observations.state) == 7


def test_batches_go_on_from_their_state(tmp_path):
    shown, own = make_pair(tmp_path)
    sampler, other = Sampler(shown, [own], 16, seed=0), Sampler(shown, [own], 16, seed=0)
    unlike = Sampler(shown, [own], 16, seed=1)
    assert who(sampler.sample(), slice(None)) == who(other.sample(), slice(None))
    assert who(sampler.sample(), slice(None)) != who(unlike.sample(), slice(None))
    unlike.state = sampler.state
    for _, _ in itertools.product(range(2), repeat=2):
        assert who(sampler.sample(), slice(None)) == who(unlike.sample(), slice(None))


def test_batches_of_images_come_whole(tmp_path, encoder):
    store = Store(tmp_path / "store", images=True)
    store.episode(3, intervened=(1,))
    replay = open_replay(store, features=open_cache(tmp_path, encoder))
    batch = Sampler(None, [replay], 10, seed=0).sample()
    for observations in (batch.observations, batch.next_observations):
        packed = observations.images["images/eye"]
        assert (
            packed.values.shape == (10, *encoder.feature_shape(32, 32)) and packed.values.dtype == torch.int8
        )
        assert packed.scale.shape == (10, encoder.channels) and packed.scale.dtype == torch.float16
