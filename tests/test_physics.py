"""The compiled loop: the same physics and law as by hand, tick by tick, without the GIL."""

import threading
import time

import mujoco
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, RobotError
from hilserl_envs.impedance import (
    Compliance,
    impedance_torque,
    new_memory,
    new_parameters,
    set_compliance,
    set_target,
    settle_gains,
    start,
)
from hilserl_envs.poses import compose, displace, invert, matrix_to_quat, quat_to_matrix
from hilserl_envs.robot import key_prefix
from hilserl_envs.tasks import make_task
from hilserl_envs.twin.scene import Scene
from tests.generic_env import TwoArms

TICK = 0.001  # [s]
COMPLIANCE = Compliance(translational_stiffness=1500, rotational_Ki=5, translational_clip_z=0.03)
STEP = np.array([0.05, 0.03, -0.04]), np.array([0.1, -0.2, 0.3])  # [m], [rad]


def make_scene(timestep: float = TICK) -> Scene:
    return Scene(make_task("PickCube"), timestep)


@pytest.fixture(scope="module")
def shared():
    return make_scene()


@pytest.fixture
def scene(shared):
    shared.reset()
    return shared


def send(scene: Scene, number: int = 0) -> np.ndarray:
    """A new target for one arm, straight into its law; returns the pose."""
    target = displace(scene.physics.sense(number)[0], *STEP)
    set_target(scene.physics.arms[number].memory, target[:3], target[3:])
    return target


class ByHand:
    """The same world in plain Python: MuJoCo's Jacobian and steps, the law called once a tick."""

    def __init__(self, scene: Scene, prefixes: tuple[str, ...] = ("",)):
        self.model, self.data = scene.model, mujoco.MjData(scene.model)
        self.data.qpos[:], self.data.ctrl[:] = scene.data.qpos, scene.data.ctrl
        mujoco.mj_forward(self.model, self.data)
        self.arms = []
        for prefix in prefixes:
            base = self.model.body(f"{prefix}link0")
            arm = dict(
                parameters=new_parameters(),
                memory=new_memory(),
                torque=np.zeros(7),
                base=np.concatenate([base.pos, np.roll(base.quat, -1)]),
                site=self.model.site(f"{prefix}tcp").id,
                motors=[self.model.actuator(f"{prefix}joint{i + 1}").id for i in range(7)],
                q=[self.model.joint(f"{prefix}joint{i + 1}").qposadr[0] for i in range(7)],
                dof=[self.model.joint(f"{prefix}joint{i + 1}").dofadr[0] for i in range(7)],
            )
            set_compliance(arm["parameters"], COMPLIANCE)
            pose = self.pose(arm)
            start(arm["memory"], self.data.qpos[arm["q"]], pose[:3], pose[3:])
            settle_gains(arm["parameters"], arm["memory"])
            target = displace(pose, *STEP)
            set_target(arm["memory"], target[:3], target[3:])
            self.arms.append(arm)

    def pose(self, arm: dict) -> np.ndarray:
        rotation = self.data.site_xmat[arm["site"]].reshape(3, 3)
        return compose(
            invert(arm["base"]), np.concatenate([self.data.site_xpos[arm["site"]], matrix_to_quat(rotation)])
        )

    def tick(self) -> None:
        model, data = self.model, self.data
        for arm in self.arms:
            q, dof, torque, pose = arm["q"], arm["dof"], arm["torque"], self.pose(arm)
            linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
            mujoco.mj_jacSite(model, data, linear, angular, arm["site"])
            to_base = quat_to_matrix(arm["base"][3:]).T
            jacobian = np.concatenate([to_base @ linear[:, dof], to_base @ angular[:, dof]])
            coriolis = data.qfrc_bias[dof] - data.qfrc_gravcomp[dof]
            measured = data.qpos[q], data.qvel[dof], pose[:3], pose[3:], jacobian, coriolis
            impedance_torque(arm["parameters"], arm["memory"], *measured, torque, torque)
            data.ctrl[arm["motors"]] = torque
        mujoco.mj_step2(model, data)
        mujoco.mj_step1(model, data)


def settle_compliance(scene: Scene) -> None:
    for number, arm in enumerate(scene.physics.arms):
        set_compliance(arm.parameters, COMPLIANCE)
        scene.physics.hold(number)


# The law in the loop


@pytest.mark.parametrize("arms", [1, pytest.param(2)])
def test_a_tick_is_the_law_and_mujocos_step(arms):
    scene = make_scene() if arms == 1 else Scene(TwoArms(), TICK)
    settle_compliance(scene)
    by_hand = ByHand(scene, tuple(key_prefix(name, scene.arms) for name in scene.arms))
    for number in range(arms):
        send(scene, number)
    moved = scene.data.qpos.copy()
    for ticks in (1, 9, 190):
        scene.physics.advance(ticks * TICK)
        for _ in range(ticks):
            by_hand.tick()
        np.testing.assert_allclose(scene.data.qpos, by_hand.data.qpos, atol=1e-9)
        np.testing.assert_allclose(scene.data.qvel, by_hand.data.qvel, atol=1e-9)
        for arm, expected in zip(scene.physics.arms, by_hand.arms, strict=True):
            np.testing.assert_allclose(arm.torque, expected["torque"], atol=1e-9)
    assert np.abs(scene.data.qpos - moved).max() > 0.05, "it did move"


def test_the_state_is_fresh_after_advancing(scene):
    """Whoever reads afterwards sees poses that belong to the positions."""
    send(scene)
    scene.physics.advance(0.1)
    seen, tcp = scene.data.xpos.copy(), scene.pose("tcp")
    mujoco.mj_forward(scene.model, scene.data)
    np.testing.assert_array_equal(scene.data.xpos, seen)
    np.testing.assert_array_equal(scene.pose("tcp"), tcp)
    np.testing.assert_allclose(scene.physics.sense(0)[0][:3], tcp[:3], atol=1e-12)


