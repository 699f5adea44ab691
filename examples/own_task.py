"""Add a task of your own: push a puck to the mark. One class, one call to register it."""

from dataclasses import dataclass, field

import gymnasium as gym
import mujoco
import numpy as np

import hilserl_envs
from hilserl_envs.safety import Limits
from hilserl_envs.tasks.setup import ArmSetup, Camera
from hilserl_envs.tasks.task import Task, expert_displacement
from hilserl_envs.twin.props import add_block

MARK = np.array([0.60, 0.0])  # where the puck shall go [m]


def one_arm():
    limits = Limits(low=(0.35, -0.15, 0.02), high=(0.65, 0.15, 0.30), rotation=(0.1, 0.1, 0.5))
    start = (0.40, 0.0, 0.10, 1.0, 0.0, 0.0, 0.0)  # xyz [m], quat_xyzw: pointing down
    return {"arm": ArmSetup(start, limits, translation_scale=0.03, gripper_at_reset=0.0)}


@dataclass(frozen=True)
class PushPuck(Task):
    """Push a puck to the mark."""

    arms: dict = field(default_factory=one_arm)
    cameras: dict = field(default_factory=lambda: {"front": Camera()})
    overview: Camera = Camera(position=(1.2, -0.8, 0.8), look_at=(0.5, 0.0, 0.1))
    state_keys: tuple = ("tcp_pose", "tcp_vel", "tcp_force")
    objects: tuple = ("puck",)
    horizon: int = 60

    def build(self, spec):
        add_block(spec, "puck", (0.02, 0.02, 0.02), mass=0.05, rgba=(0.2, 0.4, 0.8, 1))
        mark = [*MARK, 0.0]
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=mark, size=[0.03, 0.0005, 0], rgba=[0.9, 0.8, 0.2, 1],
            contype=0, conaffinity=0,
        )  # fmt: skip

    def arrange(self, scene, rng, in_motion):
        scene.place("puck", np.array([0.48, rng.uniform(-0.02, 0.02), 0.02, 0, 0, 0, 1]))
        scene.refresh()

    def succeeded(self, state, scene):
        return scene is not None and bool(np.linalg.norm(scene.pose("puck")[:2] - MARK) < 0.015)

    def expert(self, rng):
        def act(state, scene):
            tcp, puck = state.arms["arm"].tcp_pose, scene.pose("puck")
            target = np.array(self.arms["arm"].reset_pose)
            way = (MARK - puck[:2]) / np.linalg.norm(MARK - puck[:2])
            beside = abs(way[0] * (tcp[1] - puck[1]) - way[1] * (tcp[0] - puck[0]))
            pushing = beside < 0.006 and tcp[2] < 0.04
            target[:2] = puck[:2] + (0.05 if pushing else -0.045) * way
            target[2] = 0.025
            return expert_displacement(self.arms["arm"], tcp, target)

        return act


hilserl_envs.register(PushPuck, namespace="mylab")

if __name__ == "__main__":
    env = gym.make("mylab/PushPuck-v0", obs="state")
    base = env.unwrapped
    for seed in range(3):
        env.reset(seed=seed)
        act, over, steps = base.task.expert(np.random.default_rng(seed)), False, 0
        while not over:
            _, _, terminated, truncated, info = env.step(act(base.robot_state, base.robot.scene))
            over, steps = terminated or truncated, steps + 1
        print(f"seed {seed}: success {info['is_success']} after {steps} steps")
    env.close()
