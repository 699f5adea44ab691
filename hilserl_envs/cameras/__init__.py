"""Cameras of a real robot."""

from hilserl_envs.cameras.camera import Camera, FakeCamera, Frame
from hilserl_envs.cameras.reader import CameraReader
from hilserl_envs.cameras.realsense import RealSenseSettings, realsense_camera
from hilserl_envs.cameras.views import CameraView

__all__ = [
    "Camera",
    "CameraReader",
    "CameraView",
    "FakeCamera",
    "Frame",
    "RealSenseSettings",
    "realsense_camera",
]
