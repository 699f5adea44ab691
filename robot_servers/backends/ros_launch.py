"""`Launch`: a `roslaunch` of ours, in the background."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from hilserl_envs.errors import RobotError

# roslaunch asks its nodes to end, waits so long [s], then insists, then kills.
_ASK, _INSIST = 3.0, 2.0
_STOP_TIMEOUT = 30.0  # then roslaunch itself is killed [s]
_TAIL, _LINES = 8192, 3  # of its output: looked at [bytes], and in error messages
_COLOURS = re.compile(r"\x1b(\[[0-9;]*m|\][^\x07]*\x07)")  # and window titles


def check_launch_file(package: str, file: str) -> None:
    """Raise RobotError if there is no `roslaunch`, no such ROS package, or no such launch file in it."""
    import rospkg  # comes with rospy

    if shutil.which("roslaunch") is None:
        raise RobotError(
            "there is no program roslaunch: before starting the server, source ROS's setup.bash; or on "
            "Debian: apt-get install python3-roslaunch"
        )
    try:
        folder = Path(rospkg.RosPack().get_path(package))
    except rospkg.ResourceNotFound:
        raise RobotError(
            f"no ROS package {package!r} in ROS_PACKAGE_PATH, which is "
            f"{os.environ.get('ROS_PACKAGE_PATH', 'not set')}: build it in your catkin workspace, and source "
            "the workspace's devel/setup.bash before starting the server"
        ) from None
    if not (folder / "launch" / file).is_file():
        found = sorted(path.name for path in (folder / "launch").glob("*.launch"))
        raise RobotError(f"the ROS package {package!r} in {folder} has no launch/{file}; it has {found}")


class Launch:
    """A running `roslaunch PACKAGE FILE NAME:=VALUE ...`. Its output goes to a temporary file.

    It has a process group of its own: Ctrl-C in the server's terminal is for the server, which
    ends it in good order. See `check_launch_file` for what it takes.
    """

    def __init__(self, package: str, file: str, arguments: Mapping[str, str]):
        self.file = file
        self._stopping = threading.Lock()
        self._output = tempfile.TemporaryFile()
        # --wait: without a master roslaunch would start one of its own.
        command = ["roslaunch", "--wait", f"--sigint-timeout={_ASK}", f"--sigterm-timeout={_INSIST}"]
        self._process = subprocess.Popen(
            [*command, package, file, *(f"{name}:={value}" for name, value in arguments.items())],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ended(self) -> str | None:
        """What it said last if it ended, None while it runs."""
        if self._process.poll() is None:
            return None
        text = b""
        with contextlib.suppress(ValueError):  # closed by `stop`
            file = self._output.fileno()
            text = os.pread(file, _TAIL, max(0, os.fstat(file).st_size - _TAIL))
        # What a node said last stands before the box in which roslaunch says that it died.
        text = _COLOURS.sub("", text.decode(errors="replace")).partition("=" * 20)[0]
        said = [line.strip() for line in text.splitlines() if line.strip()]
        return f"roslaunch {self.file} ended: {' | '.join(said[-_LINES:])}"

    def stop(self) -> None:
        """End it and all that it started; returns when it is gone. Safe to call twice, by several threads."""
        with self._stopping:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                try:
                    self._process.wait(_STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self._process.pid, signal.SIGKILL)
                    self._process.wait()
                    raise RobotError(
                        f"roslaunch {self.file} did not end within {_STOP_TIMEOUT:g} s and was killed: use "
                        "the arm's own emergency stop, and look for nodes that still run with `rosnode list`"
                    ) from None
            self._output.close()
