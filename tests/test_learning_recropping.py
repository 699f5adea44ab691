"""Crops are renewed in turns, one frame at a time, as long as somebody will draw from them."""

import numpy as np
import pytest

from hilserl_envs.learning.batch import Inputs
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.recropping import Recropping
from hilserl_envs.learning.replay import Replay
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.tasks.setup import laid_out
from tests.one_thread import one_thread  # noqa: F401

EYE = {"images/eye": (32, 32, 3)}
SCHEMA = Schema({"state": Leaf((1,))}, EYE, Leaf((2,)), image_format="raw")
CAPACITY = 20


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


def observe(seed: int) -> dict:
    eye = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    return {"state": np.zeros(1, np.float32), "images": {"eye": eye}}


def act(folder, steps: int, kept: bool = True) -> None:
    """An episode, of one frame more than steps."""
    with EpisodeWriter(folder, SCHEMA, {"fps": 10}, sync=False) as writer:
        writer.begin(observe(0))
        for step in range(1, steps + 1):
            writer.step(observe(step), np.zeros(2), 0.0, step == steps, False)
        writer.end(kept=kept)


class Rows:
    """A replay, and which of its rows were changed since the last look."""

    def __init__(self, folder, encoder):
        self._path = folder.with_suffix(".bin")
        cache = FeatureCache(self._path, encoder, EYE, 1, CAPACITY, 0)
        layout = laid_out([("", False, ("x", "z"))])
        self.replay = Replay(EpisodeStore(folder), Inputs({"state": 1}, EYE), layout, 0.0, cache, 100)
        self.replay.refresh()
        self._seen = self._rows()

    def _rows(self) -> list[bytes]:
        content = self._path.read_bytes()
        size = len(content) // CAPACITY
        return [content[at : at + size] for at in range(0, len(content), size)]

    def changed(self) -> list[int]:
        before, self._seen = self._seen, self._rows()
        return [
            number for number, pair in enumerate(zip(before, self._seen, strict=True)) if pair[0] != pair[1]
        ]


@pytest.fixture
def make(tmp_path, encoder):
    def make(name: str, *episodes: int, discarded: tuple[int, ...] = ()) -> Rows:
        for number, steps in enumerate(episodes):
            act(tmp_path / name, steps, kept=number not in discarded)
        return Rows(tmp_path / name, encoder)

    return make


def test_from_the_oldest_on_and_round_again_leaving_out_what_is_not_used(make):
    rows, recropping = make("a", 1, 1, 2, discarded=(1,)), Recropping([1])
    order = []
    for update in range(7):
        assert recropping.step([rows.replay], update)
        order += rows.changed()
    assert order == [0, 1, 4, 5, 6, 0, 1]


def test_new_frames_have_their_turn(make, tmp_path):
    rows, recropping = make("a", 1), Recropping([1])
    recropping.step([rows.replay], 1)
    act(tmp_path / "a", 1)
    rows.replay.refresh()
    assert rows.changed() == [0, 2, 3]
    order = []
    for _ in range(3):
        recropping.step([rows.replay], 1)
        order += rows.changed()
    assert order == [1, 2, 3]


def test_replays_take_turns_whatever_their_sizes(make):
    few, many, recropping = make("few", 1), make("many", 5), Recropping([1])
    order = []
    for update in range(8):
        recropping.step([few.replay, many.replay], update)
        order.append((few.changed(), many.changed()))
    assert sorted(pair for pair in order[:2]) == [([], [0]), ([0], [])]
    assert [changed for pair in order for changed in pair[0]] == [0, 1, 0, 1]
    assert [changed for pair in order for changed in pair[1]] == [0, 1, 2, 3]


def test_once_all_are_renewed_it_rests_until_the_next_update(make):
    rows, recropping = make("a", 2), Recropping([1])
    assert [recropping.step([rows.replay], 0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert rows.changed() == [0, 1, 2]
    assert recropping.step([rows.replay], 1) and rows.changed() == [0]


def test_with_nothing_there_is_nothing_to_do(make, tmp_path, encoder):
    EpisodeWriter(tmp_path / "empty", SCHEMA, {"fps": 10}, sync=False).close()
    empty, recropping = Rows(tmp_path / "empty", encoder), Recropping([1])
    assert not recropping.step([], 0) and not recropping.step([empty.replay], 0)
    rows = make("a", 1)
    assert recropping.step([empty.replay, rows.replay], 0) and rows.changed() == [0]


def test_batches_hold_the_new_crops_and_nothing_else_of_them_changes(make):
    rows = make("a", 4)
    replay = rows.replay
    before = replay.batch(replay.transitions, np.random.default_rng(0))
    for _ in range(5):
        Recropping([1]).step([replay], 0)  # each begins at the oldest
    after = replay.batch(replay.transitions, np.random.default_rng(0))
    old, new = (batch.observations.images["images/eye"].values for batch in (before, after))
    assert [(a != b).any().item() for a, b in zip(old, new, strict=True)] == [True, False, False, False]
    assert rows.changed() == [0]
    assert replay.refresh() == 0  # nothing waits to be encoded
