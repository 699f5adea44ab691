"""Mirrors: nothing acknowledged is lost, whoever is killed when; and actors that learn together."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hilserl_envs.errors import LearningError
from hilserl_envs.learning import inbox as inbox_module
from hilserl_envs.learning import mirror as mirror_module
from hilserl_envs.learning.actor import PublishedPolicy
from hilserl_envs.learning.inbox import Inbox
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.loops import Budget, run_actor, run_learner
from hilserl_envs.learning.mirror import actor_files
from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.files import EPISODES, META, STEPS
from tests.learning_run import demonstrations, new_run, settings
from tests.limited_disk import no_room_beyond
from tests.mirrored_run import act, content, kill, observation, open_inbox, open_mirror, open_writer
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


@pytest.fixture
def inbox(run):
    inbox = open_inbox(run)
    yield inbox
    inbox.close()


@pytest.fixture
def mirror(run, inbox, tmp_path):
    mirror = open_mirror(tmp_path / "mirror", run, inbox)
    yield mirror
    mirror.close()


# What is sent


def test_after_every_step_the_run_has_what_the_actor_has(run, mirror):
    checks = []

    def check() -> None:
        mirror.ship()
        assert content(run.replay) == content(mirror.run.replay)
        assert EpisodeStore(run.replay).verify() == []
        checks.append(True)

    with open_writer(mirror) as writer:
        act(writer, 3, check)
        act(writer, 2, check, seed=1)
        writer.mark(0, kept=False, why="discarded")
        check()
        act(writer, 2, check, end=False, seed=2)
    assert len(checks) == 8
    assert [e.kept for e in EpisodeStore(run.replay).episodes] == [False, True, False]


class Killed(Exception):
    """In place of the end of a process."""


class Mortal:
    """An inbox that is killed once, at some piece of all that come; another is asked again, as on a cluster.

    Args:
        run: of the inbox.
        at: the number of the piece of which half is written; `ack` is killed before it answers.
    """

    def __init__(self, run: RunFolder, at: int, ack: bool):
        self._run, self._at, self._ack, self.killed = run, at, ack, False
        self._inbox = open_inbox(run)

    def begin(self, *arguments):
        return self._inbox.begin(*arguments)

    def append(self, name, session, pieces, steps):
        if not self.killed and self._at < len(pieces):
            self.killed = True
            self._inbox.append(name, session, pieces if self._ack else pieces[: self._at], steps)
            file, start, data = pieces[self._at]
            if not self._ack and file != META:
                with open(self._run.replay / file, "r+b") as torn:
                    torn.seek(start)
                    torn.write(data[: len(data) // 2])
            self._inbox.close()
            self._inbox = open_inbox(self._run)
        elif not self.killed:
            self._at -= len(pieces)
        return self._inbox.append(name, session, pieces, steps)

    def close(self):
        self._inbox.close()


@pytest.mark.parametrize("ack", [False, True], ids=["torn", "not acknowledged"])
def test_an_inbox_is_killed_at_any_piece_that_comes(tmp_path, ack):
    original, at, killed = new_run(tmp_path / "run"), 0, True
    while killed:  # until there are no more pieces
        run = RunFolder(new_run(tmp_path / f"run{at}").path)
        inbox = Mortal(run, at, ack)
        mirror = open_mirror(tmp_path / "mirror", run, inbox)
        with open_writer(mirror) as writer:
            act(writer, 2, mirror.ship)
            act(writer, 1, mirror.ship, seed=1)
        assert content(run.replay) == content(mirror.run.replay)
        assert EpisodeStore(run.replay).verify() == []
        mirror.close()
        inbox.close()
        killed, at = inbox.killed, at + 1
    assert at > 20 and not original.replay.exists()


def test_what_is_torn_is_not_sent(run, mirror):
    with open_writer(mirror) as writer:
        act(writer, 2, mirror.ship)
        before = content(run.replay)
        for name in (STEPS, EPISODES, "images/eye.bin"):  # left by writes that failed
            with open(mirror.run.replay / name, "ab") as file:
                file.write(b'{"torn')
        mirror.ship()
        assert content(run.replay) == before
        act(writer, 1, mirror.ship)  # goes over it
    store = EpisodeStore(run.replay)
    assert store.verify() == [] and [e.steps for e in store.episodes] == [2, 1]


def test_much_is_sent_in_several_messages(run, mirror, monkeypatch):
    monkeypatch.setattr(mirror_module, "AT_ONCE", 700)
    sent = []
    monkeypatch.setattr(
        Inbox, "append", lambda self, *args, append=Inbox.append: sent.append(args[2]) or append(self, *args)
    )
    with open_writer(mirror) as writer:
        act(writer, 10)
        mirror.ship()
    assert content(run.replay) == content(mirror.run.replay)
    assert len(sent) > 3 and max(sum(len(data) for *_, data in pieces) for pieces in sent) < 3000


def test_where_there_is_nothing_to_send_it_seldom_asks(mirror, monkeypatch):
    clock, asked = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Inbox, "append", lambda *args: asked.append(args[3]) or ({}, 5))
    mirror.ship()
    mirror.ship()
    assert len(asked) == 1
    clock[0] += 2 * mirror_module.ASK_AGAIN
    mirror.ship()
    assert asked == [[], []] and mirror.steps_of_all(7) == 12


def test_no_room_for_it_is_said_and_nothing_is_lost(run, mirror):
    with open_writer(mirror) as writer:
        act(writer, 1, mirror.ship)
        act(writer, 30)
        room = (run.replay / "images" / "eye.bin").stat().st_size + 500
        with no_room_beyond(room), pytest.raises(LearningError, match=f"cannot write to {run.replay}"):
            mirror.ship()
        mirror.ship()
    assert content(run.replay) == content(mirror.run.replay)


# Who goes on


def test_an_actor_goes_on_anywhere_with_the_next_episode(run, inbox, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 3, mirror.ship)
        act(writer, 2, mirror.ship, end=False)
        act_in_flight = content(mirror.run.replay)
        writer.step(*_step())  # and killed before it is sent
    acknowledged = content(run.replay)
    assert acknowledged == act_in_flight
    kill(mirror)

    again = open_mirror(tmp_path / "elsewhere", run, inbox)
    with open_writer(again) as writer:
        assert writer.recorded == 2
        again.ship()
        act(writer, 2, again.ship, seed=3)
    store = EpisodeStore(run.replay)
    assert store.verify() == []
    assert [(e.number, e.steps) for e in store.episodes] == [(0, 3), (1, 2), (2, 2)]
    assert [e.finished for e in store.episodes] == [True, False, True]
    assert all(content(run.replay)[name].startswith(data) for name, data in acknowledged.items())
    # The other one, should it still live, is no longer listened to.
    with pytest.raises(LearningError, match="another actor"):
        mirror.ship()
    again.close()


def _step() -> tuple:
    return observation(np.random.default_rng(9)), np.zeros(1, np.float32), 0.0, False, False


def test_a_mirror_takes_no_room_for_images_that_nobody_looks_at(run, inbox, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 20)
        act(writer, 2, end=False)
        mirror.ship()
    kill(mirror)
    again = open_mirror(tmp_path / "elsewhere", run, inbox)
    store, original = EpisodeStore(again.run.replay), EpisodeStore(run.replay)
    assert [e.steps for e in store.episodes] == [20, 2]
    unfinished = original.episodes[1].first + np.arange(3)
    for key in original.schema.images:
        np.testing.assert_array_equal(store.take(key, unfinished), original.take(key, unfinished))
        path, whole = (folder / original.schema.blob(key) for folder in (again.run.replay, run.replay))
        assert path.stat().st_size == whole.stat().st_size
        assert not any(path.read_bytes()[: int(original.records["images"][key][21]["offset"])])
    again.close()


def test_a_torn_end_of_the_runs_copy_is_not_taken_over(run, inbox, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 2, mirror.ship)
    kill(mirror)
    inbox.close()
    whole = content(run.replay)
    for name in (STEPS, "images/wrist.bin"):
        with open(run.replay / name, "ab") as file:
            file.write(b"torn")
    again = open_mirror(tmp_path / "elsewhere", run, open_inbox(run))
    assert content(run.replay) == whole
    with open_writer(again) as writer:
        act(writer, 1, again.ship)
    assert EpisodeStore(run.replay).verify() == []
    again.close()


def test_what_a_power_failure_took_from_the_run_is_sent_again(run, inbox, mirror):
    with open_writer(mirror) as writer:
        act(writer, 3, mirror.ship)
        act(writer, 3, mirror.ship, end=False)
        inbox.close()
        size = EpisodeStore(run.replay).schema.record.itemsize
        with open(run.replay / STEPS, "r+b") as file:
            file.truncate(5 * size + 7)
        mirror.ship()  # has nothing new, and asks nobody
        writer.step(*_step())
        mirror.ship()
    assert content(run.replay) == content(mirror.run.replay)


def test_what_no_mirror_has_cannot_be_sent_again(run, inbox, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 3, mirror.ship)
        act(writer, 3, mirror.ship, end=False)
    kill(mirror)
    again = open_mirror(tmp_path / "elsewhere", run, inbox)
    with open_writer(again) as writer:
        inbox.close()
        size = EpisodeStore(run.replay).schema.record.itemsize
        with open(run.replay / STEPS, "r+b") as file:
            file.truncate(6 * size)
        act(writer, 1)
        with pytest.raises(LearningError, match="the run lost a part of steps.bin.*start the actor again"):
            again.ship()
    again.close()


def test_no_room_for_a_mirror_is_said(run, inbox, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 40)
        mirror.ship()
    kill(mirror)
    room = (run.path / "config.json").stat().st_size + 1000
    with no_room_beyond(room), pytest.raises(LearningError, match=f"cannot write to {tmp_path}/elsewhere"):
        open_mirror(tmp_path / "elsewhere", run, inbox)
    open_mirror(tmp_path / "elsewhere", run, inbox).close()  # it was let go


def test_a_mirror_has_one_actor(run, inbox, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(inbox_module, "HANDOVER", 0.0)
    with pytest.raises(LearningError, match="somebody"):
        open_mirror(tmp_path / "mirror", run, inbox)
    kill(mirror)
    open_mirror(tmp_path / "mirror", run, inbox).close()
    assert not (tmp_path / "mirror" / "run").exists()


def test_another_runs_mirror_of_the_same_name_is_deleted(run, mirror, tmp_path):
    with open_writer(mirror) as writer:
        act(writer, 2)
    kill(mirror)
    other = new_run(tmp_path / "other")
    again = open_mirror(tmp_path / "mirror", other, open_inbox(other))
    assert not again.run.replay.exists()
    again.close()


# What comes back


def test_an_actor_has_the_learners_policy(run, mirror):
    policy = PublishedPolicy(mirror.run, None)
    mirror.refresh_policy()
    assert not policy.refresh()
    learner = Learner(run)
    for updates in (1, 2):
        learner.update()
        learner.publish()
        mirror.refresh_policy()
        assert policy.refresh() and policy.meta["updates"] == updates
        mirror.refresh_policy()
        assert not policy.refresh()


def test_each_robots_actor_has_episodes_of_its_own(run):
    def of(name, robot=None):
        return json.loads(actor_files(run, name, robot)["config.json"])["settings"]

    assert of("") == run.settings.to_json() | {"agent": of("")["agent"]}
    left, right = of("left", "http://10.0.0.7:5000"), of("right")
    assert len({run.settings.seed, left["seed"], right["seed"]}) == 3 and of("right") == right
    assert left["env"] == {"robot": "http://10.0.0.7:5000"} and right["env"] == {}


# All together


def test_two_actors_and_a_learner(tmp_path):
    wanted = settings(env={"max_episode_steps": 8}, training_starts=20, utd_ratio=1, max_lead=10)
    run = RunFolder.create(tmp_path / "run", wanted, demonstrations())
    for name in ("left", "right"):
        (run.replays / name).mkdir(parents=True)
    inbox, until = open_inbox(run, "left", "right"), time.monotonic() + 40
    leads = []

    def act_on(name: str) -> None:
        mirror = open_mirror(tmp_path / "mirrors" / name, run, inbox, name)

        def stop() -> bool:
            mirror.ship()
            mirror.refresh_policy()
            leads.append(mirror.steps_of_all(mirror._steps or 0) - load_updates(mirror.run))
            return time.monotonic() > until

        run_actor(mirror.run, Budget(120, stop), "none", mirror.steps_of_all)
        mirror.ship()
        mirror.close()

    with ThreadPoolExecutor() as threads:
        sides = [threads.submit(act_on, name) for name in ("left", "right")]
        sides.append(threads.submit(run_learner, run, Budget(120, lambda: time.monotonic() > until)))
        for side in sides:
            side.result()
    assert time.monotonic() < until, "they waited for each other"
    inbox.close()
    stores = [EpisodeStore(folder) for folder in run.experience]
    made = [sum(e.steps for e in store.episodes if is_usable(e)) for store in stores]
    assert [store.folder.name for store in stores] == ["left", "right"] and min(made) >= 20
    assert 120 <= sum(made) <= 120 + 2 * 8
    meta = load_tensors(run.checkpoint())[1]
    assert meta["steps"] >= 120 and meta["updates"] >= 50
    assert max(leads) <= 20 + 2 * 21 + 2 * 8  # both are held back by what all have made


def load_updates(run: RunFolder) -> float:
    """Steps that the learner has learned from."""
    return 2 * load_tensors(run.policy)[1]["updates"] if run.policy.exists() else 0.0
