"""The learner's side: how much it learns, what it saves, and where it goes on."""

import json
import math
import time

import numpy as np
import pytest
import torch

from hilserl_envs.errors import LearningError
from hilserl_envs.learning import learner as learner_module
from hilserl_envs.learning.learner import RECENT, Learner
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors
from hilserl_envs.recording import EpisodeStore, EpisodeWriter
from tests.learning_run import demonstrations, new_run, settings
from tests.one_thread import one_thread  # noqa: F401


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path / "run")


def make_run(tmp_path, **changes) -> RunFolder:
    wanted = settings(**changes)
    return RunFolder.create(tmp_path / "made", wanted, demonstrations() if wanted.demonstrations else None)


def open_writer(run: RunFolder, robot: str = "") -> EpisodeWriter:
    """Of a store such as the run's actor makes, or the one on that robot."""
    folder = run.replays / robot if robot else run.replay
    return EpisodeWriter(folder, EpisodeStore(demonstrations()).schema, {}, {}, sync=False)


def act(writer, steps: int, success=False, interventions=0, state=0.0, cut_short=False) -> None:
    """An episode."""
    observation = {
        key: np.full(leaf.shape, state, leaf.dtype) for key, leaf in writer.schema.observations.items()
    }
    observation = {"state": {key.partition("/")[2]: value for key, value in observation.items()}}
    writer.begin(observation)
    for step in range(1, steps + 1):
        over = step == steps and not cut_short
        writer.step(
            observation, np.zeros(7), float(over and success), over and success, over and not success,
            success=over and success, intervened=step <= interventions,
        )  # fmt: skip
    writer.end(kept=True)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.agent.state().items()}


def same(these, those) -> bool:
    return these.keys() == those.keys() and all(torch.equal(these[name], those[name]) for name in these)


def test_how_many_updates_the_steps_call_for(tmp_path):
    """`utd_ratio` critic updates a step, `cta_ratio` of them in an update, from `training_starts` on."""
    run = make_run(tmp_path, training_starts=10, utd_ratio=3)
    learner = Learner(run)
    assert (learner.steps, learner.due, learner.episodes) == (0, 0, 0)
    learner.catch_up()
    assert learner.agent.updates == 0
    with open_writer(run) as writer:
        for steps, due in ((10, 0), (1, 1), (3, 6), (6, 15)):
            act(writer, steps)
            learner.catch_up()
            assert learner.due == learner.agent.updates == due
    assert learner.steps == 20 and learner.episodes == 4


def test_it_learns_from_several_robots(tmp_path):
    run = make_run(tmp_path, training_starts=10, utd_ratio=1)
    (run.replays / "right").mkdir(parents=True)
    with open_writer(run, "left") as left:
        act(left, 15)
        learner = Learner(run)
        assert (learner.steps, learner.due) == (15, 2)
        with open_writer(run, "right") as right:  # begins later
            act(right, 5)
            act(left, 10)
            learner.catch_up()
            assert (learner.steps, learner.agent.updates) == (30, 10)
            act(right, 1)
            assert [learner.refresh(1) for _ in range(2)] == [1, 0] and learner.steps == 31  # two frames
    learner.checkpoint()
    again = Learner(run)
    assert again.steps == 31 and again.agent.updates == 10 and again._lag() == 0
    assert again.episodes == 0  # of those that a run in turns would make again


def test_robots_share_the_places_for_frames(tmp_path):
    run = make_run(tmp_path, replay_capacity=1000)
    with open_writer(run, "left") as left, open_writer(run, "right") as right:
        act(left, 700)
        act(right, 100)
    learner = Learner(run)
    assert learner.steps == 800
    assert [len(replay) for replay in learner._online.values()] == [499, 100]  # 500 frames


def test_how_far_it_is_behind_several_robots(tmp_path):
    run = make_run(tmp_path, training_starts=10, utd_ratio=2)
    with open_writer(run, "left") as left, open_writer(run, "right") as right:
        act(left, 20)
        time.sleep(0.01)
        began = time.time()
        act(right, 20)
        learner = Learner(run)
        while learner.agent.updates < 15:
            learner.update()
        assert 0 < learner._lag() <= time.time() - began  # the left one's steps are older
        learner.catch_up()
        assert learner._lag() == 0


