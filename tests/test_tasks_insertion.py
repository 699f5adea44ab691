"""What all insertions have in common: what seated means, how parts are held, that force has to be felt."""

import gymnasium
import numpy as np
import pytest

from hilserl_envs.poses import compose, displacement, invert
from hilserl_envs.tasks import make_task
from hilserl_envs.tasks.insertion import HeldInsertion
from hilserl_envs.tasks.insertion_expert import axes_of
from hilserl_envs.twin.robot import TwinRobot
from tests.benchmarks.contact import straight

TASKS = ("RamInsertion", "SsdAssembly", "UsbPickupInsertion")
HELD = ("RamInsertion", "SsdAssembly")


@pytest.fixture(scope="module", params=TASKS)
def twin(request):
    robot = TwinRobot(make_task(request.param))
    yield make_task(request.param), robot
    robot.close()


def seated_pose(scene, part: str, socket: str) -> np.ndarray:
    """Of the part whose edge is in the middle of the socket's floor."""
    edge = scene.pose(f"{part}_edge_left")[:3] / 2 + scene.pose(f"{part}_edge_right")[:3] / 2
    middle = compose(invert(scene.pose(part)), np.array([*edge, 0, 0, 0, 1.0]))
    return compose(scene.pose(f"{socket}_seat"), np.array([*-middle[:3], 0, 0, 0, 1]))


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0, 0, 0), True),
        ((0, 0, 0.002), False),
        ((0, 0.003, 0), False),
        ((0.002, 0, 0), False),
    ],
)
def test_a_part_in_its_socket_is_seated_and_one_beside_it_is_not(twin, offset, expected):
    task, robot = twin
    scene = robot.scene
    scene.reset()
    part, socket = task.objects
    scene.place(part, compose(seated_pose(scene, part, socket), np.array([*offset, 0, 0, 0, 1.0])))
    scene.refresh()
    assert task.succeeded(robot.read(), scene) is expected
    assert (task.gap(scene) < task.seated_gap) is expected


def test_the_target_is_where_the_arm_is_when_the_part_is_seated(twin):
    """The poses that a real robot's owner measures agree with the twin's socket."""
    task, robot = twin
    robot.scene.reset()
    seated = seated_pose(robot.scene, *task.objects)
    held = compose(np.array(task.target_pose), np.array(task.grasp))
    np.testing.assert_allclose(displacement(held, seated), 0, atol=1e-9)


def test_without_a_scene_only_what_the_arm_can_tell_is_success(twin):
    """As on a real robot. Where the hand may be empty its pose tells nothing."""
    task, robot = twin
    robot.scene.teleport({"arm": np.array(task.target_pose)}, {"arm": 0.0})
    assert task.succeeded(robot.read(), None) is isinstance(task, HeldInsertion)
    robot.scene.teleport({"arm": np.array(task.arms["arm"].reset_pose)}, {"arm": 0.0})
    assert task.succeeded(robot.read(), None) is False
    assert task.failed(robot.read(), None) is False


def test_axes_are_those_of_the_part():
    pose = np.array([0.1, 0.2, 0.3, 0.5, 0.5, -0.5, -0.5])
    along, across, inward = axes_of(pose)
    np.testing.assert_allclose(compose(pose, np.array([1.0, 0, 0, 0, 0, 0, 1]))[:3] - pose[:3], along)
    np.testing.assert_allclose(compose(pose, np.array([0, 0, -1.0, 0, 0, 0, 1]))[:3] - pose[:3], inward)
    np.testing.assert_allclose(np.cross(inward, along), across)


@pytest.mark.parametrize("name", HELD)
def test_nobody_knows_how_a_part_sits_in_the_fingers(name):
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    task, scene = env.unwrapped.task, env.unwrapped.robot.scene
    assert isinstance(task, HeldInsertion)
    offsets = []
    for seed in range(12):
        env.reset(seed=seed)
        offsets.append(displacement(np.array(task.grasp), scene.pose_in_tcp(task.objects[0], "arm")))
    env.close()
    offsets = np.array(offsets)
    limits = np.array([task.grasp_shift[0], 0, task.grasp_shift[1], 0, task.grasp_tilt, 0])
    assert (np.abs(offsets) <= limits + 5e-5).all()
    assert (np.ptp(offsets, axis=0) >= limits).all()


@pytest.mark.parametrize(("name", "episodes"), [("SsdAssembly", 8), ("UsbPickupInsertion", 3)])
def test_the_expert_seats_the_part(name, episodes):
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    for seed in range(episodes):
        assert run(env, env.unwrapped.task.expert(np.random.default_rng(seed)), seed), seed
    env.close()


@pytest.mark.parametrize("name", TASKS)
def test_going_straight_without_feeling_force_mostly_fails(name):
    env = gymnasium.make(f"hilserl/{name}-v0", obs="state")
    seeds = range(4 if name == "UsbPickupInsertion" else 8)
    assert sum(run(env, straight(env.unwrapped.task, seed), seed) for seed in seeds) <= len(seeds) / 2
    env.close()


def run(env, policy, seed: int) -> bool:
    """Whether a policy's episode is a success."""
    env.reset(seed=seed)
    base, over = env.unwrapped, False
    while not over:
        *_, terminated, truncated, info = env.step(policy(base.robot_state, base.robot.scene))
        over = terminated or truncated
    return info["is_success"]
