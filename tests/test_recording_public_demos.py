"""Files laid out as the public code's recorders write them, into a store."""

import copy
import os
import pickle

import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, RecordingError
from hilserl_envs.recording import LABELS, EpisodeStore
from hilserl_envs.recording.public_demos import import_public_demos


def observe(rng) -> dict:
    return {
        "side": rng.integers(0, 256, (1, 8, 8, 3), np.uint8),
        "wrist_1": rng.integers(0, 256, (1, 8, 8, 3), np.uint8),
        "state": rng.normal(size=(1, 5)),
    }


def demonstrations(lengths=(3, 2), seed=0, infos=True) -> list[dict]:
    """As record_demos.py: successes only, the action of an intervention in place of zeros."""
    rng = np.random.default_rng(seed)
    transitions = []
    for length in lengths:
        observation = observe(rng)
        for step in range(length):
            following, done = observe(rng), step == length - 1
            info = {"succeed": done, "left": False, "grasp_penalty": -0.02 * (step == 1)}
            actions = np.zeros(7)
            if step:
                actions = info["intervene_action"] = rng.uniform(-1, 1, 7)
            transition = {
                "observations": observation,
                "actions": actions,
                "next_observations": following,
                "rewards": int(done),
                "masks": 1.0 - done,
                "dones": done,
            }
            transitions.append(copy.deepcopy(transition | ({"infos": info} if infos else {})))
            observation = following
    return transitions


def save(path, transitions, protocol=4):
    path.write_bytes(pickle.dumps(transitions, protocol))
    return path


def test_demonstrations(tmp_path):
    transitions = demonstrations()
    assert import_public_demos(save(tmp_path / "demos.pkl", transitions), tmp_path / "store") == 2
    store = EpisodeStore(tmp_path / "store")
    assert store.keys == ("state", "images/side", "images/wrist_1") and store.verify() == []
    assert [(e.steps, e.success, e.outcome, e.kept) for e in store.episodes] == [
        (3, True, "success", True),
        (2, True, "success", True),
    ]
    assert [e.interventions for e in store.episodes] == [2, 1]
    at = 0
    for episode in store:
        here = transitions[at : at + len(episode)]
        for key, theirs in (("state", "state"), ("images/side", "side"), ("images/wrist_1", "wrist_1")):
            before = np.array([transition["observations"][theirs][0] for transition in here])
            last = here[-1]["next_observations"][theirs]
            expected = np.concatenate([before, last]).astype(episode[key].dtype)
            np.testing.assert_array_equal(episode[key], expected)
        np.testing.assert_array_equal(episode.actions, np.float32([t["actions"] for t in here]))
        np.testing.assert_array_equal(episode.rewards, [t["rewards"] for t in here])
        np.testing.assert_array_equal(episode.terminated, [t["dones"] for t in here])
        np.testing.assert_allclose(
            episode.extras["grasp_penalty"], [t["infos"]["grasp_penalty"] for t in here]
        )
        at += len(episode)
    assert store.meta["source"] == {"format": "hil-serl pickles"}
    assert store.sessions[0]["session"] == {"file": "demos.pkl"}


@pytest.mark.parametrize("protocol", [2, 5])
def test_other_protocols_and_several_files(tmp_path, protocol):
    files = [save(tmp_path / f"{n}.pkl", demonstrations((2,), n), protocol) for n in range(3)]
    assert import_public_demos(files, tmp_path / "store", image_format="raw") == 3
    assert import_public_demos(files[0], tmp_path / "store", image_format="raw") == 1
    store = EpisodeStore(tmp_path / "store")
    assert len(store) == 4
    np.testing.assert_array_equal(store.episode(0)["images/side"], store.episode(3)["images/side"])


