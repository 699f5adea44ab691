"""ObjectHandover: what counts as handed over and as lost, an expert that goes on from any state."""

import math

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.poses import compose, displacement, rotvec_to_quat
from hilserl_envs.tasks.object_handover import (
    BAR,
    BASE_Y,
    LYING,
    TRAY,
    TRAY_Y,
    WORK_X,
    ObjectHandover,
)

ALONG_Y = rotvec_to_quat(np.array([0, 0, math.pi / 2]))
FALLING = [0, 0, 0, 1.0]
IN_OWN_TRAY = [WORK_X, TRAY_Y["left"], LYING, *ALONG_Y]
IN_OTHER_TRAY = [WORK_X, TRAY_Y["right"], LYING, *ALONG_Y]


@pytest.fixture(scope="module")
def env():
    env = FrankaEnv("ObjectHandover", obs="state")
    yield env
    env.close()


def put_bar(env: FrankaEnv, pose) -> None:
    env.robot.scene.place("bar", np.array(pose, float))
    env.robot.scene.refresh()


def run(env, seed: int, steps: int = 200, expert_lasts: int = 200, stop=lambda scene: False) -> tuple:
    """The expert's episode, a fresh expert every so many steps: (steps, terminated, info)."""
    for step in range(steps):
        if step % expert_lasts == 0:
            expert = env.task.expert(np.random.default_rng([seed, step]))
        *_, terminated, _, info = env.step(expert(env.robot_state, env.robot.scene))
        if terminated or stop(env.robot.scene):
            return step + 1, terminated, info
    return steps, False, info


# The scene


def test_neither_arm_can_lay_the_bar_into_the_others_tray():
    """Held by its far end and pointing straight there, it still lies across the rim."""
    task = ObjectHandover()
    for arm, other in (("left", "right"), ("right", "left")):
        limits = task.arms[arm].limits
        reached = np.array([limits.low[1], limits.high[1]]) + BASE_Y[arm]
        near_rim = TRAY_Y[other] - math.copysign(TRAY.half_size[1], TRAY_Y[other])
        gap = np.abs(reached - near_rim).min()
        inside = BAR.length - gap
        assert inside < BAR.length / 2, "its middle stays outside"


def test_an_untouched_bar_stays_where_it_is(env):
    env.reset(seed=0)
    before = env.robot.scene.pose("bar")
    for _ in range(50):
        env.step(np.zeros(14))
    after = env.robot.scene.pose("bar")
    assert np.abs(displacement(before, after)).max() < 2e-5
    assert np.abs(env.robot.scene.data.joint("bar").qvel).max() < 1e-4


def test_the_bar_starts_flat_in_its_tray_within_its_range(env):
    places = []
    for seed in range(30):
        env.reset(seed=seed)
        bar = env.robot.scene.pose("bar")
        places.append(displacement(np.array(IN_OWN_TRAY), bar)[[0, 1, 5]])
        assert bar[2] == LYING
    ranges = (*env.task.bar_range, env.task.bar_heading_range)
    assert (np.abs(places) <= ranges).all() and (np.ptp(places, axis=0) > ranges).all()


def test_the_papers_handover_has_no_randomisation():
    fixed = FrankaEnv("ObjectHandover", obs="state", settings={"bar_range": [0, 0], "bar_heading_range": 0})
    bars = []
    for seed in (0, 1):
        fixed.reset(seed=seed)
        bars.append(fixed.robot.scene.pose("bar"))
    np.testing.assert_array_equal(*bars)


def test_nothing_but_fingers_holds_the_bar(env):
    model = env.robot.scene.model
    joints = {model.equality(i).name for i in range(model.neq)}
    assert joints == {"left/fingers", "right/fingers"}
    run(env, 0, stop=lambda scene: scene.pose("bar")[2] > 0.15)
    env.step(np.array([0, 0, 0, 0, 0, 0, 1.0] * 2))
    for _ in range(8):
        env.step(np.zeros(14))
    assert env.robot.scene.pose("bar")[2] < 0.05


