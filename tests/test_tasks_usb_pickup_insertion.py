"""The plug that lies on the table: picked up, dropped, lost, held by its port, put back by a reset."""

import gymnasium
import numpy as np
import pytest

from hilserl_envs.poses import compose, displacement, invert
from hilserl_envs.tasks.usb_pickup_insertion import LYING, PLUG, PORT
from hilserl_envs.twin.robot import TwinRobot
from tests.test_tasks_insertion import make_task, seated_pose

LIE = np.array(LYING)


@pytest.fixture(scope="module")
def twin():
    robot = TwinRobot(make_task("UsbPickupInsertion"))
    yield robot
    robot.close()


@pytest.fixture
def plugged_in(twin):
    """A scene with the plug in its port, and nobody holding it."""
    scene = twin.scene
    scene.reset()
    scene.place("plug", seated_pose(scene, "plug", "port"))
    scene.refresh()
    scene.settle(0.3)
    return scene


def pulled(scene, force: tuple, seconds: float = 0.5) -> np.ndarray:
    """How far [m] the plug's tip moves, in the port's axes, while a force [N] in them pulls at it."""
    before, seat = tip(scene), scene.pose("port_seat")
    world = compose(np.array([0, 0, 0, *seat[3:]]), np.array([*force, 0, 0, 0, 1.0]))[:3]
    applied = scene.data.body("plug").xfrc_applied
    applied[:3] = world
    scene.settle(seconds)
    applied[:] = 0.0
    return tip(scene) - before


def tip(scene) -> np.ndarray:
    """Middle of the plug's leading edge (3,), in the port's frame."""
    ends = [scene.pose(f"plug_edge_{side}") for side in ("left", "right")]
    return np.mean([compose(invert(scene.pose("port_seat")), end)[:3] for end in ends], axis=0)


def test_plug_and_port_start_somewhere_else_each_time_and_lie_still(twin):
    task, scene, rng = make_task("UsbPickupInsertion"), twin.scene, np.random.default_rng(0)
    plugs, ports = [], []
    for _ in range(30):
        task.arrange(scene, rng, in_motion=True)
        plugs.append(displacement(LIE, scene.pose("plug")))
        ports.append(scene.pose("port")[:2])
    reach = np.array([task.plug_range, task.plug_range, 0, 0, 0, task.plug_yaw_range])
    assert (np.abs(plugs) <= reach + 1e-9).all() and (np.ptp(plugs, axis=0) >= 1.5 * reach).all()
    assert (np.ptp(ports, axis=0) > task.port_range).all()
    scene.settle(1.0)
    np.testing.assert_allclose(displacement(LIE, scene.pose("plug")), plugs[-1], atol=1e-4)


def test_a_moved_port_takes_its_seat_with_it(twin):
    scene = twin.scene
    scene.reset()
    seat, port = scene.pose("port_seat"), scene.pose("port")
    scene.place("port", port + np.array([0.01, 0.02, 0, 0, 0, 0, 0]))
    scene.refresh()
    np.testing.assert_allclose(scene.pose("port_seat")[:3], seat[:3] + [0.01, 0.02, 0], atol=1e-12)
    scene.reset()
    np.testing.assert_array_equal(scene.pose("port"), port)


def test_the_port_holds_a_plug_that_was_let_go(plugged_in):
    assert make_task("UsbPickupInsertion").gap(plugged_in) < 0.0006
    assert np.linalg.norm(pulled(plugged_in, (0, 0, 1.5))) < 0.0003


def test_a_firm_pull_gets_the_plug_out(plugged_in):
    assert pulled(plugged_in, (0, 0, 15.0))[2] > PORT.depth


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_seated_plug_has_its_clearance_and_no_more(plugged_in, axis, sign):
    force = np.zeros(3)
    force[axis] = 3.0 * sign
    clearance = (PORT.end_clearance, PORT.clearance)[axis]
    assert abs(pulled(plugged_in, tuple(force), 0.2)[axis]) < clearance + 0.0002


def test_a_dropped_plug_is_picked_up_again():
    env = gymnasium.make("hilserl/UsbPickupInsertion-v0", obs="state", max_episode_steps=200)
    env.reset(seed=1)
    base, let_go, lifted, over = env.unwrapped, 4, False, False
    expert = base.task.expert(np.random.default_rng(1))
    while not over:
        scene = base.robot.scene
        action = expert(base.robot_state, scene)
        lifted = lifted or scene.pose("plug")[2] > 0.02
        if lifted and let_go:
            let_go -= 1
            action = np.array([0, 0, 0, 0, 0, 0, 1.0])
        *_, terminated, truncated, info = env.step(action)
        if lifted and let_go == 1:
            assert scene.pose("plug")[2] < 0.01  # on the table again
        over = terminated or truncated
    env.close()
    assert info["is_success"]


def test_a_lost_plug_ends_the_episode():
    env = gymnasium.make("hilserl/UsbPickupInsertion-v0", obs="state")
    env.reset(seed=0)
    scene = env.unwrapped.robot.scene
    scene.place("plug", LIE + np.array([0, 0.1, 0, 0, 0, 0, 0]))
    scene.refresh()
    _, reward, terminated, truncated, info = env.step(np.zeros(7))
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)
    env.close()


def test_a_reset_motion_leaves_the_plug_in_its_port_and_opens_the_hand():
    """Until somebody puts it on the table."""
    env = gymnasium.make("hilserl/UsbPickupInsertion-v0", obs="state", reset_mode="motion")
    env.reset(seed=0)
    base = env.unwrapped
    expert, over, left = base.task.expert(np.random.default_rng(0)), False, []
    while not over:
        *_, over, _, info = env.step(expert(base.robot_state, base.robot.scene))
    assert info["is_success"]
    arrange = type(base.task).arrange

    def watched(task, scene, rng, in_motion):
        left.append(task.gap(scene))
        arrange(task, scene, rng, in_motion)

    type(base.task).arrange = watched
    try:
        observation, info = env.reset()
    finally:
        type(base.task).arrange = arrange
    assert left[0] < PORT.depth and not info["is_success"]
    assert observation["state"]["gripper_pose"] > 0.95
    np.testing.assert_allclose(base.robot.scene.pose("plug")[2], PLUG.body[1] / 2, atol=1e-4)
    env.close()
