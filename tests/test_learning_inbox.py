"""The inbox: takes what comes once, in order, and nothing that contradicts what it has."""

import pytest

from hilserl_envs.errors import ConfigError, LearningError, RecordingError
from hilserl_envs.learning import inbox as inbox_module
from hilserl_envs.learning.inbox import Inbox, StoreCopy, patiently
from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from hilserl_envs.recording.files import EPISODES, META, STEPS
from hilserl_envs.recording.lock import lock
from tests.learning_run import new_run
from tests.limited_disk import no_room_beyond
from tests.mirrored_run import SCHEMA, act, content, open_inbox

EYE = "images/eye.bin"


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


@pytest.fixture
def written(tmp_path) -> dict[str, bytes]:
    """Files of a store with an episode of two steps, and one that has not ended."""
    with EpisodeWriter(tmp_path / "written", SCHEMA, sync=False) as writer:
        act(writer, 2)
        act(writer, 1, end=False)
    return content(tmp_path / "written")


@pytest.fixture
def filled(run, written):
    """An inbox with all of it, in a session "a"."""
    inbox = open_inbox(run)
    inbox.begin("", "a")
    inbox.append("", "a", [(META, 0, written[META])], None)
    inbox.append("", "a", [(name, 0, data) for name, data in written.items() if name != META], 3)
    yield inbox
    inbox.close()


def test_a_store_is_made_by_what_comes(run, written, filled):
    assert content(run.replay) == written
    store = EpisodeStore(run.replay)
    assert store.verify() == [] and [e.steps for e in store.episodes] == [2, 1]
    assert filled.begin("", "b") == {name: len(data) for name, data in written.items()}
    assert filled.read("", STEPS, 5, 20) == written[STEPS][5:25]


def test_before_there_is_a_store(run):
    inbox = open_inbox(run)
    assert inbox.begin("", "a") == {}
    assert inbox.append("", "a", [], None) == ({}, 0)
    with pytest.raises(ConfigError, match="unknown file of the store 'config.json'"):
        inbox.read("", "config.json", 0, 10)


def test_what_comes_again_is_there_once(run, written, filled):
    sizes = filled.append("", "a", [(name, 0, data) for name, data in written.items()], 3)[0]
    assert content(run.replay) == written and sizes == {name: len(data) for name, data in written.items()}
    filled.append("", "a", [(EYE, sizes[EYE] - 3, written[EYE][-3:] + b"more")], 3)  # a part of it
    assert content(run.replay)[EYE] == written[EYE] + b"more"


def test_what_follows_something_that_is_not_there_waits_for_it(run, written, filled):
    end = len(written[EYE])
    sizes, _ = filled.append("", "a", [(EYE, end, b"ab"), (EYE, end + 3, b"d"), (STEPS, 0, b"")], 3)
    assert sizes[EYE] == end + 2 and content(run.replay)[EYE] == written[EYE] + b"ab"


@pytest.mark.parametrize("name", [META, STEPS, EYE])
def test_what_contradicts_it_is_refused(run, written, filled, name):
    wrong = bytes([written[name][0] ^ 1]) + written[name][1:]
    with pytest.raises(LearningError, match="something else|another store"):
        filled.append("", "a", [(name, 0, wrong)], 3)
    assert content(run.replay) == written


def test_files_are_those_of_the_store(run, filled):
    for name in ("images/other.bin", "../config.json", "lock"):
        with pytest.raises(LearningError, match="has no file.*another version"):
            filled.append("", "a", [(name, 0, b"x")], 3)


def test_the_newest_actor_counts(filled):
    filled.begin("", "b")
    with pytest.raises(LearningError, match="another actor of this run has begun"):
        filled.append("", "a", [], 3)
    filled.append("", "b", [], 3)


def test_after_a_kill_an_actor_goes_on_with_the_next_inbox(run, written, filled):
    filled.close()
    again = open_inbox(run)
    sizes, _ = again.append("", "a", [(EYE, len(written[EYE]), b"x")], 3)
    assert sizes[EYE] == len(written[EYE]) + 1
    again.close()


def test_a_torn_end_is_cut_when_an_actor_begins(run, written, filled):
    filled.close()
    for name in (STEPS, EPISODES, EYE):
        with open(run.replay / name, "ab") as file:
            file.write(b'{"torn')
    inbox = open_inbox(run)
    assert inbox.begin("", "b") == {name: len(data) for name, data in written.items()}
    assert content(run.replay) == written
    inbox.close()


def test_damage_is_said(run, filled):
    filled.close()
    (run.replay / STEPS).write_bytes(b"")
    with pytest.raises(RecordingError, match="lost its end"):
        open_inbox(run).begin("", "a")


def test_a_full_disk_is_said_and_what_was_in_flight_can_come_again(run, written, filled):
    more = b"x" * 10_000
    with (
        no_room_beyond(len(written[EYE]) + 5000),
        pytest.raises(LearningError, match="cannot write.*Make room"),
    ):
        filled.append("", "a", [(EYE, len(written[EYE]), more)], 3)
    sizes, _ = filled.append("", "a", [(EYE, len(written[EYE]), more)], 3)
    assert content(run.replay)[EYE] == written[EYE] + more and sizes[EYE] == len(written[EYE]) + 10_000


def test_nobody_else_writes_to_its_stores(run, filled, monkeypatch):
    monkeypatch.setattr(inbox_module, "HANDOVER", 0.0)
    with pytest.raises(ConfigError, match="somebody is recording"):
        EpisodeWriter(run.replay, SCHEMA)
    with pytest.raises(LearningError, match="somebody is recording"):
        open_inbox(run).begin("", "b")


def test_steps_of_the_other_robots(run):
    inbox = open_inbox(run, "left", "right", steps={"left": 5, "idle": 100})
    assert inbox.append("right", "a", [], None)[1] == 105
    assert inbox.append("right", "a", [], 7)[1] == 105
    assert inbox.append("left", "b", [], None)[1] == 107  # its own stay what they were
    assert inbox.append("left", "b", [], 6)[1] == 107
    assert inbox.append("right", "a", [], 7)[1] == 106
    inbox.close()


def test_a_policy_goes_out_when_it_is_new(tmp_path):
    inbox = Inbox({}, str(tmp_path / "policy"), {})
    assert inbox.policy(None) is None
    (tmp_path / "policy").write_bytes(b"one")
    version, content = inbox.policy(None)
    assert content == b"one" and inbox.policy(version) is None
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").rename(tmp_path / "policy")
    newer, content = inbox.policy(version)
    assert content == b"two" and inbox.policy(newer) is None


def test_told_to_stop():
    inbox = Inbox({}, "policy", {})
    assert not inbox.told_to_stop()
    inbox.stop()
    assert inbox.told_to_stop()


def test_who_is_about_to_be_gone_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(inbox_module, "_LOOK", 0.0)
    held, tries = StoreCopy(tmp_path / "store"), []

    def take():
        tries.append(True)
        if len(tries) == 3:
            held.close()
        return lock(tmp_path / "store")

    patiently(take)()
    assert len(tries) == 3
