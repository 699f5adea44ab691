import sys

import gymnasium
import numpy as np
import pytest

import hilserl_envs
from hilserl_envs.errors import ConfigError
from hilserl_envs.tasks import TASKS, env_id, find_task, make_task
from hilserl_envs.tasks.pick_cube import PickCube
from hilserl_envs.tasks.ram_insertion import RamInsertion
from hilserl_envs.tasks.setup import ArmSetup, Camera
from hilserl_envs.twin.robot import TwinRobot
from tests.generic_env import TwoArms


def test_a_task_of_ones_own_is_one_class_and_one_call():
    """With no file of the package touched, it is an id, a vector env and a `hilserl eval`."""
    name = hilserl_envs.register(TwoArms, namespace="mylab")
    try:
        env = gymnasium.make("mylab/TwoArms-v0", obs="state")
        observation, _ = env.reset(seed=0)
        assert set(observation["state"]) >= {
            "left/tcp_pose",
            "right/tcp_pose",
            "left/block_pose",
            "right/block_pose",
        }
        spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
        assert gymnasium.make(spec).unwrapped.task == env.unwrapped.task
        assert gymnasium.make_vec(name, num_envs=2, obs="state").num_envs == 2
        stacked = hilserl_envs.make_env("TwoArms", obs="state")
        assert stacked.action_space.shape == (13,)
        assert hilserl_envs.register(TwoArms, namespace="mylab") == name  # a notebook cell run again
        other = type("TwoArms", (TwoArms,), {"__qualname__": "Other.TwoArms"})
        with pytest.raises(ConfigError, match="registered already"):
            hilserl_envs.register(other, namespace="mylab")
    finally:
        del gymnasium.registry[name], TASKS[name]


@pytest.mark.parametrize("name", ["hilserl/PickCube-v0", "PickCube-v0", "PickCube"])
def test_tasks_are_found_by_every_form_of_their_name(name):
    assert env_id(name) == "hilserl/PickCube-v0"
    assert find_task(name) is PickCube


def test_tasks_are_found_by_import_path():
    assert find_task("hilserl_envs.tasks.pick_cube:PickCube") is PickCube
    with pytest.raises(ConfigError, match="cannot load the task"):
        find_task("no_such_module:Task")


