"""`Topic` and `Action`: what other ROS nodes say, with its age, and what they do for us, with time-outs.

rospy waits for ever in many places; nothing here does.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hilserl_envs.errors import RobotError
from robot_servers.backends.ros_install import message_class

CONNECT_TIMEOUT = 5.0  # of an action server, to be there [s]
_POLL = 0.01  # [s]
_SUCCEEDED = 3  # of actionlib_msgs/GoalStatus


def within(seconds: float, doing: str, function: Callable, *arguments: Any) -> Any:
    """What `function` returns, or raises, if it does so in time; else it is left alone in its thread.

    Raises:
        RobotError: it took longer than `seconds`.
    """
    outcome: queue.SimpleQueue = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((function(*arguments), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise RobotError(f"{doing}: no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result


def wait_until(met: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition came to hold in time."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


class Topic:
    """The newest message of a topic, and how old it is."""

    def __init__(self, rospy: ModuleType, name: str, kind: type):
        self.name = name
        self._newest: tuple[float, Any] = (-float("inf"), None)
        self._subscriber = rospy.Subscriber(name, kind, self._take, queue_size=1, tcp_nodelay=True)

    def _take(self, message: Any) -> None:
        self._newest = time.monotonic(), message

    @property
    def message(self) -> Any:
        """The newest message, None before the first."""
        return self._newest[1]

    @property
    def age(self) -> float:
        """How long ago it came [s], infinity before the first."""
        return time.monotonic() - self._newest[0]

    def connected(self) -> bool:
        return self._subscriber.get_num_connections() > 0

    def close(self) -> None:
        self._subscriber.unregister()


class Action:
    """A client of an action server, one goal at a time; the newest goal's result counts."""

    _numbers = itertools.count()

    def __init__(self, rospy: ModuleType, name: str, package: str, action: str):
        self._rospy, self._name = rospy, name
        self._goal_class = message_class(package, f"{action}ActionGoal")
        self._result = Topic(rospy, f"{name}/result", message_class(package, f"{action}ActionResult"))
        self._goals = rospy.Publisher(f"{name}/goal", self._goal_class, queue_size=1, tcp_nodelay=True)

    def run(
        self, timeout: float, fill: Callable[[Any], None] = lambda goal: None, given_up=lambda: False
    ) -> Any:
        """Send a goal and wait for its result.

        Args:
            timeout: [s].
            fill: puts the values into a new goal.
            given_up: asked all the time; if it says so, nobody waits for the result any more.

        Returns:
            the result; None if given up.

        Raises:
            RobotError: no server, no result in time, or the server reports a failure.
        """
        if not wait_until(
            lambda: self._goals.get_num_connections() and self._result.connected(), CONNECT_TIMEOUT
        ):
            raise RobotError(f"nobody serves the action {self._name}: its node does not run")
        goal = self._goal_class()
        fill(goal.goal)
        goal.goal_id.id = f"hilserl-{os.getpid()}-{next(self._numbers)}"
        goal.goal_id.stamp = self._rospy.Time.now()
        self._goals.publish(goal)

        def answered() -> bool:
            result = self._result.message
            return result is not None and result.status.goal_id.id == goal.goal_id.id

        if not wait_until(lambda: answered() or given_up(), timeout):
            raise RobotError(f"the action {self._name} gave no result within {timeout:g} s")
        if not answered():
            return None
        result = self._result.message
        if result.status.status != _SUCCEEDED:
            why = getattr(result.result, "error", "") or result.status.text or "it says no more"
            raise RobotError(f"the action {self._name} failed: {why}")
        return result.result

    def close(self) -> None:
        self._result.close()
        self._goals.unregister()
