"""The twin as a robot: it goes where it is sent, feels what it touches, and repeats itself."""

import mujoco
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError, HilserlError, RobotError
from hilserl_envs.impedance import Compliance
from hilserl_envs.kinematics import PANDA, forward_kinematics
from hilserl_envs.poses import compose, displace, displacement, quat_multiply, quat_to_matrix, rotvec_to_quat
from hilserl_envs.robot import ArmCommand, ArmState
from hilserl_envs.tasks import make_task
from hilserl_envs.twin.robot import TwinRobot
from tests.generic_env import TwoArms

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
FINGERTIP = 0.0095  # below the TCP [m]: half the height of the pads
GRAVITY = 9.81
ARRAYS = ("tcp_pose", "tcp_vel", "tcp_force", "tcp_torque", "q", "dq", "jacobian")


class Lab:
    """One arm over a table, a cube out of the way, and the means to push and to look."""

    def __init__(self):
        self.robot = TwinRobot(make_task("PickCube"))
        self.scene = self.robot.scene
        self.model, self.data = self.scene.model, self.scene.data

    def reset(self) -> None:
        self.data.xfrc_applied[:] = 0
        self.scene.reset()
        self.scene.place("cube", np.array([0.3, 0.4, 0.02, 0, 0, 0, 1]))
        self.scene.refresh()
        self.robot.configure({"arm": Compliance()})
        self.robot.recover()

    def state(self) -> ArmState:
        return self.robot.read().arms["arm"]

    def send(self, **command) -> None:
        self.robot.command({"arm": ArmCommand(**command)})

    def put(self, height: float, yaw: float = 0.0, tilt: float = 0.0, gripper: float = 0.0) -> np.ndarray:
        """Teleport the TCP over the table's middle, pointing down but for a tilt about y."""
        turn = quat_multiply(rotvec_to_quat(np.array([0, tilt, 0])), rotvec_to_quat(np.array([0, 0, yaw])))
        pose = np.array([0.5, 0, height, *quat_multiply(turn, DOWN)])
        self.scene.teleport({"arm": pose}, {"arm": gripper})
        return pose

    def push_hand(self, force: np.ndarray, torque: np.ndarray, at_tcp: bool = False) -> np.ndarray:
        """A push from outside, world axes; returns the wrench (6,) about the TCP that it is.

        At the hand's centre of mass, or such that the TCP feels just this wrench.
        """
        hand = self.model.body("hand").id
        arm = self.data.xipos[hand] - self.data.site("tcp").xpos
        moment = np.cross(arm, force)
        self.data.xfrc_applied[hand] = [*force, *(torque - moment if at_tcp else torque)]
        return np.concatenate([force, torque if at_tcp else torque + moment])

    def table_wrench(self) -> np.ndarray:
        """Sum of MuJoCo's contacts: what the fingers do to the table, about the TCP, world axes."""
        table, tcp, total, local = (
            self.model.geom("table").id,
            self.data.site("tcp").xpos,
            np.zeros(6),
            np.empty(6),
        )
        for i, contact in enumerate(self.data.contact):
            bodies = {self.model.body(self.model.geom_bodyid[geom]).name for geom in contact.geom}
            if table in contact.geom and "cube" not in bodies:
                mujoco.mj_contactForce(self.model, self.data, i, local)
                axes = contact.frame.reshape(3, 3)
                # MuJoCo's force acts on the second geom; its frame's rows are the axes
                sign = 1 if contact.geom[1] == table else -1
                force, torque = sign * axes.T @ local[:3], sign * axes.T @ local[3:]
                total += [*force, *(torque + np.cross(contact.pos - tcp, force))]
        return total

    def in_tcp(self, wrench: np.ndarray) -> np.ndarray:
        axes = quat_to_matrix(self.state().tcp_pose[3:])
        return np.concatenate([axes.T @ wrench[:3], axes.T @ wrench[3:]])

    def felt(self) -> np.ndarray:
        state = self.state()
        return np.concatenate([state.tcp_force, state.tcp_torque])


@pytest.fixture(scope="module")
def bench():
    lab = Lab()
    yield lab
    lab.robot.close()


@pytest.fixture
def lab(bench):
    bench.reset()
    return bench


# Going there


