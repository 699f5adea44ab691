"""The wrapper: what it takes from reset, step and info, and which episodes are kept."""

import doctest

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.recording import EpisodeStore, RecordEpisodes, rebuild_env, recorder
from hilserl_envs.teleop import ArmMotion, FakeDevice, TeleopCommand
from hilserl_envs.wrappers import Intervention, RelativeFrame
from tests.generic_env import GenericEnv


class Scripted(gymnasium.Wrapper):
    """Ends episodes as told: a list of (terminated, truncated, success), one a step."""

    def __init__(self, env, steps, **info):
        super().__init__(env)
        self.steps, self.info = list(steps), info

    def reset(self, **kwargs):
        observation, _ = self.env.reset(**kwargs)
        return observation, {"is_success": False}

    def step(self, action):
        observation, _, _, _, info = self.env.step(action)
        terminated, truncated, success = self.steps.pop(0)
        return (
            observation,
            float(success),
            terminated,
            truncated,
            {**info, **self.info, "is_success": success},
        )


GOING, WON, LOST, TIMEOUT = (False,) * 3, (True, False, True), (True, False, False), (False, True, False)


def play(env, seed=None):
    env.reset(seed=seed)
    over, steps = False, 0
    while not over:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        over, steps = terminated or truncated, steps + 1
    return steps


@pytest.mark.parametrize(("keep", "kept"), [("success", [True, False, False]), ("all", [True, True, True])])
def test_episodes_that_end_by_themselves(tmp_path, keep, kept):
    env = RecordEpisodes(Scripted(GenericEnv(), [GOING, WON, LOST, GOING, TIMEOUT]), tmp_path, keep)
    assert [play(env, seed) for seed in (5, 6, None)] == [2, 1, 2]
    assert (env.kept, env.recorded) == (sum(kept), 3)
    env.close()
    episodes = EpisodeStore(tmp_path).episodes
    assert [e.kept for e in episodes] == kept
    assert [e.outcome for e in episodes] == ["success", "failure", "timeout"]
    assert [e.seed for e in episodes] == [5, 6, None]
    assert [e.success for e in episodes] == [True, False, False]


def test_what_is_recorded_is_what_happened(tmp_path):
    base = GenericEnv(arms=2, info=lambda action: {"force": [1, 2, 3], "label": 1})
    env = RecordEpisodes(base, tmp_path, "all", extras={"label": "int8", "grasp_penalty": "float32"})
    seen = [env.reset(seed=1)[0]]
    actions = [env.action_space.sample() for _ in range(4)]
    seen += [env.step(action)[0] for action in actions]
    env.close()
    (episode,) = EpisodeStore(tmp_path)
    for key in base.observation_space["state"]:
        np.testing.assert_array_equal(episode[f"state/{key}"], [o["state"][key] for o in seen])
    np.testing.assert_array_equal(episode["images/front"], [o["images"]["front"] for o in seen])
    np.testing.assert_array_equal(episode.actions, actions)
    assert episode.extras["label"].tolist() == [1] * 4 and not episode.extras["grasp_penalty"].any()


def test_the_action_recorded_is_the_one_executed(tmp_path):
    motion = np.array([0.2, -0.4, 0.6, 0, 0, 0.5])
    acting = TeleopCommand({"arm": ArmMotion(motion)}, acting=True)
    base = GenericEnv()
    env = Intervention(RelativeFrame(base), FakeDevice([acting, TeleopCommand(), TeleopCommand()]))
    env = RecordEpisodes(gymnasium.wrappers.OrderEnforcing(env), tmp_path, "all")
    env.reset(seed=0)
    policy = np.full(7, 0.1, np.float32)
    executed = [env.step(policy)[4].get("intervene_action", policy)]
    env.env.env._takeover.begin()  # the person lets go
    executed += [env.step(policy)[4].get("intervene_action", policy) for _ in range(2)]
    env.close()
    (episode,) = EpisodeStore(tmp_path)
    np.testing.assert_array_equal(episode.actions, executed)
    np.testing.assert_allclose(base.actions[0][:6], motion, atol=1e-6)  # recorded in the outer frame
    assert np.abs(episode.actions[0] - policy).max() > 0.1
    assert episode.intervened.tolist() == [True, False, False] and episode.info.interventions == 1


