"""A task's world in MuJoCo: built from its arms, cameras and props, and seen from above.

`Scene` is the privileged view that only a simulated world offers: it knows where
everything is, and does what a person does by hand on the real robot (put the props
back, put a part into the gripper).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from hilserl_envs.errors import ConfigError, check_array, check_name
from hilserl_envs.kinematics import inverse_kinematics
from hilserl_envs.poses import compose, invert, look_at, matrix_to_quat, wxyz_to_xyzw, xyzw_to_wxyz
from hilserl_envs.robot import key_prefix
from hilserl_envs.twin.arm import add_arm
from hilserl_envs.twin.grain import add_grains
from hilserl_envs.twin.hand import FINGER_TRAVEL, GRIPPER_AIM
from hilserl_envs.twin.physics import Physics
from hilserl_envs.twin.rendering import Renderer
from hilserl_envs.twin.shapes import SCENE_BIT, STIFF_CONTACT
from hilserl_envs.twin.viewer import Window

if TYPE_CHECKING:
    from hilserl_envs.tasks.setup import Camera
    from hilserl_envs.tasks.task import Task

DISPLAY_SIZE = (480, 640)  # of the pictures made for people
# Fingers put on a part start this much closer than it is thick [m], both together: were
# they just touching, rounding could leave them without contact for one step, in which the
# unopposed servo drives the pads in by a millimetre.
GRIP_DENT = 2e-4
TABLE_HALF_SIZE = (0.6, 0.6, 0.02)  # [m]
IMPRATIO = 10.0  # friction over normal impedance: parts held by friction creep at MuJoCo's 1


def build_model(task: Task, timestep: float, grain: float = 0.0) -> mujoco.MjModel:
    """Compile a task's world: table, light, its arms, cameras and props; `add_grains` of that contrast."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    option = spec.option
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = IMPRATIO
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # divergence is reported instead
    # Few parts are solved faster together; a task of many can turn islands on in `build`.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
    _add_surroundings(spec)
    for number, (name, arm) in enumerate(task.arms.items()):
        add_arm(spec, np.array(arm.base_pose), key_prefix(name, task.arms), number, task.arm_model)
    task.build(spec)
    for name, camera in {"overview": task.overview, **task.cameras}.items():
        _add_camera(spec, name, camera)
    if grain > 0:
        add_grains(spec, grain)
    return spec.compile()


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    """A bright room with a table. All light comes from far away, so flat faces need few polygons."""
    visual = spec.visual
    visual.quality.numquads = 1  # a box is 12 triangles, not 192: half the time of a small image
    visual.headlight.ambient, visual.headlight.diffuse = [0.46] * 3, [0.14] * 3
    visual.headlight.specular = [0.0] * 3
    visual.map.znear, visual.map.zfar, visual.map.shadowclip = 0.01, 12.0, 1.2
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0, 0.2]
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.90, 0.93, 0.96], rgb2=[0.66, 0.70, 0.74], width=32, height=192,
    )  # fmt: skip
    # A shadow map is coarse: only what shines from above casts shadows, where walls and the
    # sides of links, which it would speckle, get little of it.
    for pos, direction, brightness, shadow in (
        ((0.55, -0.15, 2.0), (-0.10, 0.08, -1.0), 0.34, True),
        ((2.0, -1.5, 1.5), (-0.8, 0.55, -0.6), 0.36, False),
    ):
        spec.worldbody.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=pos, dir=direction, diffuse=[brightness] * 3,
            specular=[0.1] * 3, castshadow=shadow,
        )  # fmt: skip
    # Boxes: an infinite plane costs a software rasteriser several times as much.
    for name, half_size, top, rgba in (
        ("table", TABLE_HALF_SIZE, 0.0, (0.80, 0.76, 0.70, 1)),
        ("ground", (4.0, 4.0, 0.02), -0.75, (0.70, 0.72, 0.74, 1)),
    ):
        spec.worldbody.add_geom(
            name=name, type=mujoco.mjtGeom.mjGEOM_BOX, size=half_size, pos=[0.4, 0, top - half_size[2]],
            rgba=rgba, contype=SCENE_BIT, conaffinity=SCENE_BIT, **STIFF_CONTACT,
        )  # fmt: skip


