"""The loops: the same run from the same seed, whatever interrupts it; and sides that wait for each other."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.batch import ActionParts
from hilserl_envs.learning.learner import Learner
from hilserl_envs.learning.load_policy import load_policy
from hilserl_envs.learning.loops import Budget, run_actor, run_in_turns, run_learner
from hilserl_envs.learning.policy import LearnedPolicy
from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.recording import EpisodeStore
from tests.learning_run import demonstrations, new_run, settings
from tests.one_thread import one_thread  # noqa: F401


def make_run(folder, **changes) -> RunFolder:
    wanted = settings(
        **{"env": {"max_episode_steps": 8}, "training_starts": 10, "utd_ratio": 1, "checkpoint_episodes": 2}
        | changes
    )
    return RunFolder.create(folder, wanted, demonstrations() if wanted.demonstrations else None)


def weights(run: RunFolder, name: str = "last") -> dict[str, torch.Tensor]:
    return load_tensors(run.checkpoint(name))[0]


def same(these, those) -> bool:
    return these.keys() == those.keys() and all(torch.equal(these[name], those[name]) for name in these)


def episodes(run: RunFolder) -> list:
    store = EpisodeStore(run.replay)
    return [store.episode(e.number) for e in store.episodes if is_usable(e)]


def test_a_budget_is_spent_by_steps_or_by_being_told_to_stop():
    assert not Budget().spent(10**9)
    assert Budget(5).spent(5) and not Budget(5).spent(4)
    assert Budget(5, lambda: True).spent(0)


# In turns

PIXELS = {
    "obs": "pixels", "demonstrations": False, "env": {"max_episode_steps": 4, "image_size": 32},
    "crops": 2, "training_starts": 2, "checkpoint_episodes": 1,
}  # fmt: skip


def test_the_same_seed_is_the_same_run_and_another_is_not(tmp_path):
    runs = [make_run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    for run in runs:
        run_in_turns(run, Budget(30))
    one, again, other = map(weights, runs)
    assert same(one, again) and not same(one, other)
    for left, right in zip(episodes(runs[0]), episodes(runs[1]), strict=True):
        np.testing.assert_array_equal(left.actions, right.actions)
    meta = load_tensors(runs[0].checkpoint())[1]
    assert meta["steps"] == 32 and meta["updates"] == 11  # the episode at the end is finished
    assert load_tensors(runs[0].policy)[1]["updates"] == 11


def interrupt_after(looks: int) -> Budget:
    """Ctrl-C at that look."""
    left = [looks]

    def look() -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return False

    return Budget(48, look)


@pytest.mark.parametrize(
    "changes",
    [
        {"overseer": {"stall_steps": 2, "last_steps": 0}},
        {"demonstrations": False},
        {"algorithm": "hg-dagger", "overseer": {"stall_steps": 2, "last_steps": 0}},
    ],
    ids=["overseer", "no demonstrations", "hg-dagger"],
)
def test_interrupted_again_and_again_it_is_the_unbroken_run(tmp_path, changes):
    whole, broken = make_run(tmp_path / "whole", **changes), make_run(tmp_path / "broken", **changes)
    run_in_turns(whole, Budget(48))
    for looks in (3, 30, 20):
        with pytest.raises(KeyboardInterrupt):
            run_in_turns(broken, interrupt_after(looks))
    run_in_turns(broken, Budget(48))
    assert same(weights(broken), weights(whole))
    for one, other in zip(episodes(broken), episodes(whole), strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)


def test_the_same_from_images_whose_crops_are_the_same(tmp_path):
    whole, broken = make_run(tmp_path / "whole", **PIXELS), make_run(tmp_path / "broken", **PIXELS)
    run_in_turns(whole, Budget(14))
    with pytest.raises(KeyboardInterrupt):
        run_in_turns(broken, interrupt_after(11))
    # What was computed before counts for nothing: not all is lost, not all is there.
    path = broken.features / "replay.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 400_000 * 3 + 700])
    run_in_turns(broken, Budget(14))
    assert same(weights(broken), weights(whole))
    assert load_tensors(broken.checkpoint())[1]["updates"] == 7


@pytest.mark.parametrize(
    "changes",
    [{"encoder": "none"}, {"encoder": "none", "encoder_dtype": "bfloat16"}, {"fresh_crops": True}],
    ids=["end to end", "in bfloat16", "frozen"],
)
def test_the_same_from_crops_that_are_drawn_at_every_update(tmp_path, changes):
    whole, broken = (make_run(tmp_path / name, **PIXELS | changes) for name in ("whole", "broken"))
    run_in_turns(whole, Budget(14))
    with pytest.raises(KeyboardInterrupt):
        run_in_turns(broken, interrupt_after(11))
    # Of the frames on disk two are left, and a part of the third.
    path = broken.features / "replay.bin"
    path.write_bytes(path.read_bytes()[: 2 * (2 * 32 * 32 * 3 + 8) + 700])
    run_in_turns(broken, Budget(14))
    assert same(weights(broken), weights(whole))
    assert load_tensors(broken.checkpoint())[1]["updates"] == 7
    env = broken.settings.make_env(watched=False)
    observation, _ = env.reset(seed=0)
    env.close()
    learner = Learner(broken)
    own = LearnedPolicy(learner.agent.policy, broken.inputs, ActionParts(broken.layout), learner.encoder)
    np.testing.assert_array_equal(load_policy(broken, "last")(observation), own(observation))


def test_it_goes_on_where_it_ended(tmp_path):
    whole, parted = make_run(tmp_path / "whole"), make_run(tmp_path / "parted")
    run_in_turns(whole, Budget(40))
    run_in_turns(parted, Budget(16))
    run_in_turns(parted, Budget(16))  # nothing is left to do
    assert load_tensors(parted.checkpoint())[1]["steps"] == 16
    run_in_turns(parted, Budget(40))
    assert same(weights(parted), weights(whole))


def test_told_to_stop_it_finishes_the_episode_and_saves(tmp_path):
    run, until = make_run(tmp_path / "run"), []

    def stop() -> bool:
        until.append(True)
        return len(until) > 20

    run_in_turns(run, Budget(None, stop))
    (*_, last) = episodes(run)
    assert len(last) == 8
    steps = sum(len(episode) for episode in episodes(run))
    assert load_tensors(run.checkpoint())[1]["steps"] == steps == load_tensors(run.policy)[1]["steps"]


def test_who_only_imitates_needs_no_turns(tmp_path):
    run = make_run(tmp_path / "run", algorithm="bc")
    run_in_turns(run, Budget(7))
    assert load_tensors(run.checkpoint())[1]["updates"] == load_tensors(run.policy)[1]["updates"] == 7
    run_in_turns(run, Budget(9))
    assert load_tensors(run.checkpoint("best"))[1]["updates"] == 9
    whole = make_run(tmp_path / "whole", algorithm="bc")
    run_learner(whole, Budget(9))
    assert same(weights(whole), weights(run))
    assert not run.replay.exists()
    with pytest.raises(ConfigError, match="a run of 'bc', which has no actor"):
        run_actor(run, Budget(5))


def test_a_run_is_trained_by_one(tmp_path):
    run = new_run(tmp_path / "run")
    for side, other in (("learner", run_learner), ("actor", run_actor)):
        release = run.hold(side)
        for loop in (run_in_turns, other):
            with pytest.raises(ConfigError, match=f"another process is its {side}"):
                loop(run, Budget(0))
        release()
    run_learner(run, Budget(0))  # and lets go
    run_learner(run, Budget(0))
    assert run.checkpoint().exists()


# Side by side


def both(run: RunFolder, steps: int) -> None:
    """Both sides, each in a thread of its own, until they have ended."""
    until = time.monotonic() + 30
    budget = Budget(steps, lambda: time.monotonic() > until)
    with ThreadPoolExecutor() as threads:
        for side in [threads.submit(loop, run, budget) for loop in (run_learner, run_actor)]:
            side.result()
    assert time.monotonic() < until, "they waited for each other"


def test_sides_whose_budget_ends_in_an_episode_end_both(tmp_path):
    """The learner is done there, and the actor must not wait for it in what is left of the episode."""
    run = make_run(tmp_path / "run", env={"max_episode_steps": 60}, max_lead=2)
    both(run, 62)
    assert sum(len(episode) for episode in episodes(run)) == 120
    assert load_tensors(run.checkpoint())[1]["steps"] >= 62


def test_a_learner_that_seldom_publishes_is_given_the_steps_it_needs(tmp_path):
    """100 steps to a publication, and a lead of 2."""
    run = make_run(tmp_path / "run", env={"max_episode_steps": 30}, max_lead=2, steps_per_publish=50)
    both(run, 150)
    assert load_tensors(run.policy)[1]["updates"] >= 70


def test_the_twins_actor_is_no_more_than_its_lead_ahead(tmp_path):
    run = make_run(tmp_path / "run", max_lead=13)
    Learner(run).publish()
    began = time.monotonic()
    run_actor(run, Budget(1000, lambda: time.monotonic() - began > 1.5))
    lead = max(13, run.settings.steps_per_publish * 2 + 1)
    # It waits within an episode: the last step of one is not waited for.
    assert sum(len(episode) for episode in episodes(run)) - (10 + lead) in (1, 2)
    assert EpisodeStore(run.replay).episodes[-1].why == "stopped"


def test_other_actors_steps_count_too(tmp_path):
    run = make_run(tmp_path / "run", max_lead=5000)
    Learner(run).publish()
    told = []
    run_actor(run, Budget(1020), of_all=lambda own: told.append(own) or own + 1000)
    assert sum(len(episode) for episode in episodes(run)) == told[-1] == 24

    # Far ahead together, each waits after its first step.
    run, since = make_run(tmp_path / "ahead", max_lead=13), []
    Learner(run).publish()

    def of_all(own: int) -> int:
        if own > 0:
            since.append(time.monotonic())
        return own + 1000

    run_actor(run, Budget(1020, lambda: bool(since) and time.monotonic() > since[0] + 0.3), of_all=of_all)
    assert sum(len(episode) for episode in episodes(run)) == 1


def test_without_a_policy_the_actor_waits_and_can_be_stopped(tmp_path, capsys):
    run, looks = new_run(tmp_path / "run"), []

    def stop() -> bool:
        looks.append(True)
        return len(looks) > 3

    run_actor(run, Budget(10, stop))
    assert not run.replay.exists() and len(looks) == 4
    run.policy.write_bytes(b"torn by a power failure")
    looks.clear()
    run_actor(run, Budget(10, stop))
    said = capsys.readouterr().err
    assert said.count("policy.safetensors is damaged") == 1 and "waiting for the learner's next" in said


def test_the_learner_learns_what_is_there_saves_and_ends(tmp_path):
    run = make_run(tmp_path / "run", checkpoint_seconds=0.1)
    run_in_turns(run, Budget(24))
    run.checkpoint().unlink()  # as if it had been killed before it saved one
    run_learner(run, Budget(24))
    meta = load_tensors(run.checkpoint())[1]
    assert (meta["steps"], meta["updates"]) == (24, 7)
    assert load_tensors(run.policy)[1]["updates"] == 7


@pytest.mark.parametrize(
    ("changes", "renewed"),
    [({}, True), ({"renew_crops": False}, False), ({"fresh_crops": True}, False)],
)
def test_while_there_is_time_the_learner_renews_crops(tmp_path, changes, renewed):
    run = make_run(tmp_path / "run", **PIXELS | changes)
    run_in_turns(run, Budget(8))
    path = run.features / "replay.bin"
    before = path.read_bytes()
    run_in_turns(run, Budget(8))
    assert path.read_bytes() == before  # in turns there is never time: what was drawn once stays
    looks = itertools.count()
    run_learner(run, Budget(1000, lambda: next(looks) > 20))
    after = path.read_bytes()
    assert (after != before) == renewed
    # All of it is whole: the next learner has nothing to make again, and changes nothing.
    Learner(run)
    assert path.read_bytes() == after
