"""`FrankaEnv`: one contract for every id, nothing commanded outside the box, in either world."""

import copy
import dataclasses
import itertools
import math
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hilserl_envs.errors import ActionError, ConfigError, RobotError
from hilserl_envs.franka_env import FrankaEnv
from hilserl_envs.impedance import Compliance
from hilserl_envs.poses import displace, displacement
from hilserl_envs.robot import ANY_STRIDE, FakeRobot, key_prefix
from hilserl_envs.safety import WorkspaceBox
from hilserl_envs.tasks import TASKS, make_task
from hilserl_envs.twin.robot import TwinRobot
from tests.generic_env import TwoArms

OBSERVATIONS = ("pixels", "state", "both")
FAST_JOINT = 2.61  # [rad/s]: the arm's published limit of its quicker joints


def leaves(observation: dict, path: str = "") -> dict[str, np.ndarray]:
    """The arrays of a nested observation by path."""
    found = {}
    for key, value in observation.items():
        found |= leaves(value, f"{path}/{key}") if isinstance(value, dict) else {f"{path}/{key}": value}
    return found


def assert_same_observation(a: dict, b: dict) -> None:
    a, b = leaves(a), leaves(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def box_of(env: FrankaEnv, arm: str = "arm") -> WorkspaceBox:
    setup = env.task.arms[arm]
    return WorkspaceBox(setup.limits, np.array(setup.reset_pose[3:]))


# Every id, every observation


@pytest.fixture(scope="module", params=[f"{name} {obs}" for name in TASKS for obs in OBSERVATIONS])
def made(request):
    name, obs = request.param.split()
    env = gymnasium.make(name, obs=obs)
    yield env
    env.close()


def test_passes_gymnasiums_checker(made):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Poses and forces have no bounds to tell, and that is what the checker warns of.
        warnings.filterwarnings("ignore", message=".*Box observation space m.* value is -?infinity.*")
        warnings.filterwarnings("ignore", message=".*not set.*render.*|.*render_mode.*")
        check_env(made.unwrapped, skip_render_check=True)


def test_observations_are_of_their_space_and_of_no_other_dtype(made):
    steps = [made.reset(seed=1)[0], *(made.step(made.action_space.sample())[0] for _ in range(3))]
    for observation in steps:
        assert made.observation_space.contains(observation)
        spaces = leaves({key: dict(space) for key, space in made.observation_space.items()})
        for path, array in leaves(observation).items():
            assert array.dtype == spaces[path].dtype == (np.uint8 if "images" in path else np.float32), path
            assert array.shape == spaces[path].shape, path
            if "images" in path:
                assert array.shape == (128, 128, 3) and array.any()


def test_the_observation_holds_what_was_asked_for(made):
    observation, _ = made.reset(seed=1)
    task, obs = made.unwrapped.task, made.spec.kwargs["obs"]
    prefixes = [key_prefix(arm, task.arms) for arm in task.arms]
    measured = [f"{prefix}{key}" for prefix in prefixes for key in task.state_keys]
    poses = [f"{prefix}{name}_pose" for prefix in prefixes for name in task.objects]
    privileged = [*poses, *task.measures]
    assert list(observation["state"]) == [*measured, *(privileged if obs != "pixels" else [])]
    assert list(observation.get("images", {})) == (list(task.cameras) if obs != "state" else [])


def test_every_step_has_arrays_of_its_own(made):
    first, _ = made.reset(seed=2)
    kept = {path: array.copy() for path, array in leaves(first).items()}
    later = [made.step(made.action_space.sample())[0] for _ in range(2)]
    for path, array in leaves(first).items():
        np.testing.assert_array_equal(array, kept[path], err_msg=path)
        for other in later:
            assert not np.shares_memory(array, leaves(other)[path]), path
    for array in leaves(later[0]).values():
        array[...] = 0  # a wrapper that writes into what it got
    untouched, *_ = made.step(np.zeros(made.action_space.shape))
    assert all(array.any() for path, array in leaves(untouched).items() if path.endswith("tcp_pose"))


def run_episode(env: gymnasium.Env, seed: int, steps: int = 8) -> list:
    rng = np.random.default_rng(seed)
    log = [env.reset(seed=seed)]
    for _ in range(steps):
        log.append(env.step(rng.uniform(-1, 1, env.action_space.shape)))
    return log


def test_a_seed_is_an_episode_to_the_bit(made):
    """In a second environment, and again in the first whatever it did before."""
    first = run_episode(made, 11)
    run_episode(made, 12)
    other = gymnasium.make(made.spec)
    for again in (run_episode(made, 11), run_episode(other, 11)):
        for (observation, *rest), (expected, *expected_rest) in zip(again, first, strict=True):
            assert_same_observation(observation, expected)
            assert rest == expected_rest
    other.close()


def test_other_seeds_and_unseeded_resets_differ(made):
    seen = [leaves(made.reset(seed=seed)[0]).values() for seed in (3, 4, None, None)]
    assert len({b"".join(array.tobytes() for array in arrays) for arrays in seen}) == 4


def test_the_time_limit_truncates_and_terminates_only_where_the_end_is_judged(made):
    made.reset(seed=5)
    task, hold = made.unwrapped.task, np.zeros(made.action_space.shape)
    for step in range(1, task.horizon + 1):
        *_, terminated, truncated, info = made.step(hold)
        last = step == task.horizon
        assert terminated == (last and task.judged_at_end) and not info["is_success"]
        assert truncated == last
    assert made.spec.max_episode_steps == task.horizon


def test_info_tells_success_from_the_start(made):
    _, info = made.reset(seed=6)
    assert info["is_success"] is info["succeed"] is False
    _, reward, *_, info = made.step(np.zeros(made.action_space.shape))
    assert info["is_success"] is info["succeed"] is False and reward == 0.0


def test_the_spec_survives_json(made):
    spec = EnvSpec.from_json(made.spec.to_json())
    env = gymnasium.make(spec)
    assert env.unwrapped.task == made.unwrapped.task
    assert env.observation_space == made.observation_space and env.action_space == made.action_space
    assert_same_observation(env.reset(seed=7)[0], made.reset(seed=7)[0])
    env.close()


def test_closing_twice_is_safe(made):
    env = gymnasium.make(made.spec)
    env.reset(seed=0)
    env.close()
    env.close()


@pytest.mark.parametrize("name", TASKS)
def test_pictures_for_people(name):
    env = gymnasium.make(name, obs="state", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8 and len(np.unique(picture)) > 50
    env.close()


# Success and failure


def test_success_terminates_with_a_reward():
    env = gymnasium.make("hilserl/PickCube-v0", obs="state")
    env.reset(seed=0)
    scene = env.unwrapped.robot.scene
    scene.place("cube", np.array([0.5, 0.3, 0.5, 0, 0, 0, 1]))
    scene.refresh()
    _, reward, terminated, truncated, info = env.step(np.zeros(7))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["is_success"] is info["succeed"] is True
    assert env.reset()[1]["is_success"] is False


def test_failure_terminates_without():
    env = gymnasium.make("hilserl/RamInsertion-v0", obs="state")
    env.reset(seed=0)
    scene = env.unwrapped.robot.scene
    scene.place("module", np.array([0.5, 0.3, 0.5, 0, 0, 0, 1]))
    scene.refresh()
    _, reward, terminated, truncated, info = env.step(np.zeros(6))
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


# Actions, on a robot without physics


def fake_env(task=None, **options) -> FrankaEnv:
    task = make_task(task or "PickCube", options.pop("settings", None))
    cameras = {name: (8, 8) for name in task.cameras}
    return FrankaEnv(task, robot=FakeRobot(tuple(task.arms), cameras), image_size=8, **options)


@pytest.fixture(scope="module")
def fake():
    return fake_env()


def pose_after(env: FrankaEnv, action, arm: str = "arm") -> np.ndarray:
    env.step(np.array(action, float))
    return env.robot.read().arms[arm].tcp_pose


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("share", [-1.0, 0.5])
def test_an_action_moves_one_axis_by_the_tasks_scale(fake, axis, share):
    fake.reset(seed=0)
    before = fake.robot_state.arms["arm"].tcp_pose
    setup, action = fake.task.arms["arm"], np.zeros(7)
    action[axis] = share
    expected = np.zeros(6)
    expected[axis] = share * (setup.translation_scale if axis < 3 else setup.rotation_scale)
    np.testing.assert_allclose(displacement(before, pose_after(fake, action)), expected, atol=1e-12)


@given(hnp.arrays(np.float64, 6, elements=st.floats(-1, 1)))
def test_long_actions_are_shortened_without_a_turn(fake, action):
    fake.reset(seed=0)
    before, setup = fake.robot_state.arms["arm"].tcp_pose, fake.task.arms["arm"]
    moved = displacement(before, pose_after(fake, [*action, 0]))
    for part, scale in ((slice(0, 3), setup.translation_scale), (slice(3, 6), setup.rotation_scale)):
        length = max(1.0, np.linalg.norm(action[part]))
        np.testing.assert_allclose(moved[part], scale * action[part] / length, atol=1e-9)


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        (-1, 1, 0),
        (-0.51, 1, 0),
        (-0.5, 1, 1),
        (0, 1, 1),
        (0, 0, 0),
        (0.5, 0, 0),
        (0.51, 0, 1),
        (1, 0, 1),
        (1e9, 0, 1),
    ],
)
def test_the_gripper_closes_stays_and_opens(fake, command, before, after):
    fake.reset(seed=0)
    fake.step(np.array([0, 0, 0, 0, 0, 0, 2 * before - 1.0]))
    observation, *_ = fake.step(np.array([0, 0, 0, 0, 0, 0, float(command)]))
    assert observation["state"]["gripper_pose"] == after