def test_a_module_before_a_tasks_name_is_imported_as_in_gym_make(tmp_path, monkeypatch):
    (tmp_path / "lab_tasks.py").write_text(
        "import hilserl_envs\n"
        "from hilserl_envs.tasks.pick_cube import PickCube\n"
        "class PickPart(PickCube): ...\n"
        "hilserl_envs.register(PickPart, namespace='mylab')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        for name in ("lab_tasks:mylab/PickPart-v0", "lab_tasks:PickPart-v0", "lab_tasks:PickPart"):
            assert env_id(name) == "mylab/PickPart-v0"
            assert find_task(name).__name__ == "PickPart"
        assert env_id("PickPart") == "mylab/PickPart-v0"
        env = gymnasium.make("lab_tasks:mylab/PickPart-v0", obs="state")
        assert env.spec.id == "mylab/PickPart-v0"
        env.close()
        with pytest.raises(ConfigError, match="unknown task of 'lab_tasks' 'PickParts': did you mean"):
            env_id("lab_tasks:PickParts")
    finally:
        gymnasium.registry.pop("mylab/PickPart-v0", None)
        TASKS.pop("mylab/PickPart-v0", None)
        sys.modules.pop("lab_tasks", None)
    for name in ("no_such_module:PickPart", ".here:PickPart", ":PickPart"):
        with pytest.raises(ConfigError, match=f"cannot load the task '{name}'"):
            env_id(name)


def test_of_tasks_of_one_name_it_is_the_modules_own_and_the_newest(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").write_text("import lab.parts\n")
    (tmp_path / "lab" / "parts.py").write_text(
        "import hilserl_envs\n"
        "from hilserl_envs.tasks.pick_cube import PickCube as Public\n"
        "class PickCube(Public): ...\n"
        "for version in (0, 1):\n"
        "    hilserl_envs.register(PickCube, version, namespace='mylab')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        for name in ("lab:PickCube", "lab.parts:PickCube"):
            assert env_id(name) == "mylab/PickCube-v1" and find_task(name).__module__ == "lab.parts"
        assert env_id("lab:PickCube-v0") == "mylab/PickCube-v0"
        assert env_id("lab:hilserl/PickCube-v0") == env_id("PickCube-v0") == "hilserl/PickCube-v0"
    finally:
        for version in (0, 1):
            gymnasium.registry.pop(f"mylab/PickCube-v{version}", None)
            TASKS.pop(f"mylab/PickCube-v{version}", None)
        for module in ("lab", "lab.parts"):
            sys.modules.pop(module, None)


def test_settings_change_nested_fields_and_nothing_else():
    task = make_task("PickCube", {"cube_range": 0.05, "arms": {"arm": {"translation_scale": 0.01}}})
    assert task.cube_range == 0.05
    assert task.arms["arm"].translation_scale == 0.01
    assert task.arms["arm"].limits == PickCube().arms["arm"].limits
    assert PickCube().cube_range != 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cube_rang": 0.1}, "did you mean 'cube_range'"),
        ({"arms": {"arn": {}}}, "did you mean 'arm'"),
        ({"arms": {"arm": {"compliance": {"translational_stiffness": 9000}}}}, r"outside \[0, 6000\]"),
        ({"arms": {"arm": {"reset_pose": [0, 0, 0]}}}, r"shape \(7,\)"),
        ({"horizon": 0}, "at least 1"),
        ({"cube_range": {"low": 1}}, "whole new value"),
        ({"state_keys": ["tcp_posse"]}, "did you mean 'tcp_pose'"),
        ({"state_keys": ["q", "q"]}, "must differ"),
        ({"cube_range": "big"}, "must be a number"),
        ({"cube_range": -1}, r"outside \[0, 0.15\]"),
        ({"cube_range": float("nan")}, "outside"),
        ({"lift_height": None}, "must be a number"),
        ({"arms": None}, "mapping"),
        ({"cameras": None}, "mapping"),
        ({"arms": {"arm": {"gripper": "no"}}}, "True or False"),
        ({"arms": {"arm": {"reset_q": [3.0] * 7}}}, "joint limits"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_task("PickCube", settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reset_pose": (0.5, 0, 0.3, 0, 0, 0, 2)}, "unit quat_xyzw"),
        ({"position_range": (-0.1, 0, 0)}, "at least 0"),
        ({"translation_scale": 0}, "above 0"),
        ({"gripper_at_reset": 2}, "0 \\(closed\\) to 1"),
        ({"gravity": 1}, "unknown ArmSetup setting"),
    ],
)
def test_bad_arm_setups_are_refused(changes, message):
    good = {"reset_pose": (0.5, 0, 0.3, 1, 0, 0, 0), "limits": PickCube().arms["arm"].limits}
    with pytest.raises(ConfigError, match=message):
        ArmSetup(**good | changes)


def test_cameras_name_their_settings():
    with pytest.raises(ConfigError, match="did you mean 'fovy'"):
        Camera(fov=3)


def test_reset_poses_stay_in_their_range():
    arm = RamInsertion().arms["arm"]
    rng = np.random.default_rng(0)
    poses = np.array([arm.sample_reset_pose(rng) for _ in range(200)])
    offsets = poses[:, :3] - arm.reset_pose[:3]
    assert (np.abs(offsets) <= np.array(arm.position_range) + 1e-12).all()
    assert np.ptp(offsets[:, 0]) > 0.035  # 4 cm in all


def test_without_a_scene_nobody_can_tell_whether_a_cube_is_lifted():
    """As on a real robot."""
    robot = TwinRobot(PickCube())
    assert PickCube().succeeded(robot.read(), None) is False
    robot.close()


def test_only_tasks_that_can_be_found_again_are_registered():
    class Local(TwoArms):
        pass

    with pytest.raises(ConfigError, match="defined in a function"):
        hilserl_envs.register(Local)
    with pytest.raises(ConfigError, match="subclass of Task"):
        hilserl_envs.register(dict)
