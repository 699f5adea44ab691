"""The randomised twin: as far from nominal as asked for, and each change where it belongs."""

import mujoco
import numpy as np
import pytest

from hilserl_envs.poses import displacement, wxyz_to_xyzw
from hilserl_envs.robot import ArmCommand
from hilserl_envs.tasks import TASKS, make_task
from hilserl_envs.tasks.pick_cube import HALF_SIZE, MASS
from hilserl_envs.tasks.ram_insertion import MODULE, SLOT
from hilserl_envs.tasks.randomisation import Randomisation
from hilserl_envs.twin.randomised import RandomisedTwin
from hilserl_envs.twin.robot import TwinRobot
from tests.randomised_worlds import PICK, Draws, put_cube, twin

GRAVITY = 9.81


def camera_pose(model: mujoco.MjModel, camera: int) -> np.ndarray:
    """(7,) in its mount's frame."""
    return np.concatenate([model.cam_pos[camera], wxyz_to_xyzw(model.cam_quat[camera])])


def model_arrays(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    names = [name for name in dir(model) if not name.startswith("_")]
    arrays = {name: getattr(model, name) for name in names}
    arrays |= {name: getattr(model.vis.headlight, name) for name in ("ambient", "diffuse")}
    arrays["meaninertia"] = model.stat.meaninertia
    return {k: np.copy(v) for k, v in arrays.items() if isinstance(v, np.ndarray | float)}


# Every draw starts from nominal, and goes as far as it may


@pytest.mark.parametrize("name", TASKS)
def test_nothing_adds_up(name):
    robot = RandomisedTwin(make_task(name))
    nominal = model_arrays(robot.scene.model)
    rng = np.random.default_rng(0)
    for _ in range(100):
        robot.randomise(rng)
    changed = model_arrays(robot.scene.model)
    assert {"light_dir", "geom_rgba", "cam_pos", "geom_friction"} <= {
        key for key in nominal if not np.array_equal(nominal[key], changed[key])
    }
    robot.randomise(Draws(0))
    for key, value in model_arrays(robot.scene.model).items():
        np.testing.assert_array_equal(value, nominal[key], err_msg=key)
    robot.close()


@pytest.mark.parametrize("place", [-1.0, 1.0])
def test_both_ends_of_every_range_are_reached(place):
    ranges = Randomisation()
    nominal = TwinRobot(PICK).scene.model
    robot = RandomisedTwin(PICK)
    robot.randomise(Draws(place))
    model = robot.scene.model
    table, front = model.geom("table").id, model.camera("front").id
    before, after = (
        {
            "friction": m.geom_friction[table, 0],
            "mass": m.body("cube").mass[0],
            "inertia": m.body("cube").inertia[0],
            "fovy": m.cam_fovy[front],
            "x": m.cam_pos[front, 0],
            "red": m.geom_rgba[table, 0],
            "ambient": m.vis.headlight.ambient[0],
        }
        for m in (nominal, model)
    )
    expected = {
        "friction": before["friction"] * (1 + place * ranges.friction),
        "mass": before["mass"] * (1 + place * ranges.mass),
        "inertia": before["inertia"] * (1 + place * ranges.mass),
        "fovy": before["fovy"] + place * ranges.camera_fovy,
        "x": before["x"] + place * ranges.camera_shift,
        "red": before["red"] + place * ranges.color,
        "ambient": before["ambient"] * (1 + place * ranges.brightness) * (1 + place * ranges.tint),
    }
    assert after == pytest.approx(expected, rel=1e-6)
    turn = displacement(camera_pose(nominal, front), camera_pose(model, front))[3:]
    assert np.degrees(np.linalg.norm(turn)) == pytest.approx(ranges.camera_angle)
    late = (ranges.command_latency, ranges.camera_latency) if place > 0 else (0, 0)
    assert (robot.command_latency, robot.camera_latency) == pytest.approx(late)
    robot.close()


def test_no_draw_leaves_its_range():
    ranges = Randomisation()
    nominal, robot = TwinRobot(PICK).scene.model, RandomisedTwin(PICK)
    model, rng = robot.scene.model, np.random.default_rng(0)
    friction, angles, latencies = [], [], []
    for _ in range(100):
        robot.randomise(rng)
        friction += list((model.geom_friction[:, 0] / nominal.geom_friction[:, 0]).round(12))
        angles += [
            np.degrees(np.arccos(np.clip(a @ b, -1, 1)))
            for a, b in zip(model.light_dir, nominal.light_dir, strict=True)
        ]
        latencies.append(robot.camera_latency)
    assert 1 - ranges.friction <= min(friction) < 0.85 and 1.15 < max(friction) <= 1 + ranges.friction
    assert 0.7 * ranges.light_angle < max(angles) <= ranges.light_angle
    assert 0 <= min(latencies) < 0.01 and ranges.camera_latency - 0.01 < max(latencies)
    assert max(latencies) <= ranges.camera_latency
    robot.close()


# What it does in the world


@pytest.mark.parametrize("place", [-1.0, 0.0, 1.0])
def test_a_cube_slides_from_the_force_on_that_its_friction_lets_through(place):
    robot = twin(friction=0.4)
    robot.randomise(Draws(place))
    robot.scene.physics.advance(0.1)
    body, joint = robot.scene.data.body("cube"), robot.scene.data.joint("cube")
    start, holds = joint.qpos[0], (1 + 0.4 * place) * MASS * GRAVITY
    for share, slides in ((0.9, False), (1.1, True)):
        pull = share * holds
        body.xfrc_applied[:] = [pull, 0, 0, 0, -pull * HALF_SIZE, 0]  # at its foot, or it tips over
        robot.scene.physics.advance(0.1)
        assert (joint.qpos[0] - start > 0.001) == slides
    robot.close()


@pytest.mark.parametrize("place", [-1.0, 0.0, 1.0])
def test_a_cube_weighs_what_was_drawn(place):
    robot = twin(mass=0.5)
    robot.randomise(Draws(place))
    robot.scene.physics.advance(0.5)
    carried = robot.scene.data.joint("cube").qfrc_constraint[2]
    assert carried == pytest.approx(MASS * (1 + 0.5 * place) * GRAVITY, rel=1e-3)
    robot.close()


@pytest.mark.parametrize("place", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(("axis", "nominal"), [(0, SLOT.end_clearance), (1, SLOT.clearance)])
def test_a_module_has_the_play_in_its_slot_that_was_drawn(axis, nominal, place):
    robot = twin("RamInsertion", clearance=0.2)
    robot.randomise(Draws(place))
    scene = robot.scene
    seat = scene.pose("slot_seat")[:3] + [0, 0, MODULE.height / 2 + 0.0002]

    def free(offset: float) -> bool:
        shift = np.zeros(3)
        shift[axis] = offset
        scene.place("module", np.array([*(seat + shift), 0, 0, 0, 1.0]))
        scene.refresh()
        walls = {g for g in range(scene.model.ngeom) if scene.model.geom_user[g, axis]}
        return not any(walls & set(pair) for pair in scene.data.contact.geom.tolist())

    play = sum(
        next(offset for offset in np.arange(0, 0.0005, 2e-6) if not free(sign * offset)) for sign in (-1, 1)
    )
    assert play == pytest.approx(nominal * (1 + 0.2 * place), abs=6e-6)
    robot.close()


# What cameras see


def pictures(place: float, **ranges: float) -> dict[str, np.ndarray]:
    robot = twin(**ranges)
    robot.randomise(Draws(place))
    images = robot.capture()
    robot.close()
    return images


@pytest.mark.parametrize(
    "field",
    ["light_angle", "brightness", "tint", "color", "grain", "camera_shift", "camera_angle", "camera_fovy"],
)
def test_each_range_of_looks_is_seen(field):
    nominal, changed = pictures(1.0), pictures(1.0, **{field: getattr(Randomisation(), field)})
    for camera in nominal:
        assert not np.array_equal(nominal[camera], changed[camera]), camera


def test_pictures_get_brighter_and_darker():
    nominal = pictures(0.0)["wrist_1"].mean()
    assert pictures(1.0, brightness=0.3)["wrist_1"].mean() > 1.1 * nominal
    assert pictures(-1.0, brightness=0.3)["wrist_1"].mean() == pytest.approx(0.7 * nominal, rel=0.02)


def cube_in(image: np.ndarray) -> np.ndarray:
    """Middle of what is red, x and y [pixels]."""
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    return np.argwhere((red > 2 * green) & (red > 2 * blue)).mean(axis=0)[::-1]


def projected(robot: TwinRobot, camera: str, point: np.ndarray, size: int = 128) -> np.ndarray:
    """Where a point of the world is in an image, x and y [pixels]."""
    model, data = robot.scene.model, robot.scene.data
    x, y, z = data.camera(camera).xmat.reshape(3, 3).T @ (point - data.camera(camera).xpos)
    focal = size / 2 / np.tan(np.radians(model.camera(camera).fovy[0]) / 2)
    return np.array([size / 2 + focal * x / -z, size / 2 - focal * y / -z])


@pytest.mark.parametrize("place", [-1.0, 1.0])
def test_cameras_see_a_known_point_from_where_they_were_put(place):
    robot = twin(camera_shift=0.02, camera_angle=4.0, camera_fovy=2.0)
    middle = np.array([0.5, 0.0, HALF_SIZE])
    for camera in robot.cameras:
        robot.randomise(Draws(0))
        seen, told = cube_in(robot.capture()[camera]), projected(robot, camera, middle)
        robot.randomise(Draws(place))
        moved, expected = cube_in(robot.capture()[camera]) - seen, projected(robot, camera, middle) - told
        assert np.linalg.norm(expected) > 5
        np.testing.assert_allclose(moved, expected, atol=2)
    robot.close()


def test_the_picture_for_people_keeps_its_camera():
    robot = twin()
    before = {n: getattr(robot.scene.model.camera("overview"), n).copy() for n in ("pos", "quat", "fovy")}
    robot.randomise(Draws(1))
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(robot.scene.model.camera("overview"), name), value)
    robot.close()


# How late, how noisy


def aside(robot: TwinRobot) -> dict[str, ArmCommand]:
    pose = robot.read().arms["arm"].tcp_pose
    return {"arm": ArmCommand(pose=pose + [0.02, 0, 0, 0, 0, 0, 0], gripper=0.0)}


@pytest.mark.parametrize(
    ("timestep", "latency"), [(0.001, 0.02), (0.001, 0.1), (0.002, 0.05), (0.005, 0.015)]
)
def test_the_arm_reacts_as_late_as_was_drawn(timestep, latency):
    late, prompt = twin(timestep=timestep, command_latency=latency), twin(timestep=timestep)
    late.randomise(Draws(1))
    prompt.randomise(Draws(1))
    late.command(aside(late))
    prompt.wait(latency)
    prompt.command(aside(prompt))
    for _ in range(3):
        late.wait(0.1)
    prompt.wait(0.1)
    prompt.wait(round(0.2 - latency, 3))
    a, b = late.read().arms["arm"], prompt.read().arms["arm"]
    np.testing.assert_array_equal(a.q, b.q)
    assert a.gripper_pose == b.gripper_pose < 0.9
    late.close()
    prompt.close()


def test_commands_keep_their_order_and_a_new_world_waits_for_none():
    robot = twin(command_latency=0.1)
    robot.randomise(Draws(1))
    target = robot.scene.physics.arms[0].memory.target_position
    start, first = target.copy(), aside(robot)
    second = {"arm": ArmCommand(pose=first["arm"].pose + [0, 0.02, 0, 0, 0, 0, 0])}
    robot.command(first)
    robot.wait(0.05)
    robot.command(second)
    np.testing.assert_array_equal(target, start)
    robot.wait(0.05)
    np.testing.assert_array_equal(target, first["arm"].pose[:3])
    robot.randomise(Draws(1))
    np.testing.assert_array_equal(target, second["arm"].pose[:3])
    robot.close()


@pytest.mark.parametrize("latency", [0.04, 0.1, 0.25])
def test_cameras_show_what_was(latency):
    late, prompt = twin(camera_latency=latency), twin()
    late.randomise(Draws(1))
    prompt.randomise(Draws(1))
    at_first = late.capture()
    for robot in (late, prompt):
        robot.command(aside(robot))
    prompt.wait(round(0.3 - latency, 3))
    for _ in range(3):
        late.wait(0.1)
        assert late.read().time == pytest.approx(late.scene.data.time)
    now, then = late.capture(), prompt.capture()
    for camera in now:
        np.testing.assert_array_equal(now[camera], then[camera])
        assert not np.array_equal(now[camera], at_first[camera])
    put_cube(late)
    late.randomise(Draws(1))
    for camera, image in late.capture().items():
        np.testing.assert_array_equal(image, at_first[camera])
    late.close()
    prompt.close()


def test_readings_are_as_noisy_and_as_far_off_as_asked_for():
    robot = twin(force_noise=0.5, torque_noise=0.05, force_offset=2.0, torque_offset=0.1)
    true = robot.read().arms["arm"]
    robot.randomise(Draws(1))
    arms = [robot.read().arms["arm"] for _ in range(2000)]
    force = np.array([arm.tcp_force for arm in arms]) - true.tcp_force
    torque = np.array([arm.tcp_torque for arm in arms]) - true.tcp_torque
    np.testing.assert_allclose(force.std(axis=0), 0.5, rtol=0.1)
    np.testing.assert_allclose(force.mean(axis=0), 2.0, atol=0.05)
    np.testing.assert_allclose(torque.std(axis=0), 0.05, rtol=0.1)
    np.testing.assert_allclose(torque.mean(axis=0), 0.1, atol=0.005)
    np.testing.assert_array_equal(arms[-1].tcp_pose, true.tcp_pose)
    robot.close()