def test_a_step_takes_a_tenth_of_a_second(fake):
    fake.reset(seed=0)
    began = fake.robot.time
    fake.step(np.zeros(7))
    assert fake.robot.time - began == pytest.approx(0.1)


# Safety

numbers = st.floats(-1, 1) | st.sampled_from([-1.0, 1.0]) | st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=300)
@given(hnp.arrays(np.float64, 7, elements=numbers), st.integers(1, 60))
def test_whatever_the_action_no_pose_outside_the_box_is_commanded(fake, action, repeats):
    """Finite actions end in the box, however often repeated; others command nothing at all."""
    fake.reset(seed=0)
    box, commands, began = box_of(fake), fake.robot.commands, fake.robot.time
    commands.clear()
    if np.isfinite(action).all():
        for _ in range(repeats):
            fake.step(action)
        assert len(commands) == repeats
        assert all(box.contains(command["arm"].pose) for command in commands)
        assert all(np.linalg.norm(command["arm"].pose[3:]) == pytest.approx(1) for command in commands)
    else:
        with pytest.raises(ActionError, match="an action must be finite, got"):
            fake.step(action)
        assert not commands and fake.robot.time == began


@pytest.mark.parametrize(
    "corner", [(1, 1, 1, 0, 0, 0), (-1, -1, -1, 1, 1, 1), (0, 0, -1, 0, 0, 1), (0, 0, 0, -1, 0, 0)]
)
def test_pushing_into_a_corner_ends_there(fake, corner):
    fake.reset(seed=0)
    for _ in range(100):
        fake.step(np.array([*corner, 0.0]))
    limits, box = fake.task.arms["arm"].limits, box_of(fake)
    pose = fake.robot.read().arms["arm"].tcp_pose
    for axis, sign in enumerate(corner[:3]):
        if sign:
            assert pose[axis] == pytest.approx(limits.high[axis] if sign > 0 else limits.low[axis])
    for axis, sign in enumerate(corner[3:]):
        if sign and sum(map(abs, corner[3:])) == 1:
            assert box.turn(pose)[axis] == pytest.approx(sign * limits.rotation[axis])


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (np.zeros(6), r"an action must have shape \(7,\), got shape \(6,\)"),
        (np.zeros(8), r"got shape \(8,\)"),
        (np.zeros((1, 7)), r"got shape \(1, 7\)"),
        (0.0, r"got shape \(\)"),
        (None, r"got shape \(\)"),
        ("forward", "an action must be numbers"),
        ([0, 0, 0, "up", 0, 0, 0], "an action must be numbers"),
        ({"arm": [0] * 7}, "an action must be numbers"),
    ],
)
def test_a_wrong_action_is_refused_and_the_arm_holds(fake, action, says):
    fake.reset(seed=0)
    fake.robot.commands.clear()
    with pytest.raises(ActionError, match=says):
        fake.step(action)
    assert not fake.robot.commands


