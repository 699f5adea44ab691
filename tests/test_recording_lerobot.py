"""A store as a LeRobot dataset and back: by the documented layout, and by lerobot itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema
from hilserl_envs.recording.lerobot import export_lerobot, files, import_lerobot

ROOT = Path(__file__).parents[1]
LENGTHS = (4, 3, 5)
FRAMES = sum(LENGTHS)
META = {"env": {"id": "hilserl/PickCube-v0", "spec": None}, "fps": 10, "action_names": ["x", "left/gripper"]}


def schema() -> Schema:
    return Schema(
        {"state/q": Leaf((2, 2)), "state/flat": Leaf((3,)), "count": Leaf((), "int64")},
        {"images/front": (32, 48, 3), "images/left/wrist": (32, 32, 3)},
        Leaf((2,)),
        {"grasp_penalty": Leaf(), "label": Leaf((), "int8"), "force": Leaf((3,))},
        {"state/flat/a": ("state/flat", 0, 1)},
    )


def observe(episode: int, step: int) -> dict:
    rng = np.random.default_rng([episode, step])
    y, x = np.mgrid[:32, :48]
    front = np.stack([4 * x, 7 * y, 0 * x + 20 * step + 60 * episode], axis=2).astype(np.uint8)
    return {
        "state": {"q": rng.normal(size=(2, 2)).astype(np.float32), "flat": rng.normal(size=3).astype("f4")},
        "count": 100 * episode + step,
        "images": {"front": front, "left": {"wrist": np.ascontiguousarray(front[:, ::-1][:, :32])}},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three kept episodes that end in success, in both flags at once, and in neither; one is not kept."""
    folder = tmp_path_factory.mktemp("store")
    ends = {
        0: (True, False, True),
        1: (False, False, False),
        2: (True, True, False),
        3: (False, False, False),
    }
    with EpisodeWriter(folder, schema(), META, sync=False) as writer:
        for episode, steps in enumerate((LENGTHS[0], 2, *LENGTHS[1:])):
            rng = np.random.default_rng(episode)
            writer.begin(observe(episode, 0), seed=7 + episode, options={"joint_reset": True})
            for step in range(1, steps + 1):
                terminated, truncated, success = ends[episode] if step == steps else (False,) * 3
                writer.step(
                    observe(episode, step),
                    rng.uniform(-1, 1, 2),
                    rng.normal(),
                    terminated,
                    truncated,
                    success=success,
                    intervened=step % 2 == 0,
                    extras={"grasp_penalty": rng.normal(), "label": -1, "force": rng.normal(size=3)},
                )
            writer.end(kept=episode != 1, why="so")
    return EpisodeStore(folder)


