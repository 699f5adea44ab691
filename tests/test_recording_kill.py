"""A kill at any moment loses the step in flight at most, and recording goes on."""

import time

import numpy as np

from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from tests.recorder_process import RecorderProcess

KILLS = 50


def test_fifty_kills(tmp_path):
    rng, recorded = np.random.default_rng(0), set()
    with RecorderProcess() as recorder:
        for kill in range(KILLS):
            recorder.start(tmp_path / "store", kill)
            if kill % 3:  # any part of a step, however busy the machine; else the opening, most of all
                recorder.wait_for_a_step()
            time.sleep(rng.uniform(0, 0.06))
            recorded |= recorder.kill()
            if not (tmp_path / "store" / "meta.json").exists():
                assert not recorded
                continue
            store = EpisodeStore(tmp_path / "store")
            there = {(int(r["episode"]), int(r["step"])) for r in store.records}
            assert recorded <= there, f"lost after kill {kill}: {sorted(recorded - there)}"
            assert store.verify() == []
            for info in store.episodes:
                episode = store.episode(info.number)
                np.testing.assert_array_equal(episode.actions[:, 0], info.number)
                np.testing.assert_array_equal(episode.actions[:, 1], 1 + np.arange(info.steps))
    assert len(recorded) > KILLS  # it did record between the kills
    unfinished = [info for info in store.episodes if not info.finished]
    assert unfinished and not any(info.kept for info in unfinished)

    with EpisodeWriter(tmp_path / "store") as writer:
        first = len(store.records)
        observation = {key: store.take(key, [0])[0] for key in store.schema.observations}
        observation["images/front"] = store.take("images/front", [0])[0]
        number = writer.begin(observation)
        writer.end(kept=True)
    store = EpisodeStore(tmp_path / "store")
    assert store.verify() == [] and store.episode(number).info.first == first