class Recorder(TwinRobot):
    """The twin, keeping what it was commanded and how fast its joints went."""

    def __init__(self, task):
        super().__init__(task)
        self.commanded: list[tuple[str, np.ndarray]] = []
        self.joint_resets: list[dict] = []
        self.fastest = 0.0

    def command(self, commands):
        self.commanded += [(name, c.pose) for name, c in commands.items() if c.pose is not None]
        super().command(commands)

    def reset_joints(self, q):
        self.joint_resets.append(dict(q))
        super().reset_joints(q)

    def wait(self, seconds):
        for _ in range(round(seconds / 0.01)):
            super().wait(0.01)
            self.fastest = max(self.fastest, *(np.abs(arm.dq).max() for arm in self.read().arms.values()))

    def forget(self):
        self.commanded.clear(), self.joint_resets.clear()
        self.fastest = 0.0


def recorded_env(task, **options) -> FrankaEnv:
    task = make_task(task)
    return FrankaEnv(task, robot=Recorder(task), obs="state", **options)


@pytest.fixture(scope="module", params=["PickCube", "RamInsertion", pytest.param("two arms")])
def moving(request):
    """A twin that moves to its reset poses as the real robot does."""
    return recorded_env(TwoArms() if request.param == "two arms" else request.param, reset_mode="motion")