@pytest.mark.parametrize(
    ("shift", "turn"),
    [
        ((0.05, 0, 0), (0, 0, 0)),
        ((0, -0.05, 0), (0, 0, 0)),
        ((0, 0, -0.05), (0, 0, 0)),
        ((0, 0, 0), (0.2, -0.1, 0.3)),
    ],
)
def test_arrives_where_it_is_sent(lab, shift, turn):
    target = displace(lab.state().tcp_pose, np.array(shift, float), np.array(turn, float))
    lab.send(pose=target)
    distances = []
    for _ in range(20):
        lab.robot.wait(0.1)
        distances.append(np.abs(displacement(lab.state().tcp_pose, target)).max())
    assert distances[0] > 0.5 * max(np.abs(shift).max(), np.abs(turn).max()), "it takes its time"
    assert distances[-1] < 2e-3
    assert np.abs(lab.state().tcp_vel).max() < 5e-3
    # What is left is the posture's torque, of which the damped pseudo-inverse lets a little through.
    lab.robot.configure({"arm": Compliance(nullspace_stiffness=0)})
    lab.robot.wait(2.0)
    lab.robot.configure({"arm": Compliance()})
    assert np.abs(displacement(lab.state().tcp_pose, target)).max() < 1e-4


def test_the_state_agrees_with_itself(lab):
    lab.send(pose=displace(lab.state().tcp_pose, np.array([0.05, 0.05, -0.05]), np.zeros(3)))
    lab.robot.wait(0.2)
    state = lab.state()
    np.testing.assert_allclose(
        displacement(state.tcp_pose, forward_kinematics("panda", state.q)), 0, atol=1e-9
    )
    np.testing.assert_allclose(state.jacobian @ state.dq, state.tcp_vel, atol=1e-12)
    for joint in range(7):
        q = state.q.copy()
        q[joint] += 1e-6
        column = displacement(state.tcp_pose, forward_kinematics("panda", q)) / 1e-6
        np.testing.assert_allclose(state.jacobian[:, joint], column, atol=1e-5)


def test_reading_changes_nothing_and_its_arrays_are_the_readers_own(lab):
    lab.send(pose=displace(lab.state().tcp_pose, np.array([0.02, 0, 0]), np.zeros(3)))
    lab.robot.wait(0.1)
    first = lab.state()
    kept = {name: getattr(first, name).copy() for name in ARRAYS}
    lab.robot.wait(0.1)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(first, name), value)
        getattr(first, name)[:] = np.nan
    second = lab.state()
    assert all(np.isfinite(getattr(second, name)).all() for name in ARRAYS)
    assert not np.array_equal(second.tcp_pose, kept["tcp_pose"])


@pytest.mark.parametrize("opening", [0.0, 1.0, pytest.param(0.5)])
def test_the_gripper_opens_as_far_as_it_is_told(lab, opening):
    lab.send(gripper=opening)
    lab.robot.wait(1.0)
    assert lab.state().gripper_pose == pytest.approx(opening, abs=0.01)


def test_the_gripper_moves_at_the_hands_speed(lab):
    lab.send(gripper=0.0)
    lab.robot.wait(0.4)
    assert 0.2 < lab.state().gripper_pose < 0.7


# Feeling


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("size", [-1, 1])
def test_a_push_reads_as_what_pushes_back(lab, axis, size):
    """Expressed in the TCP's axes; positive where the robot pushes on the world."""
    lab.put(0.3, yaw=0.4, tilt=0.3)
    wrench = np.zeros(6)
    wrench[axis] = size * (5.0 if axis < 3 else 0.5)
    for _ in range(20):
        lab.push_hand(wrench[:3], wrench[3:], at_tcp=True)
        lab.robot.wait(0.1)
    np.testing.assert_allclose(lab.felt(), lab.in_tcp(-wrench), atol=0.02)


def test_a_push_on_the_hand_reads_about_the_tcp(lab):
    lab.put(0.3, yaw=-0.3, tilt=-0.2)
    for _ in range(20):
        about_tcp = lab.push_hand(np.array([3.0, -4, 5]), np.array([0.3, 0.2, -0.1]))
        lab.robot.wait(0.1)
    np.testing.assert_allclose(lab.felt(), lab.in_tcp(-about_tcp), atol=0.02)


def test_free_motion_reads_no_force(lab):
    lab.put(0.3)
    lab.send(pose=np.array([0.55, 0.1, 0.35, *DOWN]))
    for _ in range(10):
        lab.robot.wait(0.1)
        assert np.abs(lab.felt()).max() < 1e-6


