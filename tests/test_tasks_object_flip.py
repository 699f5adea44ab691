"""ObjectFlip: what lies how in the pan, what counts as flipped and as lost, an expert that tries again."""

import math

import gymnasium
import numpy as np
import pytest

from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.kinematics import PANDA
from hilserl_envs.poses import compose, displacement, rotvec_to_quat
from hilserl_envs.robot import FakeRobot
from hilserl_envs.safety import WorkspaceBox
from hilserl_envs.tasks.object_flip import EGG, PAN, ObjectFlip, egg_in_pan, lies_turned_over
from hilserl_envs.tasks.task import Task
from hilserl_envs.twin.props.eggs import SKIN
from robot_servers.limits import GuardSettings

NOTHING = np.zeros(3)
OVER = [1.0, 0.0, 0.0, 0.0]  # yolk down
JOINT_SPEEDS = [2.175] * 4 + [2.61] * 3  # published limits [rad/s]


@pytest.fixture(scope="module")
def env():
    env = FrankaEnv("ObjectFlip", obs="state")
    yield env
    env.close()


def put_egg(env: FrankaEnv, position, quat=(0.0, 0.0, 0.0, 1.0)) -> None:
    """At a pose in the pan's frame, at rest."""
    scene = env.robot.scene
    scene.place("egg", compose(scene.pose("pan"), np.array([*position, *quat], float)))
    scene.refresh()


def hold(env: FrankaEnv, steps: int) -> tuple[bool, dict]:
    """Do nothing until the episode ends, at most so long: (terminated, info)."""
    for _ in range(steps):
        *_, terminated, _, info = env.step(NOTHING)
        if terminated:
            break
    return terminated, info


def watched(env: FrankaEnv, seed: int, looks: int = 20, steps: int = 100) -> dict:
    """An expert's episode, its contacts, speeds and heights looked at all along."""
    env.reset(seed=seed)
    scene, wait = env.robot.scene, env.robot.wait
    setup = env.task.arms["arm"]
    box = WorkspaceBox(setup.limits, np.array(setup.reset_pose[3:]))
    seen = {"depth": 0.0, "speed": 0.0, "height": 0.0, "inside": True, "steps": 0}

    def look(seconds: float) -> None:
        for _ in range(looks):
            wait(seconds / looks)
            seen["depth"] = max([seen["depth"], *(-scene.data.contact.dist)])
            seen["speed"] = max(seen["speed"], np.max(np.abs(scene.physics.arms[0].dq) / JOINT_SPEEDS))
            seen["height"] = max(seen["height"], egg_in_pan(scene)[2])
            seen["inside"] &= box.contains(scene.pose("tcp"))

    expert, over = env.task.expert(np.random.default_rng(seed)), False
    env.robot.wait = look
    try:
        while not over and seen["steps"] < steps:
            *_, over, _, info = env.step(expert(env.robot_state, scene))
            seen["steps"] += 1
    finally:
        env.robot.wait = wait
    return seen | info


# The pan and the egg


def test_the_pan_is_where_the_arm_is_told_that_its_load_is(env):
    env.reset(seed=0)
    scene, load = env.robot.scene, env.task.arms["arm"].load
    pan = scene.model.body("pan")
    flange_in_hand = np.array([0, 0, 0, *rotvec_to_quat(np.array([0, 0, -PANDA.hand_yaw]))])
    told = compose(scene.pose("hand"), compose(flange_in_hand, np.array([*load.center, 0, 0, 0, 1.0])))
    is_at = compose(scene.pose("pan"), np.array([*pan.ipos, 0, 0, 0, 1.0]))
    assert load.mass == pytest.approx(pan.mass[0])
    np.testing.assert_allclose(told[:3], is_at[:3], atol=1e-5)


def test_an_untouched_egg_stays_where_it_is_and_hardly_sinks_in(env):
    env.reset(seed=0)
    before = egg_in_pan(env.robot.scene)
    terminated, info = hold(env, 30)
    assert not terminated and not info["is_success"]
    after = egg_in_pan(env.robot.scene)
    assert np.abs(displacement(before, after)).max() < SKIN / 2
    assert env.robot.scene.data.contact.dist.min() > -0.0003
    drift = egg_in_pan(env.robot.scene)[:2] - before[:2]
    assert np.linalg.norm(drift) < 0.0005


def test_the_egg_starts_anywhere_near_the_middle_at_any_heading(env):
    places, headings = [], []
    for seed in range(40):
        env.reset(seed=seed)
        egg = egg_in_pan(env.robot.scene)
        places.append(egg[:2])
        headings.append(2 * math.atan2(egg[5], egg[6]))
        assert egg[2] == pytest.approx(EGG.thickness / 2) and not lies_turned_over(env.robot.scene)
    distances = np.linalg.norm(places, axis=1)
    assert 0.8 * env.task.egg_range < distances.max() <= env.task.egg_range
    assert np.ptp(np.cos(headings)) > 1.5 and np.ptp(np.sin(headings)) > 1.5


def test_the_papers_egg_starts_in_the_middle():
    fixed = FrankaEnv("ObjectFlip", obs="state", settings={"egg_range": 0})
    fixed.reset(seed=1)
    np.testing.assert_allclose(egg_in_pan(fixed.robot.scene)[:2], 0, atol=1e-9)
    fixed.close()