def assert_all_in_box(env: FrankaEnv) -> None:
    assert env.robot.commanded
    for name, pose in env.robot.commanded:
        assert box_of(env, name).contains(pose)


def assert_at_reset_pose(env: FrankaEnv) -> None:
    """Within the randomisation, and what counts as arrived."""
    for name, setup in env.task.arms.items():
        off = displacement(np.array(setup.reset_pose), env.robot_state.arms[name].tcp_pose)
        assert (np.abs(off[:3]) <= np.array(setup.position_range) + 0.01).all()
        assert (np.abs(off[3:]) <= np.array(setup.rotation_range) + 0.05).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_reset_motions_obey_the_box(moving, seed):
    moving.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(15):
        moving.step(rng.choice([-1.0, 0.0, 1.0], moving.action_space.shape))
    moving.robot.forget()
    moving.reset()
    assert_all_in_box(moving)
    assert_at_reset_pose(moving)
    assert moving.robot.fastest < FAST_JOINT / 2


def test_a_reset_motion_starts_at_the_arm_and_turns_the_shortest_way(moving):
    moving.reset(seed=3)
    for _ in range(5):
        moving.step(np.full(moving.action_space.shape, 0.7))
    before = {name: arm.tcp_pose for name, arm in moving.robot_state.arms.items()}
    moving.robot.forget()
    moving.reset()
    paths = {name: [p for n, p in moving.robot.commanded if n == name] for name in before}
    for name, path in paths.items():
        steps = [displacement(a, b) for a, b in zip([before[name], *path], path, strict=False)]
        assert max(np.linalg.norm(step[:3]) for step in steps) <= 0.0101
        assert max(np.linalg.norm(step[3:]) for step in steps) <= 0.0501


def test_a_reset_motion_from_outside_comes_back_through_the_box():
    env = recorded_env("PickCube", reset_mode="motion")
    env.reset(seed=0)
    outside = np.array([0.3, 0.3, 0.45, *env.task.arms["arm"].reset_pose[3:]])
    assert not box_of(env).contains(outside)
    env.robot.scene.teleport({"arm": outside}, {"arm": 1.0})
    env.robot.forget()
    env.reset()
    assert_all_in_box(env)
    assert_at_reset_pose(env)


@settings(max_examples=50)
@given(
    hnp.arrays(float, 3, elements=st.floats(-0.6, 0.6)),
    hnp.arrays(float, 3, elements=st.floats(-1.5, 1.5)),
    st.sampled_from([(0.1, 0.5), (0.02, 0.1)]),
)
def test_from_anywhere_a_reset_walks_back_in_strides_that_the_robot_takes(fake, shift, turn, stride):
    reset_pose, box = np.array(fake.task.arms["arm"].reset_pose), box_of(fake)
    robot, start = fake.robot, displace(reset_pose, shift, turn)
    robot.states["arm"] = dataclasses.replace(robot.states["arm"], tcp_pose=start)
    robot.commands.clear()
    robot.max_stride = stride
    try:
        fake.reset(seed=0)
    finally:
        robot.max_stride = ANY_STRIDE
    poses = [start] + [c["arm"].pose for c in robot.commands if c and c["arm"].pose is not None]
    for before, after in itertools.pairwise(poses):
        step = displacement(before, after)
        assert np.linalg.norm(step[:3]) <= stride[0] and np.linalg.norm(step[3:]) <= stride[1]
        outside = [np.linalg.norm(displacement(pose, box.clip(pose))) for pose in (before, after)]
        assert outside[1] <= max(0.0, outside[0] - 0.005) + 1e-9  # nearer at each step, then inside
    assert_at_reset_pose(fake)


