"""Rows on disk, of features or of frames: the newest ones', and nothing damaged is handed out."""

import os

import numpy as np
import pytest

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.frame_cache import FrameCache
from hilserl_envs.learning.row_cache import RowCache
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401

CAMERAS = {"images/left": (32, 32, 3), "images/right": (32, 48, 3)}
CAPACITY = 6


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(params=["features", "frames"])
def open_cache(request, tmp_path, encoder):
    def open_it(capacity: int = CAPACITY) -> RowCache:
        path = tmp_path / "cache" / "it.bin"
        if request.param == "features":
            return FeatureCache(path, encoder, CAMERAS, crops=2, capacity=capacity, seed=5)
        return FrameCache(path, CAMERAS, capacity)

    return open_it


def frame(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {key: rng.integers(0, 256, shape, dtype=np.uint8) for key, shape in CAMERAS.items()}


def checksum(record: int) -> int:
    return 1000 + record


def write(cache: RowCache, record: int) -> None:
    cache.write(record, checksum(record), frame(record), record)


def held(cache: RowCache, *records: int) -> list[bool]:
    checksums = np.array([checksum(record) for record in records], np.uint32)
    return cache.holds(np.array(records), checksums).tolist()


def row_size(cache: RowCache) -> int:
    return cache.path.stat().st_size // CAPACITY


def test_the_newest_take_the_places(open_cache):
    cache = open_cache()
    assert held(cache, 0, 1) == [False, False]
    for record in range(CAPACITY):
        write(cache, record)
    assert held(cache, *range(CAPACITY)) == [True] * CAPACITY
    write(cache, CAPACITY)
    assert held(cache, 0, 1, CAPACITY) == [False, True, True]


def test_what_belongs_to_another_record_is_not_held(open_cache):
    cache = open_cache()
    write(cache, 3)
    assert not cache.holds(np.array([3]), np.array([checksum(3) + 1], np.uint32))[0]
    assert not cache.holds(np.array([4]), np.array([0], np.uint32))[0]  # nobody wrote there


def test_another_process_finds_it(open_cache):
    write(open_cache(), 2)
    again = open_cache()
    assert held(again, 1, 2) == [False, True]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_row_that_was_cut_off_is_made_again(open_cache, share):
    """What a kill leaves: the first part of a row, and behind it what was there before."""
    cache = open_cache()
    for record in range(3):
        write(cache, record)
    whole, size = cache.path.read_bytes(), row_size(cache)
    for before in (bytes(size), bytes([7]) * size):
        torn = whole[size : 2 * size][: int(share * size)]
        with open(cache.path, "r+b") as file:
            file.seek(size)
            file.write(torn + before[len(torn) :])
        again = open_cache()
        assert held(again, 0, 1, 2) == [True, False, True]
        write(again, 1)
        assert held(again, 0, 1, 2) == [True] * 3 and cache.path.read_bytes() == whole


@pytest.mark.parametrize("place", [0, 4, 0.3, 0.7, -1])
def test_a_single_wrong_byte_is_seen(open_cache, place):
    cache = open_cache()
    write(cache, 0)
    size = row_size(cache)
    at = place % size if isinstance(place, int) else int(place * size)
    with open(cache.path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 0x10]), at)
    assert held(open_cache(), 0) == [False]


def test_a_file_that_lost_its_end_is_filled_again(open_cache):
    cache = open_cache()
    for record in range(CAPACITY):
        write(cache, record)
    os.truncate(cache.path, 2 * row_size(cache) + 10)
    again = open_cache()
    assert held(again, *range(CAPACITY)) == [True, True] + [False] * (CAPACITY - 2)
    write(again, 4)
    assert held(again, 4) == [True]


def test_a_full_disk_is_said_and_spoils_nothing(open_cache):
    cache = open_cache()
    write(cache, 0)
    # In the middle of the row: part of it can be written.
    with no_room_beyond(row_size(cache) * 3 // 2):
        with pytest.raises(LearningError, match=rf"write {cache.kind} to .*it.bin: File too large. Make"):
            write(cache, 1)
        with pytest.raises(LearningError, match="Make room"):
            open_cache(capacity=100)
    assert held(cache, 0, 1) == [True, False]
    write(cache, 1)
    assert held(cache, 0, 1) == [True, True]


def test_only_what_is_written_takes_room(open_cache):
    cache = open_cache(capacity=10_000)
    write(cache, 9_999)
    assert cache.path.stat().st_blocks * 512 < 20 * cache.path.stat().st_size / 10_000