# Success and failure


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (IN_OTHER_TRAY, True),
        ([WORK_X + 0.02, TRAY_Y["right"] + 0.03, LYING, 0, 0, 0, 1], True),
        (IN_OWN_TRAY, False),
        ([WORK_X, TRAY_Y["right"], LYING + 0.03, *ALONG_Y], False),  # falling
        ([WORK_X, TRAY_Y["right"] + TRAY.half_size[1], TRAY.rim_height + 0.012, *ALONG_Y], False),  # on a rim
        ([WORK_X, 0.0, BAR.thickness / 2, *ALONG_Y], False),
    ],
)
def test_success_is_a_bar_that_lies_in_the_other_tray(env, pose, expected):
    env.reset(seed=0)
    put_bar(env, pose)
    assert env.task.succeeded(env.robot.read(), env.robot.scene) is expected
    assert env.task.failed(env.robot.read(), env.robot.scene) is False
    assert env.task.succeeded(env.robot.read(), None) is False


def test_a_sliding_or_turning_bar_is_not_yet_laid_down(env):
    env.reset(seed=0)
    for dof in (0, 5):
        put_bar(env, IN_OTHER_TRAY)
        env.robot.scene.data.joint("bar").qvel[dof] = 0.1
        assert env.task.succeeded(env.robot.read(), env.robot.scene) is False


def test_success_waits_until_the_fingers_have_let_go(env):
    env.reset(seed=2)
    steps, terminated, info = run(env, 2, stop=lambda scene: scene.pose("bar")[1] < -0.25)
    assert not terminated and not info["is_success"]
    held = 0
    expert = env.task.expert(np.random.default_rng(0))
    for _ in range(200 - steps):
        *_, terminated, _, info = env.step(expert(env.robot_state, env.robot.scene))
        fingers = env.robot_state.arms["right"].gripper_pose
        held += fingers < 0.31 and env.robot.scene.pose("bar")[2] < LYING + 0.004
        if terminated:
            break
    assert info["is_success"] and held > 0 and fingers > 0.31


@pytest.mark.parametrize(
    ("pose", "lost"),
    [
        ([0.5, 0.0, -0.7, *ALONG_Y], True),  # on the floor
        ([0.80, 0.2, 0.012, *ALONG_Y], True),
        ([0.5, 0.56, 0.012, *ALONG_Y], True),
        ([0.5, 0.0, 0.012, *ALONG_Y], False),
        ([0.5, 0.50, 0.012, *ALONG_Y], False),  # its inner end can be had
        ([0.62, -0.1, 0.012, *FALLING], False),
        ([0.5, 0.07, 0.40, *ALONG_Y], False),
    ],
)
def test_a_bar_is_lost_where_no_hand_gets_it(env, pose, lost):
    env.reset(seed=0)
    put_bar(env, pose)
    assert env.task.failed(env.robot.read(), env.robot.scene) is lost
    assert env.task.failed(env.robot.read(), None) is False


def test_a_lost_bar_ends_the_episode_without_a_reward(env):
    env.reset(seed=0)
    put_bar(env, [0.9, 0.0, 0.3, *ALONG_Y])
    _, reward, terminated, truncated, info = env.step(np.zeros(14))
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


# The expert


@pytest.mark.parametrize(("seed", "lasts"), [(3, 200), (4, 9)])
def test_the_expert_solves_it_and_a_fresh_one_goes_on_at_any_moment(env, seed, lasts):
    env.reset(seed=seed)
    deepest = 0.0

    def look(scene) -> bool:
        nonlocal deepest
        deepest = max([deepest, *-scene.data.contact.dist])
        return False

    _, terminated, info = run(env, seed, expert_lasts=lasts, stop=look)
    assert terminated and info["is_success"]
    assert 0 < deepest < 3e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_the_expert_takes_over_from_somebody_who_flails(env, seed):
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(40):
        *_, terminated, _, _ = env.step(rng.uniform(-1, 1, 14))
        assert not terminated
    assert run(env, seed)[2]["is_success"]