@pytest.mark.parametrize("reset_mode", ["teleport", "motion"])
@pytest.mark.parametrize("task", ["PickCube", "RamInsertion"])
def test_joint_reset_goes_through_the_posture_and_then_obeys_the_box(task, reset_mode):
    env = recorded_env(task, reset_mode=reset_mode)
    env.reset(seed=0)
    env.robot.forget()
    observation, info = env.reset(seed=1, options={"joint_reset": True})
    [goals] = env.robot.joint_resets
    np.testing.assert_array_equal(goals["arm"], env.task.reset_q("arm"))
    assert_all_in_box(env)
    assert_at_reset_pose(env)
    assert env.observation_space.contains(observation) and not info["is_success"]
    env.robot.forget()
    env.reset(seed=1, options={"joint_reset": False})
    env.reset(seed=1, options={})
    assert not env.robot.joint_resets


def test_no_joint_is_too_fast_after_a_joint_reset():
    env = recorded_env("RamInsertion")
    env.reset(seed=0, options={"joint_reset": True})
    assert env.robot.fastest < FAST_JOINT


def test_teleporting_commands_nothing():
    env = recorded_env("PickCube")
    env.robot.forget()
    env.reset(seed=0)
    assert not env.robot.commanded and env.robot.read().time == 0
    assert_at_reset_pose(env)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.booleans())
def test_resets_of_a_robot_without_scene_obey_the_box(fake, seed, joint_reset):
    fake.robot.commands.clear()
    fake.reset(seed=seed, options={"joint_reset": joint_reset})
    box = box_of(fake)
    poses = [
        command["arm"].pose for command in fake.robot.commands if command and command["arm"].pose is not None
    ]
    assert poses and all(box.contains(pose) for pose in poses)
    assert_at_reset_pose(fake)
    if joint_reset:
        np.testing.assert_array_equal(fake.robot_state.arms["arm"].q, fake.task.reset_q("arm"))


def test_the_compliance_of_the_task_is_set_after_the_one_for_resets(fake):
    used = []
    configure = fake.robot.configure
    fake.robot.configure = lambda compliance: (used.append(compliance["arm"]), configure(compliance))
    try:
        fake.reset(seed=0)
    finally:
        del fake.robot.configure
    setup = fake.task.arms["arm"]
    assert used == [setup.reset_compliance, setup.compliance]


def test_no_step_is_taken_where_it_is_not_known_where_the_arm_is():
    class Faulty(FakeRobot):
        fault = None

        def wait(self, seconds):
            if self.fault is not None:
                raise self.fault
            super().wait(seconds)

    robot = Faulty(cameras={"front": (8, 8), "wrist_1": (8, 8)})
    env = FrankaEnv("PickCube", robot=robot, image_size=8)
    still = np.zeros(env.action_space.shape)
    for fail in (lambda: env.reset(seed=0), lambda: env.step(still)):
        robot.fault = RobotError("a cable came off")
        with pytest.raises(RobotError, match="cable"):
            fail()
        robot.fault = None
        commands = len(robot.commands)
        with pytest.raises(RobotError, match="no episode is under way.*reset first"):
            env.step(still)
        assert len(robot.commands) == commands
        env.reset(seed=0)
        env.step(still)


def test_an_arm_that_does_not_arrive_is_told():
    class Stuck(FakeRobot):
        def command(self, commands):
            pass

    env = FrankaEnv("PickCube", robot=Stuck(cameras={"front": (8, 8), "wrist_1": (8, 8)}), image_size=8)
    with pytest.raises(
        RobotError, match=r"arm 'arm' stopped \d+ mm and .* rad from its reset pose; see what blocks it"
    ):
        env.reset(seed=0)


def test_a_reset_cures_a_diverged_simulation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log file where it runs
    env = FrankaEnv("PickCube", obs="state")
    healthy = run_episode(env, 4, 3)
    env.robot.scene.data.qvel[:] = np.nan
    with pytest.raises(RobotError, match="diverged.*reset the environment"):
        env.step(np.zeros(7))
    for (observation, *_), (expected, *_) in zip(run_episode(env, 4, 3), healthy, strict=True):
        assert_same_observation(observation, expected)


def test_a_reset_cures_a_diverged_simulation_that_moves_to_its_resets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = FrankaEnv("PickCube", obs="state", reset_mode="motion")
    env.reset(seed=0)
    env.robot.scene.data.qvel[:] = np.nan
    with pytest.raises(RobotError, match="diverged"):
        env.step(np.zeros(7))
    env.reset()
    env.step(np.zeros(7))


# Settings


