"""Appending to a store: what goes in, what is refused, who may write, and full disks."""

import os
import resource
import signal

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording import EpisodeStore, EpisodeWriter, Leaf, Schema, describe_env
from hilserl_envs.wrappers import FlattenProprioception, RelativeFrame
from tests.generic_env import GenericEnv

SCHEMA = Schema({"x": Leaf((2,))}, {"eye": (8, 8, 3)}, Leaf((3,)), {"label": Leaf((), "int8")})


def observe(value: float = 0.0) -> dict:
    return {"x": np.full(2, value, np.float32), "eye": np.full((8, 8, 3), value, np.uint8)}


def step(writer: EpisodeWriter, value: float = 1.0, **more) -> None:
    more = {"action": np.full(3, value), "reward": 0.0, "terminated": False, "truncated": False} | more
    writer.step(observe(value), **more)


def test_episodes_and_their_ends(tmp_path):
    ends = [{"success": True, "terminated": True}, {"terminated": True}, {"truncated": True}, {}]
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        for number, end in enumerate(ends):
            assert writer.begin(observe(), seed=number, options={"joint_reset": True}) == number
            step(writer)
            step(writer, **end)
            writer.end(kept=number != 1, why="so")
        assert writer.kept == 3 and writer.recorded == 4
        writer.mark(1, kept=True, why="was good after all")
        writer.mark(2, kept=False)
        assert writer.kept == 3
    episodes = EpisodeStore(tmp_path).episodes
    assert [e.outcome for e in episodes] == ["success", "failure", "timeout", "stopped"]
    assert [e.kept for e in episodes] == [True, True, False, True]
    assert episodes[1].why == "was good after all"
    assert [(e.seed, e.options) for e in episodes] == [(n, {"joint_reset": True}) for n in range(4)]


def test_a_later_session_goes_on_where_the_last_stopped(tmp_path):
    with EpisodeWriter(tmp_path, SCHEMA, session={"seed": 1}) as writer:
        writer.begin(observe())
        step(writer)
        writer.end(kept=True)
        writer.begin(observe())  # and dies
    with EpisodeWriter(tmp_path, SCHEMA, session={"seed": 2}) as writer:
        assert (writer.kept, writer.recorded) == (1, 2)
        assert writer.begin(observe()) == 2
        writer.end(kept=True)
    store = EpisodeStore(tmp_path)
    assert [(e.steps, e.finished) for e in store.episodes] == [(1, True), (0, False), (0, True)]
    assert [session["session"] for session in store.sessions] == [{"seed": 1}, {"seed": 2}]
    assert all(set(session["versions"]) >= {"python", "numpy"} for session in store.sessions)