def test_held_still_while_waiting_is_no_intervention(tmp_path):
    still = {"intervene_action": np.zeros(7), "intervened": False}
    env = RecordEpisodes(GenericEnv(info=lambda action: still), tmp_path, "all")
    env.reset()
    env.step(np.ones(7))
    env.close()
    (episode,) = EpisodeStore(tmp_path)
    assert not episode.actions.any() and not episode.intervened.any()


def test_an_intervention_that_only_its_action_tells_of(tmp_path):
    env = RecordEpisodes(GenericEnv(info=lambda action: {"intervene_action": action}), tmp_path, "all")
    env.reset()
    env.step(np.ones(7))
    env.close()
    assert EpisodeStore(tmp_path).episodes[0].interventions == 1


def test_ended_and_discarded_by_hand(tmp_path):
    env = RecordEpisodes(Scripted(GenericEnv(), [GOING] * 5 + [WON]), tmp_path)
    with pytest.raises(ConfigError, match="no episode to discard yet"):
        env.discard()
    env.reset()
    env.step(np.zeros(7))
    env.end(kept=True, why="good enough")
    env.step(np.zeros(7))  # nobody records this
    with pytest.raises(ConfigError, match="no episode has begun"):
        env.end()
    env.reset()
    env.step(np.zeros(7))
    env.discard()
    env.reset()
    env.step(np.zeros(7))
    env.reset()  # leaves it
    env.step(np.zeros(7))
    env.step(np.zeros(7))
    assert env.kept == 2
    env.discard("the cube had been pushed")  # it had ended in success
    assert env.kept == 1
    env.reset()
    env.close()
    env.close()
    episodes = EpisodeStore(tmp_path).episodes
    assert [(e.steps, e.kept, e.why) for e in episodes] == [
        (1, True, "good enough"),
        (1, False, "discarded"),
        (1, False, "reset"),
        (2, False, "the cube had been pushed"),
        (0, False, "closed"),
    ]
    assert episodes[3].outcome == "success" and all(e.finished for e in episodes)


def test_a_second_session_adds(tmp_path):
    for session in range(2):
        env = RecordEpisodes(TimeLimit(GenericEnv(), 3), tmp_path, "all", session={"seed": session})
        play(env, seed=session)
        assert env.kept == session + 1
        env.close()
    store = EpisodeStore(tmp_path)
    assert [e.seed for e in store.episodes] == [0, 1]
    assert [session["session"] for session in store.sessions] == [{"seed": 0}, {"seed": 1}]


def test_example():
    assert doctest.testmod(recorder).failed == 0


def test_constructor_arguments_are_kept_and_checked(tmp_path):
    env = RecordEpisodes(GenericEnv(), tmp_path, image_format="raw")
    assert env._saved_kwargs["folder"] == str(tmp_path) and env._saved_kwargs["image_format"] == "raw"
    env.close()
    with pytest.raises(ConfigError, match="unknown keep 'sucess': did you mean 'success'"):
        RecordEpisodes(GenericEnv(), tmp_path, "sucess")


def test_demonstrations_in_the_twin_play_back_to_the_bit(tmp_path):
    env = hilserl_envs.make_env("PickCube", frame="relative", rotation="rotvec")
    policy = ExpertPolicy(env)
    env = RecordEpisodes(env, tmp_path)
    seed = 0
    while env.kept < 2:
        observation, _ = env.reset(seed=seed)
        policy.start(seed)
        over = False
        while not over:
            observation, _, terminated, truncated, _ = env.step(policy(observation))
            over = terminated or truncated
        seed += 1
    env.close()

    store = EpisodeStore(tmp_path)
    assert len(store) == 2 and store.verify() == []
    assert store.keys[0] == "state" and "state/tcp_pose" in store.keys
    twin = rebuild_env(store.meta)
    for episode in store:
        observation, _ = twin.reset(seed=episode.info.seed)
        for step, action in enumerate(episode.actions):
            np.testing.assert_array_equal(observation["state"], episode["state"][step])
            np.testing.assert_array_equal(observation["images"]["front"], episode["images/front"][step])
            observation, _, terminated, _, info = twin.step(action)
        assert terminated and info["is_success"] and episode.info.outcome == "success"
    twin.close()