def test_nested_settings_change_what_they_name():
    changes = {
        "state_keys": ["tcp_pose", "q"],
        "cameras": {"front": {"fovy": 30.0}},
        "arms": {
            "arm": {
                "translation_scale": 0.005,
                "gripper": False,
                "position_range": [0, 0, 0],
                "rotation_range": [0, 0, 0],
                "limits": {"high": [0.66, 0.18, 0.181]},
                "compliance": {"rotational_stiffness": 200},
            }
        },
    }
    env = fake_env(settings=changes)
    observation, _ = env.reset(seed=0)
    setup = env.task.arms["arm"]
    assert list(observation["state"]) == ["tcp_pose", "q"] and env.action_space.shape == (6,)
    assert env.robot.compliance["arm"] == Compliance(
        **{f"translational_clip_{s}{a}": 0.02 for s in ("", "neg_") for a in "xyz"}, rotational_stiffness=200
    )
    before = env.robot_state.arms["arm"].tcp_pose
    np.testing.assert_allclose(displacement(np.array(setup.reset_pose), before), 0, atol=1e-12)
    after = pose_after(env, [1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(after[:3] - before[:3], [0.005, 0, 0], atol=1e-12)
    assert pose_after(env, [0, 0, 1, 0, 0, 0])[2] == pytest.approx(0.181)
    assert env.task.cameras["front"].fovy == 30 and make_task("PickCube").cameras["front"].fovy != 30


def test_settings_go_through_gymnasium_and_json():
    settings = {"arms": {"arm": {"rotation_scale": 0.01}}, "cube_range": 0.01}
    env = gymnasium.make("hilserl/PickCube-v0", obs="state", settings=settings)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    for made in (env, again):
        assert made.unwrapped.task.arms["arm"].rotation_scale == 0.01
        made.reset(seed=0)
        assert np.abs(made.unwrapped.robot.scene.pose("cube")[:2] - [0.5, 0]).max() <= 0.01


def test_the_time_limit_is_gymnasiums():
    with pytest.raises(ConfigError, match="max_episode_steps"):
        gymnasium.make("hilserl/PickCube-v0", obs="state", settings={"horizon": 3})
    env = gymnasium.make("hilserl/PickCube-v0", obs="state", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(np.zeros(7))[3] for _ in range(3)] == [False, False, True]


def test_a_timestep_reaches_the_physics():
    env = gymnasium.make("hilserl/PickCube-v0", obs="state", timestep=0.002)
    assert env.unwrapped.robot.scene.model.opt.timestep == 0.002
    env.reset(seed=0)
    env.step(np.zeros(7))


def test_image_size_is_that_of_the_images():
    env = fake_env()
    images = env.reset(seed=0)[0]["images"]
    assert set(images) == {"front", "wrist_1"} and all(image.shape == (8, 8, 3) for image in images.values())


def test_camera_images_of_another_size_are_fitted():
    robot = FakeRobot(cameras={"front": (48, 64), "wrist_1": (8, 8), "spare": (4, 4)})
    env = FrankaEnv("PickCube", robot=robot, image_size=16)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"obs": "pixel"}, "unknown obs 'pixel': did you mean 'pixels'"),
        ({"obs": None}, "unknown obs None.*known: pixels, state, both"),
        ({"reset_mode": "teleprot"}, "unknown reset_mode 'teleprot': did you mean 'teleport'"),
        ({"render_mode": "rgb"}, "unknown render_mode 'rgb'.*rgb_array"),
        ({"image_size": 0}, "image_size must be a whole number of pixels above 0, got 0"),
        ({"image_size": (64, 64)}, "image_size must be a whole number"),
        ({"image_size": 12.5}, "image_size must be a whole number"),
        ({"task": "PickCub"}, "unknown task 'PickCub': did you mean 'hilserl/PickCube-v0'"),
        ({"task": "no_such_module:Task"}, "cannot load the task 'no_such_module:Task'"),
        ({"robot": "twn"}, "robot must be 'twin' or .*got 'twn'"),
        ({"robot": None}, "robot must be"),
        ({"robot": object()}, "robot must be 'twin' or an object with the Robot protocol"),
        ({"timestep": 0.0007}, "timestep of 0.0007 s does not fit"),
        ({"settings": {"cube_rang": 1}}, "unknown PickCube setting 'cube_rang': did you mean 'cube_range'"),
        (
            {"settings": {"arms": {"arm": {"limit": {}}}}},
            "unknown ArmSetup setting 'limit': did you mean 'limits'",
        ),
        ({"settings": {"arms": {"left": {}}}}, "unknown entry 'left'.*known: arm"),
        ({"settings": {"arms": {"arm": {"limits": {"low": [0, 0]}}}}}, r"Limits.low must have shape \(3,\)"),
        ({"settings": {"arms": {"arm": {"compliance": {"translational_stiffness": 1e4}}}}}, "outside"),
        ({"settings": {"objects": ["cubee"]}}, "unknown body or site 'cubee': did you mean 'cube'"),
        ({"settings": {"arm_model": "ur5"}}, "unknown PickCube.arm_model 'ur5': known: panda, fr3"),
        pytest.param({"settings": [1]}, None),
        pytest.param({"settings": {"horizon": "a"}}, None),
        pytest.param({"settings": {"horizon": 1.5}}, None),
        pytest.param({"settings": {"arms": {"arm": {"translation_scale": "a"}}}}, None),
        pytest.param({"settings": {"arms": {"arm": {"translation_scale": math.inf}}}}, None),
        pytest.param({"settings": {"arms": {"arm": {"gripper_at_reset": "a"}}}}, None),
        pytest.param({"settings": {"arms": {"arm": {"compliance": 5}}}}, None),
        pytest.param({"settings": {"arms": {"arm": {"limits": 5}}}}, None),
        pytest.param({"settings": {"arms": {"arm": {"reset_pose": [2, 0, 0, 1, 0, 0, 0]}}}}, None),
        pytest.param({"settings": {"arms": {"arm": 5}}}, None),
        pytest.param({"settings": {"cameras": {"front": {"position": [1, 0]}}}}, None),
        pytest.param({"settings": {"reset_lift": math.nan}}, None),
        pytest.param({"task": 123}, None),
        pytest.param({"task": "os:path"}, None),
        pytest.param({"timestep": 0.0}, None),
        pytest.param({"timestep": "fast"}, None),
        pytest.param({"timestep": 0.003}, None),  # no whole number in a control step
    ],
)
def test_a_wrong_argument_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        FrankaEnv(**{"task": "PickCube", "obs": "state", **options}).reset(seed=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"obs": "state"}, "obs='state' holds object poses that only the twin knows"),
        ({"obs": "both"}, "use obs='pixels'"),
        ({"render_mode": "human"}, "render_mode='human' shows the twin"),
        ({"timestep": 0.001}, "timestep is the twin's"),
        ({"robot": FakeRobot()}, r"the robot lacks cameras \['front', 'wrist_1'\]; it has \[\]"),
        ({"robot": FakeRobot(("left", "right"))}, r"needs arms \['arm'\], the robot has \['left', 'right'\]"),
    ],
)
def test_what_a_robot_without_scene_cannot_give_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        FrankaEnv(
            **{
                "task": "PickCube",
                "robot": FakeRobot(cameras={"front": (8, 8), "wrist_1": (8, 8)}),
                **options,
            }
        )