def test_the_last_episodes_are_those_of_all_robots(run):
    with open_writer(run, "left") as left, open_writer(run, "right") as right:
        for _ in range(RECENT // 2):
            act(left, 1)
        for _ in range(RECENT // 2):
            act(right, 1, success=True)
        for _ in range(RECENT // 4):
            act(left, 1, success=True)
    learner = Learner(run)
    learner.checkpoint()
    assert load_tensors(run.checkpoint())[1]["success_rate"] == 0.75


def test_a_store_in_which_no_episode_has_begun(run):
    """What a kill of the actor leaves that had just made it."""
    open_writer(run).close()
    learner = Learner(run)
    assert (learner.steps, learner.episodes) == (0, 0)
    learner.checkpoint()
    assert load_tensors(run.checkpoint())[1]["episodes"] == 0


def test_from_its_checkpoint_it_goes_on_to_the_bit(tmp_path):
    run = make_run(tmp_path, training_starts=1, utd_ratio=2)
    with open_writer(run) as writer:
        act(writer, 20, interventions=5)
        learner = Learner(run)
        while learner.agent.updates < 7:
            learner.update()
        learner.checkpoint()
        again = Learner(run)
        assert again.agent.updates == 7 and same(weights(again), weights(learner))
        act(writer, 20)
        learner.catch_up()
        again.catch_up()
    assert learner.agent.updates == again.agent.updates == 39
    assert same(weights(again), weights(learner))
    lines = [json.loads(line) for line in run.learner_log.read_text().splitlines()]
    assert [line["updates"] for line in lines] == [7, 25, 25]
    timed = ("seconds", "updates_per_second", "lag_seconds")
    one, two = ({k: v for k, v in line.items() if k not in timed} for line in lines[1:])
    assert one == two


def test_without_a_checkpoint_it_begins_again_from_what_was_recorded(run):
    with open_writer(run) as writer:
        act(writer, 130)
    learner = Learner(run)
    assert learner.agent.updates == 0 and learner.due == 60


def test_the_seed_decides(tmp_path):
    first, again = Learner(make_run(tmp_path)), Learner(make_run(tmp_path / "again"))
    other = Learner(make_run(tmp_path / "other", seed=1))
    assert same(weights(first), weights(again)) and not same(weights(first), weights(other))


def test_states_are_normalised_by_the_demonstrations_or_else_by_experience(tmp_path):
    learner = Learner(make_run(tmp_path))
    learner.update()
    store = EpisodeStore(demonstrations())
    position = store.take("state/tcp_pose", store.transitions())[:, :3].mean(0)
    mean = learner.agent.policy.observation.state_mean.numpy()
    assert any(np.allclose(mean[first : first + 3], position, atol=1e-5) for first in range(len(mean) - 2))

    run = make_run(tmp_path / "alone", demonstrations=False, training_starts=1)
    with open_writer(run) as writer:
        act(writer, 20, state=3.0)
        learner = Learner(run)
        learner.catch_up()
        assert learner.agent.policy.observation.state_mean.tolist() == pytest.approx(
            [3.0] * run.inputs.state_size
        )
        learner.checkpoint()
        act(writer, 20, state=5.0)
    again = Learner(run)
    again.catch_up()  # what the states were like is settled by then
    assert again.agent.policy.observation.state_mean.tolist() == pytest.approx([3.0] * run.inputs.state_size)


def test_the_best_is_kept_beside_the_last(run):
    best = run.checkpoint("best")
    with open_writer(run) as writer:
        learner = Learner(run)

        def after(episodes, **episode):
            for _ in range(episodes):
                act(writer, 1, **episode)
            learner.refresh()
            learner.agent.updates += 1
            learner.checkpoint()
            return load_tensors(run.checkpoint())[1]

        after(RECENT - 1, success=True)
        assert not best.exists()  # too few to tell
        meta = after(1, success=True, interventions=1)
        assert meta["success_rate"] == 1 - 1 / RECENT and meta["updates"] == 2
        after(5)
        assert load_tensors(best)[1]["updates"] == 2 and load_tensors(run.checkpoint())[1]["updates"] == 3
        learner = Learner(run)  # the one that was killed knew
        after(RECENT - 2, success=True)
        assert load_tensors(best)[1]["updates"] == 2
        after(1, success=True)  # as good as the best: the newer one is taken
        assert load_tensors(best)[1]["updates"] == 5
        after(0)  # nobody has tried these
        learner = Learner(run)
        after(0)
        assert load_tensors(best)[1]["updates"] == 5 and load_tensors(run.checkpoint())[1]["updates"] == 7
        rate = load_tensors(run.checkpoint())[1]["success_rate"]
        assert after(3, cut_short=True)["success_rate"] == rate > 0.9  # by Ctrl-C, not by the policy
        assert load_tensors(best)[1]["updates"] == 5


def test_a_kill_between_best_and_last_leaves_no_stale_best(run, monkeypatch):
    with open_writer(run) as writer:
        learner = Learner(run)
        for _ in range(RECENT):
            act(writer, 1, success=True)
        learner.refresh()
        learner.checkpoint()
        act(writer, 1, success=True)
        learner.refresh()
        learner.agent.updates += 1
        saved = []

        def killed(path, *content):
            saved.append(path.name)
            if len(saved) == 2:
                raise KeyboardInterrupt
            save_tensors(path, *content)

        monkeypatch.setattr(learner_module, "save_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            learner.checkpoint()
    assert saved == ["best.safetensors", "last.safetensors"]
    best, last = (load_tensors(run.checkpoint(name))[1]["updates"] for name in ("best", "last"))
    assert (best, last) == (1, 0)


def test_its_time_goes_on(run, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    learner = Learner(run)
    clock[0] += 50
    learner.checkpoint()
    clock[0] += 1000
    learner = Learner(run)
    clock[0] += 7
    assert learner.seconds == pytest.approx(57) and run.seconds() == pytest.approx(50)


def test_what_is_published_is_what_acts(run):
    learner = Learner(run)
    learner.update()
    learner.publish()
    tensors, meta = load_tensors(run.policy)
    assert same(tensors, learner.agent.published_state())
    assert meta["updates"] == 1 and meta["steps"] == 0 and abs(meta["time"] - time.time()) < 60


def test_how_far_it_is_behind(run):
    with open_writer(run) as writer:
        learner = Learner(run)
        act(writer, 110)
        learner.refresh()
        assert learner._lag() > 0 and learner.due == 20
        while learner.agent.updates < learner.due:
            learner.update()
        assert learner._lag() == 0


def test_a_damaged_checkpoint_is_said(run):
    Learner(run).checkpoint()
    run.checkpoint().write_bytes(run.checkpoint().read_bytes()[:-1])
    with pytest.raises(LearningError, match="last.safetensors is damaged"):
        Learner(run)


def test_what_is_not_finite_leaves_the_last_good_checkpoint(run):
    with open_writer(run) as writer:
        act(writer, 110)
        learner = Learner(run)
        learner.update()
        learner.checkpoint()
        good = run.checkpoint().read_bytes()
        learner.agent.policy.gaussian.mean.bias.data.fill_(math.nan)
        with pytest.raises(LearningError, match="update 2: .*nan.*weights of the last checkpoint are good"):
            learner.update()
        act(writer, 50, state=math.nan)
        with pytest.raises(LearningError, match="step 0 of episode 1 holds numbers that are not finite"):
            learner.refresh()
    assert run.checkpoint().read_bytes() == good and not run.policy.exists()


@pytest.mark.parametrize("algorithm", ["bc", "hg-dagger"])
def test_who_imitates(tmp_path, algorithm):
    run = make_run(
        tmp_path, algorithm=algorithm, overseer={} if algorithm != "bc" else None, training_starts=1
    )
    if run.settings.acts:
        with open_writer(run) as writer:
            act(writer, 10, interventions=3)
    learner = Learner(run)
    assert learner.sampler.sample().expert.all()
    learner.update()
    learner.checkpoint()
    if algorithm == "bc":
        assert run.checkpoint("best").exists()  # nobody tries it: the last one is the best