def test_it_lies_on_either_side(env):
    for quat, over in (((0, 0, 0, 1), False), (OVER, True)):
        env.reset(seed=0)
        put_egg(env, (0.01, 0.0, 0.012), quat)
        env.robot.scene.settle(0.6)
        assert env.task.still(env.robot.scene) and lies_turned_over(env.robot.scene) == over


# Success and failure


@pytest.mark.parametrize(
    ("position", "quat", "steps", "expected"),
    [
        ((0.0, 0.0, 0.012), OVER, 10, True),
        ((0.03, 0.02, 0.012), OVER, 10, True),
        ((0.0, 0.0, 0.010), (0, 0, 0, 1), 10, False),
        ((0.0, 0.0, 0.15), OVER, 1, False),  # falling
        ((0.0, 0.0, 0.038), (math.sqrt(0.5), 0, 0, math.sqrt(0.5)), 1, False),  # on its edge
    ],
)
def test_success_is_an_egg_that_lies_on_its_other_side(env, position, quat, steps, expected):
    env.reset(seed=0)
    put_egg(env, position, quat)
    terminated, info = hold(env, steps)
    assert info["is_success"] is terminated is expected


def test_an_egg_that_moves_in_the_pan_is_no_success_yet(env):
    env.reset(seed=0)
    put_egg(env, (-0.02, 0.0, 0.0095), OVER)
    env.robot.scene.settle(0.5)
    assert env.task.succeeded(env.robot_state, env.robot.scene)
    env.robot.scene.data.joint("egg").qvel[:3] = [0.3, 0, 0]
    assert not env.task.succeeded(env.robot_state, env.robot.scene)


@pytest.mark.parametrize(
    ("position", "lost"),
    [
        ((0.16, 0.0, 0.0), True),
        ((0.0, -0.15, -0.2), True),
        ((0.0, 0.0, -0.1), True),
        ((0.16, 0.0, 0.2), False),  # in the air, where the pan may still catch it
        ((0.0, 0.0, 0.3), False),
        ((0.09, 0.0, 0.03), False),  # on the rim
    ],
)
def test_an_egg_that_left_the_pan_is_lost(env, position, lost):
    env.reset(seed=0)
    put_egg(env, position)
    assert env.task.failed(env.robot_state, env.robot.scene) is lost


def test_a_lost_egg_ends_the_episode(env):
    env.reset(seed=0)
    put_egg(env, (0.2, 0.0, 0.0))
    _, reward, terminated, truncated, info = env.step(NOTHING)
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


def test_without_a_scene_nobody_can_tell(env):
    assert not env.task.succeeded(env.robot_state, None) and not env.task.failed(env.robot_state, None)


# The arm


def test_a_robot_server_lets_every_action_through():
    robot, guard = FakeRobot(cameras=dict.fromkeys(ObjectFlip().cameras, (128, 128))), GuardSettings()
    env = FrankaEnv("ObjectFlip", robot=robot)
    env.reset(seed=0)
    for action in (np.ones(3), -np.ones(3)):
        env.step(action)
        guard.check_wrench("arm", robot.commands[-1]["arm"].wrench, env.robot_state.arms["arm"].tcp_pose)


def test_the_velocity_of_the_egg_is_along_the_bases_axes(env):
    env.reset(seed=0)
    put_egg(env, (0.0, 0.0, 0.3), rotvec_to_quat(np.array([0, 0, math.pi / 2])))
    env.robot.scene.data.joint("egg").qvel[:] = [0.1, 0.2, 0.3, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(
        env.task.measure(env.robot.scene)["egg_vel"], [0.1, 0.2, 0.3, 0, 1, 0], atol=1e-6
    )


# The expert


def test_the_expert_tosses_it_over_within_what_the_arm_and_the_contacts_allow(env):
    for seed in range(3):
        seen = watched(env, seed)
        assert seen["is_success"], seed
        assert seen["height"] > EGG.radius, "it flies: over its own edge it cannot turn lower"
        assert seen["inside"] and seen["speed"] < 1.0 and seen["depth"] < 0.0003, seen


def test_the_expert_tries_again(env):
    env.reset(seed=1)
    expert = env.task.expert(np.random.default_rng(1))
    for step in range(100):
        action = expert(env.robot_state, env.robot.scene)
        *_, over, _, info = env.step(action if step >= len(expert.TOSS) else NOTHING)
        if over:
            break
    assert info["is_success"]


def test_a_reset_motion_keeps_an_egg_in_the_pan_until_it_is_put_back(monkeypatch):
    env = gymnasium.make("hilserl/ObjectFlip-v0", obs="state", reset_mode="motion").unwrapped
    seen = watched(env, 0)
    assert seen["is_success"]
    found = []
    arrange = type(env.task).arrange

    def look(task: Task, scene, rng, in_motion):
        found.append((in_motion, egg_in_pan(scene)))
        arrange(task, scene, rng, in_motion)

    monkeypatch.setattr(type(env.task), "arrange", look)
    for _ in range(3):
        env.step(np.array([0.6, -0.5, 0.3]))
    observation, info = env.reset()
    (in_motion, egg), *_ = found
    assert in_motion and PAN.holds(egg[:3])
    assert not info["is_success"] and not lies_turned_over(env.robot.scene)
    reset_pose = np.array(env.task.arms["arm"].reset_pose)
    left = displacement(observation["state"]["tcp_pose"].astype(float), reset_pose)
    assert np.linalg.norm(left[:3]) < 0.012 and np.linalg.norm(left[3:]) < 0.06
    env.close()