def test_an_unknown_reset_option_is_refused(fake):
    with pytest.raises(ConfigError, match="unknown reset option 'joint_rest': did you mean 'joint_reset'"):
        fake.reset(options={"joint_rest": True})


def test_pictures_of_a_robot_without_scene_are_what_its_cameras_see():
    env = fake_env(render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (8, 16, 3)


# Two arms


@pytest.fixture(params=[pytest.param("twin"), "fake"])
def pair(request):
    env = fake_env(TwoArms()) if request.param == "fake" else FrankaEnv(TwoArms(), obs="both")
    yield env
    env.close()


def test_two_arms_have_one_arms_keys_twice(pair):
    observation, _ = pair.reset(seed=0)
    assert pair.observation_space.contains(observation)
    expected = [f"{arm}/{key}" for arm in ("left", "right") for key in pair.task.state_keys]
    if pair.obs_mode != "pixels":
        expected += ["left/block_pose", "right/block_pose"]
    assert list(observation["state"]) == expected
    assert pair.action_space.shape == (13,), "6 each, and the left one's gripper"


@pytest.mark.parametrize("arm", ["left", "right"])
def test_two_arms_move_each_in_its_own_base_frame(pair, arm):
    pair.reset(seed=1)
    before, start = pair.robot_state.arms, 0 if arm == "left" else 7
    action = np.zeros(13)
    action[start : start + 3] = [0.6, 0.8, 0.0]
    for _ in range(10):
        pair.step(action)
    after = pair.robot_state.arms
    moved = {name: after[name].tcp_pose[:3] - before[name].tcp_pose[:3] for name in after}
    direction = moved[arm] / np.linalg.norm(moved[arm])
    assert np.linalg.norm(moved[arm]) > 0.02
    np.testing.assert_allclose(direction, [0.6, 0.8, 0], atol=0.1)
    other = "right" if arm == "left" else "left"
    np.testing.assert_allclose(moved[other], 0, atol=1e-3)


def test_two_arms_mirrored_actions_mirror_in_the_world():
    env = FrankaEnv(
        TwoArms(),
        obs="state",
        settings={"arms": {n: {"position_range": [0, 0, 0]} for n in ("left", "right")}},
    )
    env.reset(seed=0)
    scene = env.robot.scene
    for _ in range(10):
        env.step(np.array([0.5, 0.5, -0.3, 0, 0, 0.2, 0, 0.5, 0.5, -0.3, 0, 0, 0.2]))
    left, right = scene.pose("left/tcp"), scene.pose("right/tcp")
    np.testing.assert_allclose([1 - left[0], -left[1], left[2]], right[:3], atol=1e-6)


def test_the_gripper_of_one_arm_is_that_arms_alone(pair):
    pair.reset(seed=0)
    action = np.zeros(13)
    action[6] = -1
    for _ in range(10):
        pair.step(action)
    arms = pair.robot_state.arms
    assert arms["left"].gripper_pose == pytest.approx(0, abs=1e-3)
    assert arms["right"].gripper_pose == pytest.approx(1, abs=1e-3)


@settings(max_examples=50)
@given(hnp.arrays(np.float64, 13, elements=numbers))
def test_no_arm_of_two_is_commanded_outside_its_box(action):
    env = fake_env(TwoArms())
    env.reset(seed=0)
    env.robot.commands.clear()
    if np.isfinite(action).all():
        for _ in range(20):
            env.step(action)
        for commands in env.robot.commands:
            assert set(commands) == {"left", "right"}
            assert all(box_of(env, name).contains(command.pose) for name, command in commands.items())
    else:
        with pytest.raises(ActionError):
            env.step(action)
        assert not env.robot.commands, "neither arm moves on half a command"


def test_displacements_start_at_the_measured_pose_not_at_the_last_target():
    """A blocked arm does not wind its target up: the push stays one action long."""
    env = FrankaEnv(
        "PickCube", obs="state", settings={"arms": {"arm": {"limits": {"low": [0.34, -0.18, -0.5]}}}}
    )
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.array([0, 0, -1, 0, 0, 0, -1.0]))
    target, pose = (
        env.robot.scene.physics.arms[0].memory.target_position,
        env.robot_state.arms["arm"].tcp_pose,
    )
    assert pose[2] > 0, "the table is in the way"
    assert pose[2] - target[2] == pytest.approx(env.task.arms["arm"].translation_scale, abs=1e-3)