def test_without_a_schema_it_takes_the_stores(tmp_path):
    EpisodeWriter(tmp_path, SCHEMA).close()
    with EpisodeWriter(tmp_path) as writer:
        assert writer.schema == SCHEMA
    with pytest.raises(RecordingError, match="holds no episodes"):
        EpisodeWriter(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda w: w.begin({"x": np.zeros(2)}), "'eye' is .8, 8, 3. uint8 in the store, got nothing"),
        (lambda w: w.begin(observe() | {"x": np.zeros(3)}), r"'x' is \(2,\) float32.*got \(3,\) float64"),
        (lambda w: w.begin(observe() | {"x": 1.0}), r"got \(\) float64"),
        (lambda w: w.begin(observe() | {"eye": np.zeros((8, 8, 3))}), "uint8.*got .*float64"),
        (lambda w: w.begin(observe() | {"z": 1}), r"has no \['z'\]"),
        (lambda w: w.begin(observe(), extras={"lable": 1}), "unknown extra 'lable': did you mean 'label'"),
        (lambda w: w.begin(observe(), extras={"label": 0.5}), "'label' is .* int8"),
        (lambda w: step(w), "call begin.. first"),
        (lambda w: w.end(kept=True), "call begin.. first"),
        (lambda w: w.mark(0, kept=True), "is none of the 0"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_trace(tmp_path, act, message):
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        with pytest.raises(ConfigError, match=message):
            act(writer)
        assert EpisodeStore(tmp_path).episodes == []
        writer.begin(observe())
        with pytest.raises(ConfigError, match="has not ended"):
            writer.begin(observe())
        with pytest.raises(ConfigError, match=r"the action is \(3,\)"):
            writer.step(observe(), np.zeros(4), 0.0, False, False)
        with pytest.raises(ConfigError, match="unknown outcome"):
            writer.end(kept=True, outcome="won")
        step(writer)
        writer.end(kept=True)
    store = EpisodeStore(tmp_path)
    assert [e.steps for e in store.episodes] == [1] and store.verify() == []


def test_another_schema_is_refused_and_named(tmp_path):
    EpisodeWriter(tmp_path, SCHEMA).close()
    other = Schema({"x": Leaf((3,))}, {}, Leaf((3,)), SCHEMA.extras)
    with pytest.raises(ConfigError) as refused:
        EpisodeWriter(tmp_path, other)
    assert "'x' is (2,) float32 in the store and (3,) float32 now" in str(refused.value)
    assert "'eye' is an image 8x8x3 in the store and absent now" in str(refused.value)
    EpisodeWriter(tmp_path, SCHEMA).close()  # and it let go of the store


def test_same_shapes_in_another_frame_are_refused(tmp_path):
    """Base and end-effector frame look alike; mixed, they would poison every batch."""
    base = FlattenProprioception(GenericEnv(), ["tcp_pose"])
    relative = FlattenProprioception(RelativeFrame(GenericEnv()), ["tcp_pose"])
    assert Schema.of_env(base) == Schema.of_env(relative)
    EpisodeWriter(tmp_path, Schema.of_env(base), describe_env(base)).close()
    with pytest.raises(ConfigError, match="converting wrapper 1 was FlattenProp.* and is RelativeFrame"):
        EpisodeWriter(tmp_path, Schema.of_env(relative), describe_env(relative))
    EpisodeWriter(tmp_path, Schema.of_env(base), describe_env(base)).close()


def test_one_writer_at_a_time(tmp_path):
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        writer.begin(observe())
        for _ in range(2):  # a refusal must not let go of the lock
            with pytest.raises(ConfigError, match="one writer at a time"):
                EpisodeWriter(tmp_path, SCHEMA)
        step(writer)
    EpisodeWriter(tmp_path, SCHEMA).close()


def test_a_killed_writer_holds_nobody_up(tmp_path):
    ready, over = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(over[1])
        try:
            writer = EpisodeWriter(tmp_path, SCHEMA)
            if os.fork() == 0:  # a child of its own, such as a data loader, lives on
                os.read(over[0], 1)
            else:
                os.write(ready[1], b"1")
                os.read(over[0], 1)
                writer.close()
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    with pytest.raises(ConfigError, match="somebody is recording into"):
        EpisodeWriter(tmp_path, SCHEMA)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    EpisodeWriter(tmp_path, SCHEMA).close()
    for end in (*ready, *over):  # which ends the child's child
        os.close(end)


def test_a_full_disk_leaves_what_was_there(tmp_path):
    """The system's own limit on a file's size stands for the disk's."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            writer = EpisodeWriter(tmp_path, SCHEMA, sync=False)
            writer.begin(observe())
            step(writer)
            full = (tmp_path / "steps.bin").stat().st_size + 10
            resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
            said = []
            for _ in range(2):
                try:
                    step(writer, 2.0)
                except RecordingError as error:
                    said.append(str(error))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            writer.end(kept=True)  # there is room again
            writer.begin(observe())
            step(writer, 3.0)
            status = 0 if "File too large" in said[0] and "begin another" in said[1] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    store = EpisodeStore(tmp_path)
    cut, _ = store.episodes
    assert store.verify() == []
    assert (cut.kept, cut.outcome, cut.why) == (False, "stopped", "a step is missing")
    np.testing.assert_array_equal(store.episode(0)["x"][:, 0], [0, 1])
    np.testing.assert_array_equal(store.episode(1)["x"][:, 0], [0, 3])
    np.testing.assert_array_equal(store.episode(1)["eye"][:, 0, 0, 0], [0, 3])


@pytest.mark.parametrize("written", [1, 2])
def test_an_interrupt_within_a_step_leaves_the_steps_before(tmp_path, monkeypatch, written):
    """Ctrl-C may come between the image and the record, or when both are written."""
    writer = EpisodeWriter(tmp_path, SCHEMA)
    real, calls = os.pwrite, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) > written:
            raise KeyboardInterrupt
        done = real(*args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    def interrupt():
        calls.clear()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(os, "pwrite", interrupted)
            step(writer, 9.0)

    writer.begin(observe())
    step(writer)
    interrupt()
    with pytest.raises(RecordingError, match="end it and begin another"):
        step(writer, 2.0)
    writer.end(kept=True)
    writer.begin(observe())
    interrupt()
    writer.end(kept=True)
    for _ in range(2):
        writer.close()
        store = EpisodeStore(tmp_path)
        assert store.verify() == [] and [info.steps for info in store.episodes] == [1, 0]
        np.testing.assert_array_equal(store.episode(0)["x"][:, 0], [0, 1])
        np.testing.assert_array_equal(store.episode(0)["eye"][:, 0, 0, 0], [0, 1])
        writer = EpisodeWriter(tmp_path)
    assert len(EpisodeStore(tmp_path).records) == 3 and not any(info.kept for info in store.episodes)
    writer.close()


@pytest.mark.parametrize("sync", [True, False])
def test_an_end_is_written_when_its_steps_are_on_the_disk(tmp_path, monkeypatch, sync):
    with EpisodeWriter(tmp_path, SCHEMA, sync=sync) as writer:
        writer.begin(observe())
        step(writer)
        calls = []
        real_write, real_sync = os.pwrite, os.fsync
        monkeypatch.setattr(os, "pwrite", lambda *args: calls.append("write") or real_write(*args))
        monkeypatch.setattr(os, "fsync", lambda fd: calls.append("sync") or real_sync(fd))
        writer.end(kept=True)
    three = ["sync"] * 3  # images, steps, lines
    assert calls == ([*three, "write", *three] if sync else ["write"])


def test_a_lost_file_is_told_and_not_filled_with_nothing(tmp_path):
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        writer.begin(observe())
        writer.end(kept=True)
    (tmp_path / "images" / "eye.bin").unlink()
    with pytest.raises(RecordingError, match=r"eye.bin lost its end: 0 bytes of \d+"):
        EpisodeWriter(tmp_path, SCHEMA)
    with pytest.raises(RecordingError, match="eye.bin lost its end"):
        EpisodeStore(tmp_path).take("eye", [0])


def test_closed_is_closed(tmp_path):
    writer = EpisodeWriter(tmp_path, SCHEMA)
    writer.close()
    writer.close()
    with pytest.raises(RecordingError, match="is closed"):
        writer.begin(observe())


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot record into .*file/store"):
        EpisodeWriter(tmp_path / "file" / "store", SCHEMA)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda writer: step(writer, extras={"label": np.int64(300)}), "cannot hold 300"),
        (lambda writer: step(writer, action=np.full(3, 1e300)), r"cannot hold 1e\+300"),
        (lambda writer: step(writer, action=np.full(3, np.nan)), "the action must be finite"),
        (lambda writer: step(writer, reward=np.inf), "the reward must be finite"),
    ],
)
def test_numbers_that_the_store_cannot_hold_are_refused(tmp_path, wrong, message):
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        writer.begin(observe())
        with pytest.raises(ConfigError, match=message):
            wrong(writer)
        step(writer)  # nothing was written, so nothing is missing


def test_seeds_are_whole_numbers_of_any_kind(tmp_path):
    with EpisodeWriter(tmp_path, SCHEMA) as writer:
        writer.begin(observe(), seed=np.int64(3))
        writer.end(kept=True)
        with pytest.raises(ConfigError, match="a seed is a whole number"):
            writer.begin(observe(), seed="3")
    assert EpisodeStore(tmp_path).episodes[0].seed == 3
