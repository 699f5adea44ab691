"""Features on disk: each frame's once, its crops by its number, and nothing damaged is handed out."""

import os

import numpy as np
import pytest
import torch

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.encoder import make_encoder
from hilserl_envs.learning.feature_cache import FeatureCache
from hilserl_envs.learning.features import encode_crops, pack
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401

CAMERAS = {"images/left": (32, 32, 3), "images/right": (32, 48, 3)}
CROPS, CAPACITY, SEED = 2, 6, 5


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture
def open_cache(tmp_path, encoder):
    return lambda **changes: FeatureCache(
        tmp_path / "features" / "them.bin", encoder, CAMERAS,
        **{"crops": CROPS, "capacity": CAPACITY, "seed": SEED} | changes,
    )  # fmt: skip


def frame(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {key: rng.integers(0, 256, shape, dtype=np.uint8) for key, shape in CAMERAS.items()}


def checksum(record: int) -> int:
    return 1000 + record


def write(cache: FeatureCache, record: int, ordinal: int | None = None) -> None:
    cache.write(record, checksum(record), frame(record), record if ordinal is None else ordinal)


def held(cache: FeatureCache, *records: int) -> list[bool]:
    checksums = np.array([checksum(record) for record in records], np.uint32)
    return cache.holds(np.array(records), checksums).tolist()


def crops_of(encoder, record: int, ordinal: int, seed: int = SEED):
    """Packed features of the crops of each camera that belong to a frame of that number."""
    return {
        key: pack(
            encode_crops(encoder, image[None], CROPS, np.random.default_rng([seed, ordinal, camera]))[0]
        )
        for camera, (key, image) in enumerate(frame(record).items())
    }


def test_each_draw_is_one_of_the_frames_crops(open_cache, encoder):
    cache = open_cache()
    for record in range(4):
        write(cache, record)
    records = np.array([2, 0, 3, 2, 2, 2, 1, 0] * 8)
    drawn = cache.gather(records, np.random.default_rng(0))
    assert list(drawn) == list(CAMERAS)
    for key, packed in drawn.items():
        seen = set()
        for record, values, scale in zip(records, packed.values, packed.scale, strict=True):
            crops, scales = crops_of(encoder, record, record)[key]
            fits = [
                n for n in range(CROPS) if torch.equal(values, crops[n]) and torch.equal(scale, scales[n])
            ]
            assert fits
            seen.add((int(record), fits[0]))
        assert len(seen) == 4 * CROPS  # every crop comes up


def test_a_frames_number_and_the_seed_decide_on_its_crops(open_cache, encoder):
    """Not its place in the file: a run that makes an episode again has it elsewhere."""
    cache = open_cache()
    write(cache, 1, ordinal=4)
    (values, _), drawn = (
        crops_of(encoder, 1, 4)["images/left"],
        cache.gather(np.array([1]), np.random.default_rng(0))["images/left"],
    )
    assert any(torch.equal(drawn.values[0], crop) for crop in values)
    other, _ = crops_of(encoder, 1, 1)["images/left"]
    assert not any(torch.equal(drawn.values[0], crop) for crop in other)


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


def row_size(cache: FeatureCache) -> int:
    return cache.path.stat().st_size // CAPACITY


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
        with pytest.raises(LearningError, match=r"cannot write features to .*them.bin: File too large. Make"):
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