@pytest.mark.parametrize("clip", [0.002, 0.005, 0.01])
def test_pressing_down_reads_what_the_clip_allows(lab, clip):
    """An equilibrium below the table: at rest the force is stiffness times clip, along +z."""
    compliance = Compliance(translational_clip_z=clip)
    lab.robot.configure({"arm": compliance})
    lab.put(FINGERTIP + 0.001)
    lab.send(pose=np.array([0.5, 0, FINGERTIP - 0.05, *DOWN]))
    lab.robot.wait(4.0)
    force = compliance.translational_stiffness * clip
    assert lab.state().tcp_force[2] == pytest.approx(force, abs=0.1)
    np.testing.assert_allclose(lab.felt(), lab.in_tcp(lab.table_wrench()), atol=0.02)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -1.2])
@pytest.mark.parametrize("tilt", [0.0, 0.15])
def test_what_it_feels_is_what_mujoco_says_the_contact_is(lab, yaw, tilt):
    """A feed-forward wrench on the table, sideways friction and an uneven footing included."""
    pose = lab.put(FINGERTIP + 0.006, yaw, tilt)
    lab.send(pose=displace(pose, np.array([0, 0, -0.008]), np.zeros(3)))
    for _ in range(30):
        lab.send(wrench=np.array([2.0, -1, -10, 0, 0, 0]))
        lab.robot.wait(0.1)
    contact = lab.table_wrench()
    assert -contact[2] > 8 and np.linalg.norm(contact[:2]) > 0.5, "pressed down and sideways"
    np.testing.assert_allclose(lab.felt(), lab.in_tcp(contact), atol=0.05)
    if tilt == 0:
        assert lab.state().tcp_force[2] > 8, "pointing down, pressing down reads +z"


def test_a_feed_forward_wrench_is_what_the_table_gets(lab):
    """Nothing else presses when the equilibrium is where the arm stands."""
    lab.put(FINGERTIP)
    lab.send(pose=np.array([0.5, 0, FINGERTIP, *DOWN]))
    for _ in range(30):
        lab.send(wrench=np.array([0.0, 0, -10, 0, 0, 0]))
        lab.robot.wait(0.1)
    assert lab.state().tcp_force[2] == pytest.approx(10, abs=0.1)


def test_a_wrench_lapses_after_a_tenth_of_a_second(lab):
    lab.put(0.3)
    lab.send(wrench=np.array([0.0, 0, -10, 0, 0, 0]))
    lab.robot.wait(0.1)
    law = lab.scene.physics.arms[0].memory
    assert law.wrench[2] == -10, "acts for the whole of it"
    lab.robot.wait(0.001)
    assert not law.wrench.any()
    lab.robot.wait(3.0)
    np.testing.assert_allclose(lab.state().tcp_pose[2], 0.3, atol=1e-3)


def test_a_renewed_wrench_keeps_acting(lab):
    lab.put(0.3)
    for _ in range(30):
        lab.send(wrench=np.array([0.0, 0, -10, 0, 0, 0]))
        lab.robot.wait(0.1)
    assert lab.state().tcp_pose[2] == pytest.approx(0.3 - 10 / 2000, abs=3e-4)


# Carrying

MASS, CENTER, INERTIA = 0.7, np.array([0.02, -0.01, 0.15]), np.diag([1e-3, 1e-3, 1e-3])


def carry(lab, seconds: float) -> None:
    """A payload's weight, at its centre in the flange's frame."""
    hand = lab.model.body("hand").id
    flange = np.concatenate([lab.data.body("hand").xpos, np.roll(lab.data.body("link7").xquat, -1)])
    for _ in range(round(seconds / 0.1)):
        weight = np.array([0, 0, -MASS * GRAVITY])
        center = compose(flange, np.array([*CENTER, 0, 0, 0, 1]))[:3]
        lab.data.xfrc_applied[hand] = [*weight, *np.cross(center - lab.data.xipos[hand], weight)]
        lab.robot.wait(0.1)


def test_a_declared_load_is_neither_felt_nor_sagged_under(lab):
    pose = lab.put(0.3, yaw=0.5)
    carry(lab, 3.0)
    assert np.linalg.norm(lab.state().tcp_force) == pytest.approx(MASS * GRAVITY, rel=0.01)
    assert lab.state().tcp_force[2] == pytest.approx(-MASS * GRAVITY, rel=0.01), (
        "it is pulled along +z: reads -z"
    )
    assert pose[2] - lab.state().tcp_pose[2] > 2e-3
    lab.robot.load("arm", MASS, CENTER, INERTIA)
    carry(lab, 3.0)
    np.testing.assert_allclose(lab.felt(), 0, atol=0.02)
    np.testing.assert_allclose(displacement(lab.state().tcp_pose, pose), 0, atol=2e-4)