def test_without_infos_and_with_timeouts(tmp_path):
    """As the learner's replay buffers: no infos, and a mask that says whether it really ended."""
    transitions = demonstrations((3, 2), infos=False)
    transitions[-1] |= {"rewards": 0.0, "masks": 1.0}
    import_public_demos(save(tmp_path / "buffer.pkl", transitions), tmp_path / "store")
    store = EpisodeStore(tmp_path / "store")
    assert [e.outcome for e in store.episodes] == ["success", "timeout"]
    assert store.episode(1).truncated.tolist() == [False, True] and not store.episode(1).terminated.any()
    assert store.episodes[0].interventions == 0 and not store.episode(0).extras["grasp_penalty"].any()


def test_frames_of_a_classifier(tmp_path):
    """As record_success_fail.py: frames from here and there, without infos."""
    transitions = demonstrations((6,), infos=False)[:-1]
    success, failure = [transitions[n] for n in (1, 2, 4)], [transitions[n] for n in (0, 3)]
    for label, chosen in (("success", success), ("failure", failure)):
        import_public_demos(save(tmp_path / f"{label}.pkl", chosen), tmp_path / "store", label=label)
    store = EpisodeStore(tmp_path / "store")
    assert [e.steps for e in store.episodes] == [2, 1, 1, 1]  # a gap ends an episode
    for label, chosen in (("success", success), ("failure", failure)):
        records = store.transitions()
        records = records[store.take("label", records + 1) == LABELS[label]]
        expected = [transition["observations"]["side"][0] for transition in chosen]
        np.testing.assert_array_equal(store.take("images/side", records), expected)


def test_observations_without_the_frame_stack(tmp_path):
    transitions = demonstrations((2,))
    for transition in transitions:
        for name in ("observations", "next_observations"):
            transition[name] = {key: value[0] for key, value in transition[name].items()}
    import_public_demos(save(tmp_path / "demos.pkl", transitions), tmp_path / "store")
    assert EpisodeStore(tmp_path / "store").episode(0)["images/side"].shape == (3, 8, 8, 3)


def changed(**changes) -> list[dict]:
    transitions = demonstrations((2,))
    transitions[1] |= changes
    return transitions


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds an empty list, not a list of transitions"),
        ({"a": 1}, "holds a dict, not a list of transitions"),
        ([{"observations": {}}], "transition 0 is not one of HIL-SERL's: KeyError"),
        ([1], "transition 0 is not one"),
        (changed(observations={"state": np.zeros((3, 5))}), "transition 1 .* stack of frames"),
        (changed(observations={"side": np.zeros((1, 8, 8, 1), np.uint8)}), "transition 1 .* 3 channels"),
        (changed(observations={}), "transition 1 .* without anything"),
        (changed(actions=np.zeros(6)), "transition 1 has other keys or shapes than the first"),
        (changed(rewards="many"), "transition 1 is not one"),
        (changed(infos=Malicious()), r"refused: it holds posix\.system"),
    ],
)
def test_other_files_are_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordingError, match=message):
        import_public_demos(save(tmp_path / "demos.pkl", content), tmp_path / "store")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "store").exists()


def test_mistakes_are_explained(tmp_path):
    file = save(tmp_path / "demos.pkl", demonstrations((2,)))
    with pytest.raises(ConfigError, match="no pickle files"):
        import_public_demos([], tmp_path / "store")
    with pytest.raises(ConfigError, match="unknown label 'sucess': did you mean 'success'"):
        import_public_demos(file, tmp_path / "store", label="sucess")
    import_public_demos(file, tmp_path / "store")
    with pytest.raises(ConfigError, match="the extra 'label' is absent in the store"):
        import_public_demos(file, tmp_path / "store", label="success")
    other = demonstrations((2,))
    for transition in other:
        transition["actions"] = np.zeros(6)
    with pytest.raises(ConfigError, match=r"the action is \(7,\) float32 in the store and \(6,\)"):
        import_public_demos(save(tmp_path / "other.pkl", other), tmp_path / "store")
    assert len(EpisodeStore(tmp_path / "store").episodes) == 1