def test_a_twin_is_not_copied_by_accident():
    env = gymnasium.make("hilserl/PickCube-v0", obs="state")
    env.reset(seed=0)
    for copier in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RobotError, match="cannot be copied or pickled"):
            copier(env.unwrapped.robot)


def test_a_closed_environment_says_so():
    env = FrankaEnv("PickCube", obs="state", render_mode="rgb_array")
    env.reset(seed=0)
    env.close()
    for call in (env.reset, lambda: env.step(np.zeros(7)), env.render):
        with pytest.raises(RobotError, match="closed"):
            call()


def test_divergence_in_a_reset_motion_is_got_over():
    env = FrankaEnv("PickCube", obs="state", reset_mode="motion")
    env.reset(seed=0)
    env.robot.scene.data.qvel[:] = 1e9
    with pytest.raises(RobotError, match="diverged"):
        env.reset(seed=1)
    observation, _ = env.reset(seed=1)
    assert np.isfinite(observation["state"]["tcp_pose"]).all()


def test_only_true_resets_the_joints():
    env = FrankaEnv("PickCube", obs="state")
    with pytest.raises(ConfigError, match="True or False"):
        env.reset(options={"joint_reset": "no"})


def test_a_module_is_in_the_hand_before_a_joint_reset_moves_it(monkeypatch):
    env = FrankaEnv("RamInsertion", obs="state")
    grips = []
    reset_joints = env.robot.reset_joints

    def watched(q):
        grips.append(env.robot.scene.pose_in_tcp("module", "arm"))
        reset_joints(q)

    monkeypatch.setattr(env.robot, "reset_joints", watched)
    env.reset(seed=0, options={"joint_reset": True})
    after = env.robot.scene.pose_in_tcp("module", "arm")
    assert np.linalg.norm(grips[0][:3]) < 0.02
    np.testing.assert_allclose(after, grips[0], atol=1e-3)
