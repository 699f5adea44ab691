"""A ROS 1 world for tests: message classes made by genpy, a roscore of their own, and a stand-in arm."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs

PACKAGES = Path(__file__).with_name("ros_messages")
GENPY = Path("/usr/lib/genpy")
# Parts of a ROS action are messages, as actionlib's genaction makes them.
_ACTION_PARTS = {
    "ActionGoal": "std_msgs/Header header\nactionlib_msgs/GoalID goal_id\n{0}Goal goal\n",
    "ActionResult": "std_msgs/Header header\nactionlib_msgs/GoalStatus status\n{0}Result result\n",
}


def need_ros() -> None:
    """Skip where ROS 1 is not installed."""
    needs.program("roscore", "python3-roslaunch")
    needs.path(GENPY / "genmsg_py.py", "python3-genpy")
    for package in ("rospy", "dynamic_reconfigure", "geometry_msgs", "sensor_msgs", "actionlib_msgs"):
        folder = Path("/usr/lib/python3/dist-packages") / package
        needs.path(folder, f"python3-{package.replace('_', '-')}")
    for package in ("std_msgs", "actionlib_msgs"):
        needs.path(Path("/usr/share") / package / "msg", f"ros-{package.replace('_', '-')}")


def generate_messages(folder: Path) -> None:
    """Make Python packages in `folder` of the definitions in `ros_messages`."""
    sources = folder / "definitions"
    shutil.copytree(PACKAGES, sources)
    for action in sources.glob("*/action/*.action"):
        goal, result = action.read_text().split("---\n")
        texts = {name: text.format(action.stem) for name, text in _ACTION_PARTS.items()}
        for name, text in (texts | {"Goal": goal, "Result": result}).items():
            (action.parents[1] / "msg" / f"{action.stem}{name}.msg").parent.mkdir(exist_ok=True)
            (action.parents[1] / "msg" / f"{action.stem}{name}.msg").write_text(text)
    packages = [path for path in sources.iterdir() if path.is_dir()]
    include = [f"-I{name}:/usr/share/{name}/msg" for name in ("std_msgs", "actionlib_msgs")]
    include += [f"-I{package.name}:{package}/msg" for package in packages]
    for package in packages:
        for kind, program in (("msg", "genmsg_py.py"), ("srv", "gensrv_py.py")):
            files = [str(file) for file in sorted(package.glob(f"{kind}/*.{kind}"))]
            if files:
                made = folder / package.name / kind
                made.mkdir(parents=True)
                (folder / package.name / "__init__.py").touch()
                common = ["/usr/bin/python3", str(GENPY / program), "-p", package.name, "-o", str(made)]
                subprocess.run([*common, *include, *files], check=True)
                subprocess.run([*common, "--initpy"], check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def roscore(port: int, environment: dict[str, str]) -> Iterator[None]:
    """A ROS master on a port."""
    process = subprocess.Popen(
        ["roscore", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    master = xmlrpc.client.ServerProxy(f"http://localhost:{port}")
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if master.lookupNode("/test", "/rosout")[0] == 1:  # it has come up as a whole
                    break
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def ros_world(folder: Path) -> Iterator[Path]:
    """ROS on this machine, for this process and those that it starts; yields the stand-in's state file."""
    need_ros()
    generate_messages(folder)
    port, state = free_port(), folder / "arm"
    # Launch files and messages; our own package, for the stand-in.
    path = [str(folder), str(PACKAGES.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_MASTER_URI", f"http://localhost:{port}")
        patch.setenv("ROS_HOSTNAME", "localhost")
        patch.setenv("ROS_PACKAGE_PATH", str(PACKAGES))
        patch.setenv("ROS_HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.setenv("STAND_IN_PYTHON", sys.executable)
        patch.setenv("STAND_IN_STATE", str(state))
        patch.syspath_prepend(str(folder))
        with roscore(port, dict(os.environ)):
            yield state
