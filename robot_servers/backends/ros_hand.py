"""`RosHand`: the Franka hand through franka_gripper's node on ROS 1."""

from __future__ import annotations

import threading

from hilserl_envs.errors import RobotError
from robot_servers.backends.ros_node import RosNode
from robot_servers.grippers.franka_hand import FORCE, TOP_SPEED, WIDTH

STATES = "/franka_gripper/joint_states"
_STALE = 1.0  # the node publishes at 30 Hz [s]
_MOVE_TIMEOUT = 10.0  # the slowest move of interest [s]
_HOMING_TIMEOUT = 30.0


class RosHand:
    """The hand as a `robot_servers.parts.Gripper`. A thread of its own drives it.

    The hand does one thing at a time, and a new goal does not end the old one: where the wish
    changes on the way, the hand is stopped first.

    Args:
        node: of this process.
        force: with which it squeezes [N].
    """

    def __init__(self, node: RosNode, force: float = FORCE):
        self._force = force
        self._states = node.topic(STATES, "sensor_msgs", "JointState")
        self._actions = {
            name: node.action(f"/franka_gripper/{name}", "franka_gripper", name.capitalize())
            for name in ("move", "grasp", "stop", "homing")
        }
        self._changed = threading.Condition()
        self._wish: tuple[float, float] | None = None  # opening, speed
        self._done: tuple[float, float] | None = None  # the wish last taken up
        self._trouble: str | None = None
        self._closed = False
        self._hand = threading.Lock()  # who holds it may use the actions
        self._thread = threading.Thread(target=self._work, name="franka_hand", daemon=True)
        self._thread.start()

    def opening(self) -> float:
        """See `Gripper.opening`.

        Raises:
            RobotError: the hand's node is silent.
        """
        trouble = self._silence()
        if trouble is not None:
            raise RobotError(trouble)
        return min(max(sum(self._states.message.position) / WIDTH, 0.0), 1.0)

    def move(self, opening: float, speed: float = 1.0) -> None:
        with self._changed:
            if self._wish is None or self._wish[0] != opening:
                self._wish, self._trouble = (opening, speed), None
                self._changed.notify_all()

    def activate(self) -> None:
        """Home the hand: it opens and closes all the way, to find its width."""
        self._forget()
        with self._hand:
            self._actions["homing"].run(_HOMING_TIMEOUT)
        self._trouble = None

    def reset(self) -> None:
        """Stop what it does, and home it."""
        self._forget()
        with self._hand:
            self._actions["stop"].run(_MOVE_TIMEOUT)
        self.activate()

    def error(self) -> str | None:
        return "closed" if self._closed else self._silence() or self._trouble

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_MOVE_TIMEOUT)
        for part in (self._states, *self._actions.values()):
            part.close()

    def _silence(self) -> str | None:
        if self._states.age <= _STALE:
            return None
        return (
            f"the hand's node is silent: nothing on {STATES}. Is the hand mounted and switched on in Desk, "
            "and was the controller launched with load_gripper:=true?"
        )

    def _forget(self) -> None:
        with self._changed:
            self._wish = self._done = None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wish not in (None, self._done))
                if self._closed:
                    return
                wish = self._done = self._wish
            try:
                with self._hand:
                    self._fulfil(wish)
            except RobotError as error:
                with self._changed:
                    if self._wish == wish:
                        self._trouble = str(error)
                        self._wish = self._done = None  # so that the same wish is a new one

    def _fulfil(self, wish: tuple[float, float]) -> None:
        opening, speed = wish

        def fill(goal) -> None:
            goal.width, goal.speed = opening * WIDTH, speed * TOP_SPEED
            if opening == 0:  # squeeze, on whatever is between the fingers
                goal.force, goal.epsilon.inner, goal.epsilon.outer = self._force, WIDTH, WIDTH

        def given_up() -> bool:
            return self._closed or self._wish != wish

        action = self._actions["grasp" if opening == 0 else "move"]
        # A move that something blocks ends "unsuccessful" without an error: as far as things allow.
        if action.run(_MOVE_TIMEOUT, fill, given_up) is None and not self._closed:
            self._actions["stop"].run(_MOVE_TIMEOUT)
