"""This process as a node in a ROS 1 graph."""

from __future__ import annotations

import http.client
import importlib
import logging
import xmlrpc.client
from typing import Any

from hilserl_envs.errors import RobotError
from robot_servers.backends.ros_install import import_rospy, message_class
from robot_servers.backends.ros_topics import Action, Topic, within

NAME = "hilserl_robot_server"
TIMEOUT = 5.0  # of everything that asks the master or another node [s]


class _TimedTransport(xmlrpc.client.Transport):
    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT
        return connection


def _ask(uri: str, method: str, *arguments: Any) -> tuple[int, str, Any]:
    """One call of the API that the ROS master and all nodes serve: (1 where it worked, text, value)."""
    with xmlrpc.client.ServerProxy(uri, transport=_TimedTransport(), allow_none=True) as proxy:
        return getattr(proxy, method)(f"/{NAME}", *arguments)


class RosNode:
    """This process in the graph of the master at ROS_MASTER_URI.

    rospy allows one node a process, for as long as it lives: all objects of this class are that one.

    Raises:
        RobotError: ROS is not installed, its master does not answer, or is another than at first.
    """

    _joined: tuple[str, str] | None = None  # the master's address and the number of its run

    def __init__(self):
        self.rospy = import_rospy()
        joined = self._find_master()
        if RosNode._joined is None:
            self._join()
            RosNode._joined = joined
        self.check_master()

    def _join(self) -> None:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            # Unpatched, Noetic loops for ever in its logging there (ros/ros_comm#2296).
            within(
                2 * TIMEOUT,
                "rospy.init_node (ROS Noetic's own rospy hangs under Python 3.11 and later: use 3.10)",
                lambda: self.rospy.init_node(NAME, anonymous=True, disable_signals=True),
            )
        finally:
            # rospy sets up the logging of the whole process, which is not its own here.
            root.handlers[:] = handlers
            root.setLevel(level)

    def _ask_master(self, method: str, *arguments: Any) -> tuple[int, str, Any]:
        uri = importlib.import_module("rosgraph.rosenv").get_master_uri()
        try:
            return _ask(uri, method, *arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise RobotError(
                f"no ROS master answers at {uri} ({error}): start `roscore` there, or set ROS_MASTER_URI to "
                "the address of the one that runs"
            ) from None

    def _find_master(self) -> tuple[str, str]:
        worked, text, run = self._ask_master("getParam", "/run_id")
        uri = importlib.import_module("rosgraph.rosenv").get_master_uri()
        if worked != 1:
            raise RobotError(f"what answers at {uri} was not started by roscore: {text}")
        return uri, run

    def check_master(self) -> None:
        """Raises RobotError if the master does not answer, or is not the one that this node joined."""
        found = self._find_master()
        if found != RosNode._joined:
            raise RobotError(
                f"the ROS master at {found[0]} is not the one that this server joined: roscore was "
                "restarted, or ROS_MASTER_URI changed. Start this server again"
            )

    def topic(self, name: str, package: str, kind: str) -> Topic:
        return Topic(self.rospy, name, message_class(package, kind))

    def publisher(self, name: str, package: str, kind: str) -> Any:
        """A rospy.Publisher that sends in the background, the newest message only."""
        kind = message_class(package, kind)
        return self.rospy.Publisher(name, kind, queue_size=1, tcp_nodelay=True)

    def action(self, name: str, package: str, action: str) -> Action:
        return Action(self.rospy, name, package, action)

    def call(self, service: str, package: str, kind: str, *arguments: Any) -> Any:
        """What a service answers.

        Raises:
            RobotError: nobody offers it, it fails, or does not answer in time.
        """
        proxy = self.rospy.ServiceProxy(service, message_class(package, kind, "srv"))

        def ask() -> Any:
            proxy.wait_for_service(TIMEOUT / 2)
            return proxy(*arguments)

        try:
            return within(TIMEOUT, f"the service {service}", ask)
        except (self.rospy.ROSException, self.rospy.ServiceException) as error:
            raise RobotError(f"the service {service} does not work: {error}") from None
        finally:
            proxy.close()

    def parameter(self, name: str) -> Any:
        """A value on the parameter server, None where there is none."""
        worked, _, value = self._ask_master("getParam", name)
        return value if worked == 1 else None

    def set_parameter(self, name: str, value: Any) -> None:
        self._ask_master("setParam", name, value)

    def shut_down(self, node: str) -> None:
        """Ask another node to end; whoever launched it sees it end by itself.

        Raises:
            RobotError: it does not answer.
        """
        worked, _, uri = self._ask_master("lookupNode", node)
        if worked != 1:
            return  # it is not there
        try:
            _ask(uri, "shutdown", "stopped by the robot server")
        except (ConnectionError, http.client.RemoteDisconnected):
            return  # it was gone before it could answer, or the master had not noticed that it is
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise RobotError(f"the node {node} at {uri} does not answer: {error}") from None