def assert_same(one: EpisodeStore, other: EpisodeStore, image_error: float) -> None:
    assert one.schema == other.schema and len(one) == len(other) > 0 and other.verify() == []
    for a, b in zip(one, other, strict=True):
        for key in one.schema.observations:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
        for key in one.schema.images:
            assert np.abs(a[key].astype(int) - b[key]).mean() <= image_error, key
            assert a[key].shape == b[key].shape
        for name in ("actions", "rewards", "terminated", "truncated", "success", "intervened"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for name in one.schema.extras:
            np.testing.assert_array_equal(a.extras[name], b.extras[name], err_msg=name)
        for name in ("seed", "options", "outcome", "why", "interventions", "success"):
            assert getattr(a.info, name) == getattr(b.info, name)


@pytest.mark.parametrize(("videos", "image_error"), [(True, 4.0), (False, 0.0)])
def test_there_and_back(store, tmp_path, videos, image_error):
    assert export_lerobot(store, tmp_path / "dataset", videos=videos) == 3
    assert import_lerobot(tmp_path / "dataset", tmp_path / "back") == 3
    back = EpisodeStore(tmp_path / "back")
    assert_same(store, back, image_error)
    assert back.meta["env"] == META["env"] and back.meta["source"]["format"] == "LeRobotDataset v3.0"
    assert import_lerobot(tmp_path / "dataset", tmp_path / "back") == 3  # and more
    assert len(EpisodeStore(tmp_path / "back")) == 6


def test_several_files(store, tmp_path, monkeypatch):
    """Every episode fills a file."""
    for name in ("DATA_MB", "VIDEO_MB"):
        monkeypatch.setattr(files.layout, name, 1e-6)
    monkeypatch.setattr(files.layout, "CHUNK_SIZE", 2)
    export_lerobot(store, tmp_path / "dataset")
    names = ["chunk-000/file-000", "chunk-000/file-001", "chunk-001/file-000"]
    for folder, end in (("data", ".parquet"), ("videos/observation.images.front", ".mp4")):
        found = sorted((tmp_path / "dataset" / folder).rglob(f"*{end}"))
        assert [str(path.relative_to(tmp_path / "dataset" / folder)) for path in found] == [
            name + end for name in names
        ]
    import_lerobot(tmp_path / "dataset", tmp_path / "back")
    assert_same(store, EpisodeStore(tmp_path / "back"), 4.0)


def test_the_documented_layout(store, tmp_path):
    root = tmp_path / "dataset"
    export_lerobot(store.folder, root, task="lift the cube")
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, FRAMES, 1)
    assert info["splits"] == {"train": "0:3"} and info["chunks_size"] == 1000
    features = info["features"]
    assert features["observation.state"]["names"] == [
        "q.0", "q.1", "q.2", "q.3", "flat.a.0", "flat.1", "flat.2", "count.0",
    ]  # fmt: skip
    assert features["observation.state"]["shape"] == [8]
    assert features["action"]["names"] == ["x", "left.gripper"]
    assert features["observation.images.left.wrist"]["shape"] == [32, 32, 3]
    assert not any("/" in name for name in features)
    kinds = {name: feature["dtype"] for name, feature in features.items()}
    assert kinds["observation.images.front"] == "video" and kinds["complementary_info.label"] == "int8"
    for name in ("next.done", "next.truncated", "next.success", "complementary_info.is_intervention"):
        assert kinds[name] == "bool" and features[name]["shape"] == [1]

    data = parquet.read_table(root / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(data.column_names) == {name for name, kind in kinds.items() if kind != "video"}
    assert data.schema.field("observation.state").type == pyarrow.list_(pyarrow.float32(), 8)
    assert data["index"].to_pylist() == list(range(FRAMES))
    assert data["episode_index"].to_pylist() == [0] * 4 + [1] * 3 + [2] * 5
    assert data["frame_index"].to_pylist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]
    np.testing.assert_allclose(data["timestamp"], np.array(data["frame_index"]) / 10, atol=1e-6)
    assert data["next.done"].to_pylist() == [n in (3, 6) for n in range(FRAMES)]
    assert data["next.success"].to_pylist() == [n == 3 for n in range(FRAMES)]
    penalty = np.concatenate([episode.extras["grasp_penalty"] for episode in store])
    np.testing.assert_array_equal(data["complementary_info.discrete_penalty"], penalty)

    episodes = parquet.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["length"] for row in episodes] == list(LENGTHS)
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in episodes] == [
        (0, 4),
        (4, 7),
        (7, 12),
    ]
    assert all(row["tasks"] == ["lift the cube"] for row in episodes)
    spans = [
        (
            row["videos/observation.images.front/from_timestamp"],
            row["videos/observation.images.front/to_timestamp"],
        )
        for row in episodes
    ]
    np.testing.assert_allclose(spans, [(0, 0.4), (0.4, 0.7), (0.7, 1.2)])
    actions = store.episode(0).actions
    np.testing.assert_allclose(episodes[0]["stats/action/mean"], actions.mean(axis=0), rtol=1e-6)
    assert episodes[0]["stats/action/count"] == [4]

    stats = json.loads((root / "meta/stats.json").read_text())
    assert set(stats) == set(features)
    actions = np.concatenate([episode.actions for episode in store]).astype(np.float64)
    for name, expected in (("min", actions.min(0)), ("max", actions.max(0)), ("mean", actions.mean(0))):
        np.testing.assert_allclose(stats["action"][name], expected, rtol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], actions.std(axis=0), rtol=1e-6)
    images = np.concatenate([episode["images/front"][:-1] for episode in store]) / 255
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["std"]), images.std((0, 1, 2)))
    assert np.shape(stats["observation.images.front"]["q50"]) == (3, 1, 1)
    for values in stats.values():
        assert set(values) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}

    tasks = parquet.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": "lift the cube"}]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    with av.open(str(root / "videos/observation.images.front/chunk-000/file-000.mp4")) as video:
        times = [frame.time for frame in video.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 10, atol=1e-6)