def test_velocity_is_the_derivative_of_the_pose(scene):
    send(scene)
    scene.physics.advance(0.2)
    before = scene.physics.sense(0)[0]
    scene.physics.advance(TICK)
    after, velocity, _ = scene.physics.sense(0)
    np.testing.assert_allclose(velocity[:3], (after[:3] - before[:3]) / TICK, atol=2e-3)
    assert np.linalg.norm(velocity[:3]) > 0.05


# Time


def test_a_control_step_is_100_ticks(scene):
    began = scene.data.time
    scene.physics.advance(0.1)
    assert scene.data.time - began == pytest.approx(0.1, abs=1e-12)
    target, memory = send(scene), scene.physics.arms[0].memory
    left = np.linalg.norm(target[:3] - memory.position)
    scene.physics.advance(0.1)
    assert np.linalg.norm(target[:3] - memory.position) == pytest.approx(left * 0.995**100, rel=1e-9)


@pytest.mark.parametrize("timestep", [0.0005, 0.001, 0.002, 0.005])
def test_the_law_runs_at_1_khz_at_every_timestep(timestep):
    scene = make_scene(timestep)
    target, memory = send(scene), scene.physics.arms[0].memory
    left = np.linalg.norm(target[:3] - memory.position)
    scene.physics.advance(0.1)
    assert np.linalg.norm(target[:3] - memory.position) == pytest.approx(left * 0.995**100, rel=1e-9)
    assert scene.data.time == pytest.approx(0.1, abs=1e-12)


def test_the_timestep_hardly_changes_the_motion():
    paths = []
    for timestep in (0.0005, 0.001, 0.002):
        scene = make_scene(timestep)
        send(scene)
        path = []
        for _ in range(10):
            scene.physics.advance(0.1)
            path.append(scene.physics.sense(0)[0])
        paths.append(np.array(path))
    for path in paths[1:]:
        np.testing.assert_allclose(path[:, :3], paths[0][:, :3], atol=1e-3)
        np.testing.assert_allclose(path[:, 3:], paths[0][:, 3:], atol=2e-3)


def test_advancing_in_parts_is_advancing_at_once():
    ends = []
    for parts in (1, 4, 100):
        scene = make_scene()
        send(scene)
        for _ in range(parts):
            scene.physics.advance(0.1 / parts)
        ends.append(scene.data.qpos.copy())
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


def test_advancing_by_nothing_changes_nothing(scene):
    before = scene.data.qpos.copy()
    scene.physics.advance(0.0)
    np.testing.assert_array_equal(scene.data.qpos, before)
    assert scene.data.time == 0


@pytest.mark.parametrize(
    "timestep",
    [0.0007, 0.0015, -0.001] + [pytest.param(bad) for bad in (0.0, float("nan"), float("inf"))],
)
def test_a_timestep_that_does_not_fit_the_law_is_refused(timestep):
    with pytest.raises(ConfigError, match=f"timestep of {timestep} s does not fit.*0.002 or 0.005"):
        make_scene(timestep)


@pytest.mark.parametrize(
    "seconds",
    [-0.1, 0.0005, 0.1003] + [pytest.param(bad) for bad in (float("nan"), float("inf"))],
)
def test_a_time_of_no_whole_ticks_is_refused(scene, seconds):
    with pytest.raises(ConfigError, match=f"advances by multiples of 0.001 s, got {seconds} s"):
        scene.physics.advance(seconds)


def test_a_time_of_no_whole_physics_steps_is_refused():
    with pytest.raises(ConfigError, match="multiples of 0.002 s, got 0.001 s"):
        make_scene(0.002).physics.advance(0.001)


# The machine


def test_other_threads_run_while_it_advances(scene):
    """Held through one long call, the GIL would keep the other thread from its first count."""
    counts, done = [], threading.Event()

    def count():
        while not done.is_set():
            counts.append(time.perf_counter())
            time.sleep(0.001)

    other = threading.Thread(target=count)
    other.start()
    began = time.perf_counter()
    scene.physics.advance(10.0)
    ended = time.perf_counter()
    done.set()
    other.join()
    assert sum(began < moment < ended for moment in counts) >= 5


def test_no_process_wide_callback_is_set(scene):
    scene.physics.advance(0.01)
    assert mujoco.get_mjcb_control() is None and mujoco.get_mjcb_passive() is None


@pytest.mark.parametrize("bad", [float("nan"), 1e9])
def test_divergence_is_told_and_a_reset_cures_it(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log file where it runs
    scene = make_scene()
    scene.data.qvel[:7] = bad
    with pytest.raises(RobotError, match="the simulation diverged at .* s; reset the environment"):
        scene.physics.advance(0.1)
    scene.reset()
    send(scene)
    scene.physics.advance(0.5)
    healthy = make_scene()
    send(healthy)
    healthy.physics.advance(0.5)
    np.testing.assert_array_equal(scene.data.qpos, healthy.data.qpos)


def test_two_scenes_do_not_disturb_each_other(scene):
    send(scene)
    other = make_scene()
    for _ in range(5):
        scene.physics.advance(0.1)
        other.physics.advance(0.1)
    alone = make_scene()
    send(alone)
    alone.physics.advance(0.5)
    np.testing.assert_array_equal(scene.data.qpos, alone.data.qpos)
    np.testing.assert_allclose(other.physics.sense(0)[0], make_scene().physics.sense(0)[0], atol=1e-9)