def test_a_load_that_is_not_there_lifts_the_arm(lab):
    lab.put(0.3)
    lab.robot.load("arm", MASS, CENTER, INERTIA)
    lab.robot.wait(2.0)
    assert lab.state().tcp_pose[2] > 0.302
    assert lab.state().tcp_force[2] == pytest.approx(MASS * GRAVITY, rel=0.01)


@pytest.mark.parametrize(
    ("mass", "center", "inertia", "says"),
    [
        (-1, CENTER, INERTIA, "a mass of at least 0 kg, got -1"),
        (np.nan, CENTER, INERTIA, "the load's mass must be finite"),
        ("heavy", CENTER, INERTIA, "the load's mass must be numbers"),
        (1, CENTER[:2], INERTIA, r"the load's centre must have shape \(3,\)"),
        (1, CENTER, np.ones(3), r"the load's inertia must have shape \(3, 3\)"),
    ],
)
def test_a_wrong_load_is_refused(lab, mass, center, inertia, says):
    with pytest.raises(HilserlError, match=says):
        lab.robot.load("arm", mass, center, inertia)


def test_a_held_object_is_felt(lab):
    lab.put(0.3, gripper=1.0)
    lab.scene.grip("cube", "arm", np.array([0.0, 0, 0, 1, 0, 0, 0]), 0.04)
    lab.robot.wait(2.0)
    np.testing.assert_allclose(lab.state().tcp_force, [0, 0, -0.06 * GRAVITY], atol=0.01)


# Joints, recovery


def test_joint_reset_arrives_and_the_law_holds_there(lab):
    goal = np.array(PANDA.ready) + [0.3, -0.2, 0.1, 0.2, -0.1, 0.2, -0.4]
    lab.robot.reset_joints({"arm": goal})
    np.testing.assert_allclose(lab.state().q, goal, atol=0.01)
    began = lab.state().tcp_pose
    lab.robot.wait(2.0)
    np.testing.assert_allclose(displacement(began, lab.state().tcp_pose), 0, atol=2e-3)


def test_joint_reset_is_slow(lab):
    lab.scene.physics.drive_joints(0, np.array(PANDA.ready) + 0.5)
    for _ in range(20):
        lab.robot.wait(0.1)
        assert np.abs(lab.state().dq).max() < 1.0


def test_a_blocked_joint_reset_is_told(lab):
    below = lab.put(FINGERTIP + 0.02)
    into_the_table = lab.state().q + [0, 0.3, 0, 0, 0, 0, 0]
    with pytest.raises(
        RobotError, match=r"arm 'arm' stopped 0\.\d\d rad from its joint positions: .*blocks it"
    ):
        lab.robot.reset_joints({"arm": into_the_table})
    lab.robot.wait(0.5)
    assert np.linalg.norm(lab.state().tcp_pose[:2] - below[:2]) < 0.1, "and the law holds it where it stopped"


@pytest.mark.parametrize("q", [np.zeros(6), np.full(7, np.nan), "home"])
def test_wrong_joint_positions_are_refused(lab, q):
    with pytest.raises(ConfigError, match="joint positions of 'arm'"):
        lab.robot.reset_joints({"arm": q})


def test_recover_holds_the_measured_pose(lab):
    lab.put(0.3)
    lab.send(pose=np.array([0.6, 0, 0.3, *DOWN]), wrench=np.array([0.0, 5, 0, 0, 0, 0]))
    lab.robot.wait(0.2)
    lab.robot.recover()
    measured = lab.state().tcp_pose
    lab.robot.wait(2.0)
    assert np.linalg.norm(displacement(measured, lab.state().tcp_pose)[:3]) < 0.02, "braked, not gone on"
    lab.robot.wait(2.0)
    np.testing.assert_allclose(lab.state().tcp_pose[:3], measured[:3], atol=2e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda robot: robot.command({"left": ArmCommand()}),
        lambda robot: robot.configure({"left": Compliance()}),
        lambda robot: robot.load("left", 0.0, np.zeros(3), np.zeros((3, 3))),
        lambda robot: robot.reset_joints({"left": np.array(PANDA.ready)}),
    ],
)
def test_an_unknown_arm_is_refused(lab, call):
    with pytest.raises(ConfigError, match="unknown arm 'left': known: arm"):
        call(lab.robot)