def test_datasets_of_others(store, tmp_path):
    """Without our own files in meta, features give the keys."""
    export_lerobot(store, tmp_path / "dataset", videos=False)
    for name in ("hilserl.json", "hilserl_last.parquet"):
        (tmp_path / "dataset/meta" / name).unlink()
    import_lerobot(tmp_path / "dataset", tmp_path / "back", image_format="raw")
    back = EpisodeStore(tmp_path / "back")
    assert back.keys == ("state", "images/front", "images/left.wrist")
    assert set(back.schema.extras) == {"grasp_penalty", "label", "force"}
    for ours, theirs in zip(store, back, strict=True):
        parts = [ours[key].reshape(len(ours) + 1, -1) for key in store.schema.observations]
        np.testing.assert_array_equal(theirs["state"][:-1], np.concatenate(parts, axis=1)[:-1])
        np.testing.assert_array_equal(theirs["state"][-1], theirs["state"][-2])
        np.testing.assert_array_equal(theirs["images/front"][:-1], ours["images/front"][:-1])
        np.testing.assert_array_equal(theirs.actions, ours.actions)
        np.testing.assert_array_equal(theirs.success, ours.success)
        np.testing.assert_array_equal(theirs.truncated, ours.truncated)
        assert theirs.info.seed is None


