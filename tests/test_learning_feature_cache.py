"""Features on disk: each frame's once, of crops by its number, or of others later."""

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


def test_renewed_crops_are_others_that_the_given_numbers_decide_on(open_cache, encoder):
    cache, rng = open_cache(), np.random.default_rng(9)
    for record in range(3):
        write(cache, record)
    before = cache.path.read_bytes()
    cache.renew(1, checksum(1), frame(1), np.random.default_rng(9))
    assert held(cache, 0, 1, 2) == [True] * 3
    size, after = len(before) // CAPACITY, cache.path.read_bytes()
    changed = [before[n * size : (n + 1) * size] != after[n * size : (n + 1) * size] for n in range(CAPACITY)]
    assert changed == [False, True] + [False] * (CAPACITY - 2)  # its row alone
    expected = {
        key: pack(encode_crops(encoder, image[None], CROPS, rng)[0]) for key, image in frame(1).items()
    }
    for key, packed in cache.gather(np.array([1] * 16), np.random.default_rng(0)).items():
        for values, scale in zip(*packed, strict=True):
            assert any(
                torch.equal(values, v) and torch.equal(scale, s) for v, s in zip(*expected[key], strict=True)
            )


def test_a_row_that_was_being_renewed_when_the_disk_was_full_is_seen_to_be_torn(open_cache):
    """As after a kill: the first part is new."""
    cache = open_cache()
    for record in range(2):
        write(cache, record)
    with no_room_beyond(cache.path.stat().st_size // CAPACITY * 3 // 2):
        with pytest.raises(LearningError, match="Make room"):
            cache.renew(1, checksum(1), frame(1), np.random.default_rng(9))
    assert held(open_cache(), 0, 1) == [True, False]