def _add_camera(spec: mujoco.MjSpec, name: str, camera: Camera) -> None:
    mount = spec.worldbody if camera.mount == "world" else spec.body(camera.mount)
    if mount is None:
        bodies = [body.name for body in spec.bodies]
        raise ConfigError(
            f"camera {name!r} is mounted on {camera.mount!r}, which is not a body; known: {bodies}"
        )
    quat = look_at(camera.position, camera.look_at, camera.up)
    mount.add_camera(name=name, pos=camera.position, quat=xyzw_to_wxyz(quat), fovy=camera.fovy)


class Scene:
    """The world of one twin, with everything in it.

    Attributes:
        model, data: MuJoCo's own; call `refresh` after editing the state.
        physics: the compiled loop.
    """

    def __init__(self, task: Task, timestep: float, grain: float = 0.0):
        self.model = build_model(task, timestep, grain)
        self.data = mujoco.MjData(self.model)
        self.arms = tuple(task.arms)
        self._prefixes = {name: key_prefix(name, task.arms) for name in self.arms}
        self._world_in_base = {name: invert(np.array(arm.base_pose)) for name, arm in task.arms.items()}
        model, data = self.model, self.data
        self._body_views = {model.body(i).name: (data.xpos[i], data.xquat[i]) for i in range(model.nbody)}
        self._site_views = {
            model.site(i).name: (data.site_xpos[i], data.site_xmat[i].reshape(3, 3))
            for i in range(model.nsite)
        }
        self._arm_model = task.arm_model
        self._reset_q = {name: task.reset_q(name) for name in self.arms}
        self.physics = Physics(self.model, self.data, list(self._prefixes.values()))
        self._display: Renderer | None = None
        self._window: Window | None = None
        self._display_size: tuple[int, int] = DISPLAY_SIZE
        self.reset()

    def reset(self) -> None:
        """Everything as built, at time 0, arms in their joint reset postures, grippers open."""
        mujoco.mj_resetData(self.model, self.data)
        for number, name in enumerate(self.arms):
            self._put_arm(number, self._reset_q[name], 1.0)
            self.physics.arms[number].payload[:] = 0.0
        self._hold_all()

    def teleport(self, tcp_poses: Mapping[str, np.ndarray], gripper: Mapping[str, float]) -> None:
        """Put arms at TCP poses (7,), each in its base frame, and their fingers at openings.

        Raises:
            RobotError: a pose is out of reach.
        """
        if tcp_poses.keys() != gripper.keys():
            raise ConfigError(f"teleport needs an opening per arm: got {list(gripper)} for {list(tcp_poses)}")
        for name in tcp_poses:
            check_name(name, self.arms, "arm")
        for name, pose in tcp_poses.items():
            q = inverse_kinematics(self._arm_model, pose, self._reset_q[name])
            self._put_arm(self._number(name), q, gripper[name])
        self._hold_all()

    def _put_arm(self, number: int, q: np.ndarray, opening: float) -> None:
        arm = self.physics.arms[number]
        arm.q[:], arm.fingers[:] = q, opening * FINGER_TRAVEL
        arm.dq[:] = arm.finger_speeds[:] = 0.0
        arm.gripper_target[:] = arm.gripper[:] = _finger_aim(opening)

    def _number(self, arm: str) -> int:
        return self.arms.index(check_name(arm, self.arms, "arm"))

    def drive_gripper(self, number: int, opening: float) -> None:
        """Have the fingers of an arm move to an opening, 0 (squeezing) to 1, at their speed."""
        arm, target = self.physics.arms[number], _finger_aim(opening)
        if target != arm.gripper_target[0]:  # the aim sets out from where the fingers are
            arm.gripper_target[:], arm.gripper[:] = target, arm.fingers.mean()

    def _hold_all(self) -> None:
        self.refresh()
        for number in range(len(self.arms)):
            self.physics.hold(number)

    def refresh(self) -> None:
        """Recompute what follows from the state after it was edited."""
        self.physics.refresh()

    def grip(self, name: str, arm: str, pose_in_tcp: np.ndarray, thickness: float) -> None:
        """Put a free body between an arm's fingers and close them on it, at full force.

        Args:
            name: of the free body.
            pose_in_tcp: its pose (7,) in the arm's TCP frame.
            thickness: of the body between the fingers [m].
        """
        view = self.physics.arms[self._number(arm)]
        view.fingers[:] = max(0.0, (thickness - GRIP_DENT) / 2)
        tcp = self.pose(f"{self._prefixes[arm]}tcp")
        self.place(name, compose(tcp, check_array(pose_in_tcp, (7,), f"pose of {name!r}")))
        view.gripper_target[:] = view.gripper[:] = _finger_aim(0.0)
        self.refresh()

    def settle(self, seconds: float) -> None:
        """Let the world come to rest under the held arms."""
        self.physics.advance(seconds)

    def pose(self, name: str) -> np.ndarray:
        """Pose (7,) of a body or site in the world.

        Raises:
            ConfigError: no such body or site.
        """
        if name in self._body_views:
            position, quat_wxyz = self._body_views[name]
            return np.concatenate([position, wxyz_to_xyzw(quat_wxyz)])
        if name not in self._site_views:
            check_name(name, [*self._body_views, *self._site_views], "body or site")
        position, rotation = self._site_views[name]
        return np.concatenate([position, matrix_to_quat(rotation)])

    def pose_in_base(self, name: str, arm: str) -> np.ndarray:
        """Pose (7,) of a body or site in an arm's base frame.

        Of its two quaternions the one nearer to that of a body straight in the world, so
        that it jumps only half a turn away from there.
        """
        world_in_base = self._world_in_base[check_name(arm, self.arms, "arm")]
        pose = compose(world_in_base, self.pose(name))
        if np.dot(pose[3:], world_in_base[3:]) < 0:
            pose[3:] *= -1
        return pose

    def pose_in_tcp(self, name: str, arm: str) -> np.ndarray:
        """Pose (7,) of a body or site in an arm's TCP frame."""
        tcp = self.pose(f"{self._prefixes[check_name(arm, self.arms, 'arm')]}tcp")
        return compose(invert(tcp), self.pose(name))

    def place(self, name: str, pose: np.ndarray) -> None:
        """Put a free or `mocap` body at a pose (7,) in the world, at rest. Call `refresh` when done."""
        body = self.model.body(check_name(name, self._movable_bodies(), "free body"))
        pose = check_array(pose, (7,), f"pose of {name!r}")
        if (fixed := body.mocapid[0]) >= 0:
            self.data.mocap_pos[fixed], self.data.mocap_quat[fixed] = pose[:3], xyzw_to_wxyz(pose[3:])
            return
        joint = self.model.joint(body.jntadr[0])
        start, dof = joint.qposadr[0], joint.dofadr[0]
        self.data.qpos[start : start + 3] = pose[:3]
        self.data.qpos[start + 3 : start + 7] = xyzw_to_wxyz(pose[3:])
        self.data.qvel[dof : dof + 6] = 0.0

    def set_joint(self, name: str, value: float) -> None:
        """Put a hinge or slide joint of a prop at a position, at rest. Call `refresh` when done."""
        names = [self.model.joint(i).name for i in range(self.model.njnt)]
        joint = self.model.joint(check_name(name, names, "joint"))
        self.data.qpos[joint.qposadr[0]] = value
        self.data.qvel[joint.dofadr[0]] = 0.0

    def _movable_bodies(self) -> list[str]:
        free = self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        bodies = [*self.model.jnt_bodyid[free], *np.flatnonzero(self.model.body_mocapid >= 0)]
        return [self.model.body(body).name for body in bodies]

    def render(self, camera: str = "overview", size: tuple[int, int] = DISPLAY_SIZE) -> np.ndarray:
        """A picture for people (height, width, 3) uint8, with shadows and smooth edges."""
        if self._display is None or self._display_size != tuple(size):
            self._close_display()
            self._display, self._display_size = Renderer(self.model, *size, fast=False), tuple(size)
        return self._display.render(self.data, camera)

    def show(self) -> None:
        """Open a window on the world, or bring it up to date.

        Raises:
            RenderingError: there is no display.
        """
        if self._window is None:
            self._window = Window(self.model, self.data, "overview")
        self._window.update()

    def close(self) -> None:
        """Release renderer and window; safe to call twice."""
        self._close_display()
        if self._window is not None:
            self._window.close()
            self._window = None

    def _close_display(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None


def _finger_aim(opening: float) -> float:
    """Where the servo aims with each finger [m] for an opening, 0 (squeezing) to 1."""
    return opening * FINGER_TRAVEL if opening > 0 else GRIPPER_AIM
