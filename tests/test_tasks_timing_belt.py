"""The belt, the drive, and the task that brings them together."""

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.tasks import timing_belt
from hilserl_envs.tasks.timing_belt import BELT, DRIVE, PULLEY, belt_points, tensioner
from hilserl_envs.twin.props import lay_belt, winding

IDLE = np.zeros(12)
LINKS = np.arange(BELT.links)


def circle(turns: float = 1.0, points: int = 40) -> np.ndarray:
    angles = np.linspace(0, turns * 2 * np.pi, points, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def make_env(**options) -> FrankaEnv:
    return FrankaEnv("TimingBelt", obs="state", **options)


def penetrations(scene) -> dict[frozenset, float]:
    """Deepest overlap [mm] of each pair of parts that touch: belt, drive, left/..., right/..."""
    model, depths = scene.model, {}
    for contact in scene.data.contact:
        pair = frozenset(model.body(model.geom_bodyid[geom]).name.split("_")[0] for geom in contact.geom)
        depths[pair] = max(depths.get(pair, 0.0), -1e3 * contact.dist)
    return depths


def closure_gap(scene) -> float:
    """How far [m] the two ends of the chain are apart."""
    half, pitch = BELT.links // 2, np.linalg.norm(np.diff(BELT.outline(), axis=0), axis=1)
    end = (
        scene.data.body(f"belt_{half}").xpos
        + scene.data.body(f"belt_{half}").xmat.reshape(3, 3)[:, 0] * (pitch[half])
    )
    first = scene.data.body(f"belt_{half + 1}")
    start = first.xpos - first.xmat.reshape(3, 3)[:, 0] * pitch[half + 1]
    return float(np.linalg.norm(end - start))


# The belt


@pytest.mark.parametrize(("turns", "expected"), [(1, 1), (-1, -1), (2, 2)])
def test_winding_counts_turns(turns, expected):
    assert winding(circle(turns), np.array([0.3, -0.2])) == expected
    assert winding(circle(turns), np.array([1.5, 0.0])) == 0


def test_the_outline_is_closed_and_as_long_as_the_belt():
    nodes = BELT.outline()
    edges = np.linalg.norm(np.roll(nodes, -1, axis=0) - nodes, axis=1)
    assert edges.sum() == pytest.approx(BELT.length, rel=0.02)  # chords of the half circles
    assert np.ptp(edges) < 0.05 * edges.mean()
    assert winding(nodes, nodes.mean(axis=0)) == 1
    np.testing.assert_allclose(nodes[0] * [-1, 1], nodes[1], atol=1e-12)  # the frame is in link 0's middle


def test_a_mounted_belt_is_told_from_one_that_is_not():
    oval = BELT.outline() - [0, BELT.end_radius]
    points = np.column_stack([oval + [DRIVE.travel[0] / 2, 0], np.full(BELT.links, DRIVE.height)])
    assert timing_belt.mounted(points, DRIVE.travel[0])
    for offset in ([0, 0, PULLEY.groove], [0.05, 0, 0], [0, 0.05, 0]):
        assert not timing_belt.mounted(points + offset, DRIVE.travel[0])
    turned = points @ np.array([[1, 0, 0], [0, 1, 0], [0.0, 0.2, 1]]).T  # one side on the flanges
    assert timing_belt.round_both(turned, DRIVE.travel[0])
    assert not timing_belt.mounted(turned, DRIVE.travel[0])


def test_the_belt_hangs_still_and_level_in_the_fingers():
    env = make_env()
    for seed in (0, 1):
        env.reset(seed=seed)
        scene = env.robot.scene
        before = [scene.pose_in_tcp(f"belt_at_{i}", "left") for i in LINKS]
        env.robot.wait(3.0)
        after = [scene.pose_in_tcp(f"belt_at_{i}", "left") for i in LINKS]
        np.testing.assert_allclose(np.array(after)[:, :3], np.array(before)[:, :3], atol=0.001)
        assert np.ptp(belt_points(scene)[:, 2]) < 0.012
        assert penetrations(scene)[frozenset({"belt", "left/finger"})] < 0.3
        assert closure_gap(scene) < 1e-4


def test_what_differs_between_episodes_is_how_the_arms_stand_and_the_belt_sits():
    env, grasps, starts = make_env(), [], []
    for seed in range(8):
        env.reset(seed=seed)
        grasps.append(env.robot.scene.pose_in_tcp("belt_at_0", "left"))
        arms = env.robot_state.arms
        starts.append([arms[n].tcp_pose[:2] - setup.reset_pose[:2] for n, setup in env.task.arms.items()])
    shifts, tilts = [g[0] for g in grasps], [2 * np.arcsin(g[5]) for g in grasps]
    assert np.ptp(shifts) > 0.003 and np.abs(shifts).max() < env.task.grasp_shift + 0.0005
    assert np.ptp(tilts) > 0.02
    assert np.abs(starts).max() < 0.011 and (np.ptp(starts, axis=0) > 0.008).all()


# The task


@pytest.fixture(scope="module")
def episode():
    """The expert's episode: the environment at its end, and what was seen on the way."""
    env, seen = make_env(), []
    env.reset(seed=5)
    expert, over = env.task.expert(np.random.default_rng(5)), False
    scene = env.robot.scene
    while not over:
        *_, over, _, info = env.step(expert(env.robot_state, scene))
        mounted = timing_belt.mounted(belt_points(scene), tensioner(scene))
        seen.append((info["is_success"], mounted, penetrations(scene), closure_gap(scene)))
    return env, seen


def test_the_expert_mounts_the_belt(episode):
    _, seen = episode
    assert seen[-1][0] and len(seen) < 120


def test_a_mounted_belt_counts_when_both_hands_are_off(episode):
    successes, mounted = [entry[0] for entry in episode[1]], [entry[1] for entry in episode[1]]
    assert not any(successes[:-1])
    assert mounted.index(True) < len(mounted) - 10


def test_contacts_are_stiff_and_the_belt_stays_closed(episode):
    deepest = max(depth for _, _, depths, _ in episode[1] for depth in depths.values())
    assert deepest < 0.3
    assert max(gap for *_, gap in episode[1]) < 5e-4


def test_a_mounted_belt_stays_on_under_tension(episode):
    env, _ = episode
    scene = env.robot.scene
    before, back = belt_points(scene), tensioner(scene)
    env.robot.wait(5.0)
    np.testing.assert_allclose(belt_points(scene), before, atol=5e-4)
    assert abs(tensioner(scene) - back) < 5e-5
    assert DRIVE.spring_force(tensioner(scene)) / 2 > env.task.least_tension
    assert timing_belt.mounted(belt_points(scene), tensioner(scene))


def test_without_the_other_arm_the_belt_does_not_go_on():
    """The belt is too short for both flanges while the spring pushes: it stays on top of one, or catches."""
    env = make_env()
    env.reset(seed=0)
    expert, scene = env.task.expert(np.random.default_rng(0)), env.robot.scene
    for _ in range(12):  # both arms over where they work
        env.step(expert(env.robot_state, scene))
    for _ in range(40):
        action = np.zeros(12)
        action[2] = -0.5
        *_, terminated, _, info = env.step(action)
        assert not info["is_success"]
        assert not timing_belt.mounted(belt_points(scene), tensioner(scene))
        if terminated:
            break
    assert belt_points(scene)[:, 2].max() > DRIVE.height + PULLEY.groove / 2


@pytest.mark.parametrize("where", [(0.40, 0.25, 0.01), (0.43, -0.03, 0.02)], ids=["table", "round the posts"])
def test_a_belt_that_is_lost_ends_the_episode(where):
    env = make_env()
    env.reset(seed=0)
    assert not env.task.failed(env.robot_state, env.robot.scene)
    lay_belt(env.robot.scene, "belt", BELT, np.array([*where, 0, 0, 0, 1.0]))
    env.robot.scene.refresh()
    _, reward, terminated, truncated, info = env.step(IDLE)
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


def test_without_a_scene_nobody_but_a_classifier_can_tell(episode):
    env, _ = episode
    assert env.task.succeeded(env.robot_state, None) is False
    assert env.task.failed(env.robot_state, None) is False
    with pytest.raises(ConfigError, match="only the twin knows"):
        env.task.expert(np.random.default_rng(0))(env.robot_state, None)


def test_reset_motions_start_over_from_wherever_an_episode_ended():
    """After success, a lost belt, and with the tensioner still held back."""
    env = make_env(reset_mode="motion")
    env.reset(seed=0)
    for seed, steps in ((1, 200), (2, 30), (3, 45), (4, 0), (5, 200)):
        scene, expert = env.robot.scene, env.task.expert(np.random.default_rng(seed))
        for _ in range(steps):
            *_, over, _, info = env.step(expert(env.robot_state, scene))
            if over:
                assert info["is_success"]
                break
        if steps == 0:
            lay_belt(scene, "belt", BELT, np.array([0.4, 0.25, 0.01, 0, 0, 0, 1.0]))
            assert env.step(IDLE)[2]
        env.reset(seed=seed)
        assert timing_belt._as_at_reset(scene)
        assert tensioner(scene) == pytest.approx(DRIVE.travel[1], abs=1e-4)
        for name, setup in env.task.arms.items():
            off = env.robot_state.arms[name].tcp_pose[:3] - setup.reset_pose[:3]
            assert np.abs(off).max() < 0.02


def test_random_actions_neither_succeed_nor_diverge():
    env = gymnasium.make("hilserl/TimingBelt-v0", obs="state")
    rng = np.random.default_rng(0)
    for seed in range(3):
        env.reset(seed=seed)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(rng.uniform(-1, 1, 12))
            assert not info["is_success"]
            over = terminated or truncated
        assert all(np.isfinite(value).all() for value in observation["state"].values())


def test_the_expert_acts_through_the_standard_stack():
    """Relative frames and interventions of two arms, none with a gripper."""
    env = hilserl_envs.make_env("TimingBelt", device="expert", obs="state")
    assert env.action_space.shape == (12,)
    env.reset(seed=3)
    over = False
    while not over:
        *_, terminated, truncated, info = env.step(IDLE)
        over = terminated or truncated
    assert info["is_success"] and info["intervene_action"].shape == (12,)
    env.close()