def test_episodes_that_came_in_later_are_as_those_of_others(store, tmp_path):
    """lerobot can add to a dataset; it knows nothing of our files."""
    export_lerobot(store, tmp_path / "dataset", videos=False)
    origin = tmp_path / "dataset/meta/hilserl.json"
    content = json.loads(origin.read_text())
    content["episodes"].pop()
    origin.write_text(json.dumps(content))
    last = tmp_path / "dataset/meta/hilserl_last.parquet"
    parquet.write_table(parquet.read_table(last).slice(0, 2), last)
    import_lerobot(tmp_path / "dataset", tmp_path / "back")
    back = EpisodeStore(tmp_path / "back")
    assert [info.seed for info in back.episodes] == [7, 9, None]
    ours, theirs = store.episode(3), back.episode(2)
    np.testing.assert_array_equal(theirs["state/q"][:-1], ours["state/q"][:-1])
    np.testing.assert_array_equal(theirs["state/q"][-1], ours["state/q"][-2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"which": lambda info: False}, "no episode to export; of 4 none is chosen"),
        ({"folder": "."}, "is there already"),
    ],
)
def test_exports_that_cannot_be(store, tmp_path, arguments, message):
    arguments = {"folder": "dataset"} | arguments
    with pytest.raises(ConfigError, match=message):
        export_lerobot(store, tmp_path / arguments.pop("folder"), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_odd_images_go_into_tables_only(tmp_path):
    odd = Schema({}, {"eye": (5, 8, 3)}, Leaf((1,)))
    with EpisodeWriter(tmp_path / "store", odd) as writer:
        writer.begin({"eye": np.zeros((5, 8, 3), np.uint8)})
        writer.step({"eye": np.full((5, 8, 3), 9, np.uint8)}, np.ones(1), 1.0, True, False)
        writer.end(kept=True)
    with pytest.raises(ConfigError, match="'eye' is 5x8, videos have even sides; take videos=False"):
        export_lerobot(tmp_path / "store", tmp_path / "dataset")
    export_lerobot(tmp_path / "store", tmp_path / "dataset", videos=False)
    import_lerobot(tmp_path / "dataset", tmp_path / "back")
    assert_same(EpisodeStore(tmp_path / "store"), EpisodeStore(tmp_path / "back"), 0.0)


def test_imports_that_cannot_be(store, tmp_path):
    with pytest.raises(RecordingError, match="no LeRobot dataset: cannot read .*info.json"):
        import_lerobot(tmp_path, tmp_path / "back")
    export_lerobot(store, tmp_path / "dataset")
    info = tmp_path / "dataset/meta/info.json"
    content = info.read_text()
    info.write_text(content.replace('"v3.0"', '"v2.1"'))
    with pytest.raises(RecordingError, match="is a LeRobot dataset v2.1, v3.0 is read; lerobot converts"):
        import_lerobot(tmp_path / "dataset", tmp_path / "back")
    info.write_text(content)
    video = tmp_path / "dataset/videos/observation.images.front/chunk-000/file-000.mp4"
    video.rename(video.with_suffix(".gone"))
    with pytest.raises(RecordingError, match="cannot read the video .*file-000.mp4"):
        import_lerobot(tmp_path / "dataset", tmp_path / "back")
    table = tmp_path / "dataset/data/chunk-000/file-000.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(RecordingError, match="cannot read .*file-000.parquet"):
        import_lerobot(tmp_path / "dataset", tmp_path / "back")


def test_without_pyarrow(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for convert in (export_lerobot, import_lerobot):
        with pytest.raises(ConfigError, match=r'pip install "hilserl_envs\[lerobot\]"'):
            convert(store.folder, tmp_path / "dataset")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def lerobot():
    """Runs tests/lerobot_side.py where lerobot is installed."""
    python = os.environ.get("LEROBOT_PYTHON") or ROOT / ".venv-lerobot/bin/python"
    if not Path(python).exists():
        pytest.skip("needs lerobot: LEROBOT_PYTHON names the interpreter of an environment that has it")

    def run(*arguments):
        done = subprocess.run(
            [python, ROOT / "tests/lerobot_side.py", *arguments],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    return run


def test_lerobot_reads_what_was_exported(store, tmp_path, lerobot):
    for videos in (True, False):
        export_lerobot(store, tmp_path / str(videos), task="lift the cube", videos=videos)
    lerobot("read", tmp_path / "frames.npz", tmp_path / "True", tmp_path / "False")
    frames = np.load(tmp_path / "frames.npz")
    for number, image_error in ((0, 4.0), (1, 0.0)):
        read = {key.partition("/")[2]: frames[key] for key in frames if key.startswith(f"{number}/")}
        facts = json.loads(str(read["facts"]))
        assert facts["ends"] == [4, 7, 12] and facts["fps"] == 10
        assert read["second"].tolist() == [4, 5, 6]
        assert (read["task"] == "lift the cube").all()
        first = 0
        for index, episode in enumerate(store):
            here = slice(first, first + len(episode))
            assert (read["episode_index"][here] == index).all()
            parts = [episode[key].reshape(len(episode) + 1, -1) for key in store.schema.observations]
            np.testing.assert_array_equal(read["observation.state"][here], np.concatenate(parts, 1)[:-1])
            np.testing.assert_array_equal(read["action"][here], episode.actions)
            np.testing.assert_array_equal(read["next.reward"][here], episode.rewards)
            np.testing.assert_array_equal(read["next.success"][here], episode.success)
            done = episode.terminated | episode.truncated
            np.testing.assert_array_equal(read["next.done"][here], done)
            intervened = read["complementary_info.is_intervention"][here]
            np.testing.assert_array_equal(intervened, episode.intervened)
            for camera, key in (("front", "images/front"), ("left.wrist", "images/left/wrist")):
                images = read[f"observation.images.{camera}"][here].transpose(0, 2, 3, 1) * 255
                assert np.abs(images - episode[key][:-1]).mean() <= image_error + 1e-4
            first += len(episode)
        actions = np.concatenate([episode.actions for episode in store])
        np.testing.assert_allclose(read["stats/action/std"], actions.std(axis=0), rtol=1e-5)
        assert read["stats/observation.images.front/mean"].shape == (3, 1, 1)


def test_what_lerobot_wrote_is_imported(tmp_path, lerobot):
    lerobot("write", tmp_path / "theirs")
    assert import_lerobot(tmp_path / "theirs", tmp_path / "store") == 2
    store = EpisodeStore(tmp_path / "store")
    assert [info.steps for info in store.episodes] == [4, 5] and store.verify() == []
    for number, episode in enumerate(store):
        steps = np.arange(len(episode))
        np.testing.assert_array_equal(episode.actions, np.stack([0 * steps + number, steps], axis=1))
        np.testing.assert_array_equal(episode["state"][:-1, 1], steps)
        np.testing.assert_array_equal(episode.extras["grasp_penalty"], -0.5 * steps)
        greys = episode["images/front"][:-1].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(greys, 20 * steps + 100 * number, atol=4)
        assert episode.terminated[-1] and episode.info.outcome == "success"
