"""Make the pictures of the README and the docs: the arm, both pages, one task in six worlds, and of
each task a picture and a clip.

Run it again when a task or the arm looks different: python docs/make_pictures.py; or only for some
tasks: python docs/make_pictures.py TimingBelt SsdAssembly
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import requests
from PIL import Image

import hilserl_envs
from hilserl_envs.images import fit_image, save_png
from hilserl_envs.policies import ExpertPolicy
from hilserl_envs.tasks import TASKS, make_task
from hilserl_envs.twin.rendering import Renderer
from hilserl_envs.wrappers import LiveView
from robot_servers.backends import BackendSettings
from robot_servers.serve import open_server

FOLDER = Path(__file__).parent / "images"
SIZE = (480, 640)
DRAWN = (960, 1280)  # then halved: smoother edges
CLIP_SIZE, CLIP_QUALITY = (240, 320), 60
# When an episode is worth a look, as a fraction of its steps.
MOMENTS = {"PickCube": 0.85, "RamInsertion": 0.55, "ObjectFlip": 0.27, "JengaWhip": 0.5}
SEED = 1
CONSOLE_EPISODES = 8  # half a minute, which its plots show
PUSHING = 3.0  # [N]
DESCENDED = 12  # steps until the module is near its slot


def picture_of_page() -> np.ndarray:
    """The operator's page, in Chromium, while somebody drives."""
    from playwright.sync_api import sync_playwright

    env = LiveView(hilserl_envs.make_env("PickCube", device="browser"))
    env.reset(seed=SEED)
    env.note(message="Move to begin", wanted=20)
    idle = np.zeros(env.action_space.shape)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(env.get_wrapper_attr("device").url)
        page.wait_for_selector("text=PickCube")
        env.note(message="")
        for key, steps in (("s", 6), ("f", 12)):
            page.keyboard.down(key)
            for _ in range(steps):
                *_, info = env.step(idle)
            assert info["intervened"]
            page.wait_for_timeout(300)
            if key == "s":
                page.keyboard.up(key)
        picture = page.screenshot()
    env.close()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def picture_of_console() -> np.ndarray:
    """The robot server's page, in Chromium, while an expert inserts one module after another."""
    from playwright.sync_api import sync_playwright

    server = open_server("twin", BackendSettings(task=make_task("RamInsertion")))
    env = gym.make("hilserl/RamInsertion-v0", robot=server.url)
    expert = ExpertPolicy(env)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 960})
        page.goto(server.url)
        page.wait_for_selector("text=READY")
        for seed in range(CONSOLE_EPISODES):
            requests.post(f"{server.url}/twin/rearrange", json={"seed": seed}, timeout=10)
            observation, _ = env.reset(seed=seed)
            expert.start(seed)
            over = False
            while not over:
                observation, _, terminated, truncated, _ = env.step(expert(observation))
                pushing = seed == CONSOLE_EPISODES - 1 and observation["state"]["tcp_force"][2] > PUSHING
                over = terminated or truncated or pushing
        picture = page.screenshot()
    env.close()
    server.close()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def film_of_task(env_id: str) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """An expert's episode: from the overview camera, and what the policy's cameras see, at every step."""
    env = gym.make(env_id, obs="both")
    expert = ExpertPolicy(env)
    frames = []
    observation, _ = env.reset(seed=SEED)
    expert.start(SEED)
    over = False
    while not over:
        observation, _, terminated, truncated, _ = env.step(expert(observation))
        frames.append((env.unwrapped.robot.scene.render(size=DRAWN), list(observation["images"].values())))
        over = terminated or truncated
    env.close()
    return frames


def save_task(env_id: str, name: str) -> None:
    """The picture of a task, and its clip."""
    frames = film_of_task(env_id)
    picture, views = frames[round(MOMENTS.get(name, 0.7) * (len(frames) - 1))]
    save(name, with_insets(fit_image(picture, SIZE), views))
    clip = [Image.fromarray(fit_image(picture, CLIP_SIZE)) for picture, _ in frames]
    path = FOLDER / f"{name}.webp"
    clip[0].save(path, save_all=True, append_images=clip[1:], duration=100, loop=0, quality=CLIP_QUALITY)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def with_insets(picture: np.ndarray, views: list[np.ndarray], gap: int = 8, edge: int = 2) -> np.ndarray:
    """`picture` with small images, framed in white, down its right side."""
    picture = picture.copy()
    top = gap
    for view in views:
        framed = np.pad(view, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
        height, width = framed.shape[:2]
        picture[top : top + height, -gap - width : -gap] = framed
        top += height + gap
    return picture


def picture_of_randomisation() -> np.ndarray:
    """The same moment in six worlds, each from its overview with what a wrist camera sees in the corner."""
    env = gym.make("hilserl/RamInsertion-v0", obs="both", randomise=True)
    expert = ExpertPolicy(env)
    pictures = []
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        expert.start(seed)
        for _ in range(DESCENDED):
            observation, *_ = env.step(expert(observation))
        overview = fit_image(env.unwrapped.robot.scene.render(size=SIZE), (240, 320))
        pictures.append(with_insets(overview, [observation["images"]["wrist_1"]], gap=4, edge=1))
    env.close()
    return np.concatenate([np.concatenate(pictures[row : row + 3], axis=1) for row in (0, 3)])


def picture_of_arm() -> np.ndarray:
    """The arm in its reset posture."""
    env = gym.make("hilserl/PickCube-v0", obs="state")
    env.reset(seed=SEED)
    scene = env.unwrapped.robot.scene
    camera = mujoco.MjvCamera()
    camera.lookat[:], camera.distance, camera.azimuth, camera.elevation = (0.27, 0.0, 0.36), 1.55, 140, -20
    with Renderer(scene.model, *DRAWN, fast=False) as renderer:
        picture = renderer.render(scene.data, camera)
    env.close()
    return fit_image(picture, SIZE)


def save(name: str, picture: np.ndarray) -> None:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.png"
    save_png(path, picture)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def main(names: list[str]) -> None:
    if not names:
        save("arm", picture_of_arm())
        save("randomisation", picture_of_randomisation())
        save("operator", picture_of_page())
        save("console", picture_of_console())
    for env_id, task in TASKS.items():
        if not names or task.__name__ in names:
            save_task(env_id, task.__name__)


if __name__ == "__main__":
    main(sys.argv[1:])