@pytest.mark.parametrize(
    "pose",
    [
        [0.46, 0.05, BAR.thickness / 2, *rotvec_to_quat(np.array([0, 0, 2.3]))],  # between the trays, left
        [0.52, -0.06, BAR.thickness / 2, *rotvec_to_quat(np.array([0, 0, 1.0]))],  # and right
        [0.51, 0.30, LYING, *FALLING],  # across its tray
    ],
)
def test_the_expert_fetches_a_bar_that_was_dropped(env, pose):
    env.reset(seed=0)
    put_bar(env, pose)
    assert run(env, 0, steps=300)[2]["is_success"]


def test_a_grip_that_leaves_the_other_hand_no_room_is_changed(env):
    """Somebody took the bar by its middle."""
    env.reset(seed=0)
    setup = env.task.arms["left"]
    middle = np.array([WORK_X, 0.25 - BASE_Y["left"], 0.20, *setup.reset_pose[3:]])
    env.robot.scene.teleport({"left": middle}, {"left": 0.5})
    env.robot.scene.grip("bar", "left", np.array([0, 0, 0, 0, 0, 0, 1.0]), BAR.thickness)
    env.step(np.zeros(14))
    assert run(env, 0, steps=300)[2]["is_success"]


def test_in_the_standard_stack_each_gripper_closes_and_opens_once():
    stacked = hilserl_envs.make_env("ObjectHandover", obs="state", device="expert", gripper_penalty=0.02)
    assert stacked.action_space.shape == (14,)
    stacked.reset(seed=5)
    penalties, over = [], False
    while not over:
        *_, terminated, truncated, info = stacked.step(np.zeros(14))
        penalties.append(info["grasp_penalty"])
        assert info["intervened"] and info["intervene_action"].shape == (14,)
        over = terminated or truncated
    assert info["is_success"]
    assert sum(penalties) == pytest.approx(-4 * 0.02)
    stacked.close()


# Reset motions


def test_reset_motions_bring_arms_and_bar_back_from_anywhere():
    env = gymnasium.make("hilserl/ObjectHandover-v0", obs="state", reset_mode="motion").unwrapped
    env.reset(seed=0)
    heights = []
    moments = (
        lambda scene: scene.pose("bar")[2] > 0.03,  # just lifted
        lambda scene: scene.data.ncon and _hands_on_bar(scene) == 2,
        lambda scene: scene.pose("bar")[1] < -0.2,
        lambda scene: False,
    )
    for seed, moment in enumerate(moments):
        run(env, seed, stop=moment)
        heights.append(env.robot.scene.pose("bar")[2])
        env.reset(seed=seed + 10)
        for name, setup in env.task.arms.items():
            arm = env.robot_state.arms[name]
            off = displacement(np.array(setup.reset_pose), arm.tcp_pose)
            assert np.linalg.norm(off[:3]) < 0.01 and np.linalg.norm(off[3:]) < 0.05
            assert arm.gripper_pose > 0.95
        tray = env.robot.scene.pose("left/tray")
        half = np.array([BAR.length / 2, 0, 0, 0, 0, 0, 1.0])
        for end in (half, half * [-1, 1, 1, 1, 1, 1, 1]):
            assert TRAY.surrounds(compose(env.robot.scene.pose("bar"), end)[:3] - tray[:3])
    assert heights[1] > 0.2 > heights[3]
    env.close()


def _hands_on_bar(scene) -> int:
    geom, model = scene.model.geom("bar_gripped").id, scene.model
    touching = scene.data.contact.geom[(scene.data.contact.geom == geom).any(axis=1)]
    return len({model.body(model.geom_bodyid[g]).name.partition("/")[0] for g in touching.flat} - {"bar"})


def test_a_tray_surrounds_what_is_between_its_rims():
    x, y = TRAY.half_size
    for point, inside in (
        ((0, 0, TRAY.floor), True),
        ((x, -y, TRAY.rim_height), True),
        ((x + 1e-6, 0, TRAY.floor), False),
        ((0, -y - 1e-6, TRAY.floor), False),
        ((0, 0, TRAY.rim_height + 1e-6), False),
        ((0, 0, -0.001), False),
    ):
        assert TRAY.surrounds(np.array(point, float)) is inside