def test_nothing_is_commanded_when_one_arm_is_unknown(lab):
    before = lab.scene.physics.arms[0].gripper_target.copy()
    with pytest.raises(ConfigError):
        lab.robot.command({"arm": ArmCommand(gripper=0.0), "left": ArmCommand()})
    np.testing.assert_array_equal(lab.scene.physics.arms[0].gripper_target, before)


# Repetition


def episode(robot: TwinRobot) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    robot.scene.reset()
    robot.configure({"arm": Compliance(translational_Ki=20)})
    robot.scene.teleport({"arm": np.array([0.5, 0, 0.03, *DOWN])}, {"arm": 1.0})
    seen = []
    for step in range(20):
        pose = displace(
            np.array([0.5, 0, 0.02, *DOWN]), rng.uniform(-0.05, 0.05, 3), rng.uniform(-0.2, 0.2, 3)
        )
        robot.command({"arm": ArmCommand(pose=pose, gripper=float(step % 10 < 5))})
        robot.wait(0.1)
        state = robot.read().arms["arm"]
        seen.append(
            np.concatenate([getattr(state, name).ravel() for name in ARRAYS] + [[state.gripper_pose]])
        )
    return seen


def test_after_a_reset_everything_repeats_to_the_bit(lab):
    """Contacts, gripper and integral included, whatever happened before, in any twin."""
    first = episode(lab.robot)
    lab.robot.load("arm", MASS, CENTER, INERTIA)
    lab.send(wrench=np.full(6, 3.0))
    lab.robot.wait(0.05)
    np.testing.assert_array_equal(episode(lab.robot), first)
    np.testing.assert_array_equal(episode(TwinRobot(make_task("PickCube"))), first)


# Two arms


@pytest.fixture(scope="module")
def pair():
    robot = TwinRobot(TwoArms())
    yield robot
    robot.close()


def test_each_arm_moves_in_its_own_base_frame(pair):
    """Facing arms sent to the same place of their own mirror each other."""
    pair.scene.reset()
    start = pair.read().arms
    target = displace(start["left"].tcp_pose, np.array([0.05, 0.08, -0.1]), np.array([0, 0, 0.2]))
    pair.command({name: ArmCommand(pose=target) for name in pair.arms})
    pair.wait(2.0)
    arms = pair.read().arms
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(arms["left"], name), getattr(arms["right"], name), atol=1e-6)
    np.testing.assert_allclose(displacement(arms["right"].tcp_pose, target)[:3], 0, atol=1e-3)
    left, right = pair.scene.pose("left/tcp"), pair.scene.pose("right/tcp")
    np.testing.assert_allclose(left[:2] + right[:2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(left[2], right[2], atol=1e-6)


def test_one_arm_moves_alone(pair):
    pair.scene.reset()
    still = pair.read().arms["left"]
    target = displace(still.tcp_pose, np.array([0.05, 0, 0]), np.zeros(3))
    pair.command({"right": ArmCommand(pose=target, gripper=0.0)})
    pair.wait(1.5)
    arms = pair.read().arms
    np.testing.assert_allclose(displacement(still.tcp_pose, arms["left"].tcp_pose), 0, atol=1e-6)
    assert arms["left"].gripper_pose == pytest.approx(1)
    assert arms["right"].gripper_pose == pytest.approx(0)
    np.testing.assert_allclose(displacement(arms["right"].tcp_pose, target)[:3], 0, atol=1e-3)


def test_a_push_reads_in_the_pushed_arms_axes_alone(pair):
    pair.scene.reset()
    hand, force = pair.scene.model.body("right/hand").id, np.array([4.0, 2, 0])
    pair.scene.data.xfrc_applied[hand, :3] = force
    pair.wait(2.0)
    pair.scene.data.xfrc_applied[:] = 0
    arms = pair.read().arms
    axes = quat_to_matrix(pair.scene.pose("right/tcp")[3:])
    np.testing.assert_allclose(arms["right"].tcp_force, -axes.T @ force, atol=0.02)
    np.testing.assert_allclose(arms["left"].tcp_force, 0, atol=1e-6)
