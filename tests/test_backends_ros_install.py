"""Where ROS 1 or a part of it is missing, the error says what to install. Needs no ROS."""

import subprocess
import sys
from pathlib import Path

import pytest

from hilserl_envs.errors import RobotError
from robot_servers.backends import ros_install
from robot_servers.backends.ros_install import message_class

IMPORT = """
import logging, sys
from pathlib import Path
from robot_servers.backends import ros_install
ros_install.DEBIAN_PACKAGES = Path(sys.argv[1])
kind = logging.getLoggerClass()
try:
    print(ros_install.import_rospy().answer, sys.path[-1] == sys.argv[1], logging.getLoggerClass() is kind)
except Exception as error:
    print(type(error).__name__, error)
"""


def import_with(debian: Path) -> str:
    """What a process says that finds rospy, or does not, in a folder like Debian's."""
    command = [sys.executable, "-c", IMPORT, str(debian)]
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": root, "PATH": "/usr/bin"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def make_rospy(folder: Path, source: str) -> None:
    (folder / "rospy").mkdir()
    (folder / "rospy" / "__init__.py").write_text(source)


def test_rospy_is_found_among_debians_packages_last_on_the_path_and_leaves_logging_alone(tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    take_over = "import logging, numpy\nanswer = 42\nlogging.setLoggerClass(type('L', (logging.Logger,), {}))"
    make_rospy(tmp_path, take_over)
    assert import_with(tmp_path).split() == ["42", "True", "True"]


def test_without_ros_the_error_says_what_to_source_or_install(tmp_path):
    said = import_with(tmp_path / "nothing")
    assert said.startswith("RobotError ROS 1 is not within reach")
    assert "setup.bash" in said and "apt-get install python3-rospy" in said


def test_a_module_that_rospy_lacks_is_named(tmp_path):
    make_rospy(tmp_path, "import a_module_of_its_own")
    said = import_with(tmp_path)
    assert "'a_module_of_its_own'" in said and "pip install rospkg" in said


def test_a_missing_message_package_or_message_is_named(tmp_path, monkeypatch):
    with pytest.raises(RobotError, match="the ROS package 'lab_msgs' is missing.*devel/setup.bash"):
        message_class("lab_msgs", "State")
    (tmp_path / "old_msgs" / "msg").mkdir(parents=True)
    (tmp_path / "old_msgs" / "msg" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RobotError, match="'old_msgs' has no msg 'State': update it"):
        message_class("old_msgs", "State")


def test_debians_folder_is_the_systems_own():
    # A typo there would be found by no test where ROS's packages come first for another reason.
    assert str(ros_install.DEBIAN_PACKAGES) == "/usr/lib/python3/dist-packages"
