"""A simulated FR3 with its hand as a process of its own: `franky_sim`, which speaks libfranka's protocol.

As a program it simulates: `python -m tests.franka_simulator 127.0.0.3`. A cube of 4 cm stands in
front of the arm. It takes one line at a time on standard input and answers each with a line:
`cube` with the cube's height [m], `push N` after pushing the hand along x with N newtons from now on.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests import needs

CUBE = (0.5, 0.0, 0.02)  # where it stands [m]
START = (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)  # joint positions [rad]
PATIENCE = 0.3  # with a client that sends no torques [s]
# The protocol's ports are fixed, so every simulator has an address of its own, and so does
# every process that starts some.
_addresses = (f"127.{1 + os.getpid() % 200}.{os.getpid() // 200 % 250}.{n}" for n in itertools.count(1))


class FrankaSimulator:
    """The simulator as a context. Its pace is its own; time in it is the robot's.

    Attributes:
        host: the robot's address.
    """

    def __enter__(self) -> FrankaSimulator:
        needs.module("franky_sim", "test")
        self.host = next(_addresses)
        self._start()
        return self

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.franka_simulator", self.host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert self._process.stdout.readline(), "the simulator did not start"

    def ask(self, line: str) -> Any:
        """Its answer to a line."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def freeze(self, frozen: bool = True) -> None:
        """Stop it where it is, as a network that carries nothing, or let it go on."""
        os.kill(self._process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def kill(self) -> None:
        """As if its power went."""
        self._process.kill()
        self._process.communicate()

    def restart(self) -> None:
        """At the same address, after `kill`."""
        self._start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def simulate(host: str) -> None:
    import franky_sim.franka_gripper_server as hand
    import franky_sim.franka_robot_server as arm
    import franky_sim.simulation_server as simulation
    from franky_sim.franka_server import BaseCommand
    from franky_sim.mujoco_simulator import MujocoSimulator

    class Hand(hand.FrankaGripperServer):
        """Answers the command that a stop interrupts, as the real one does: franky_sim forgets it."""

        def stop(self, command_id, tcp_socket):
            if self._pending_command_id is not None:
                BaseCommand.send_response(
                    self._pending_tcp_socket,
                    self._pending_command_type,
                    self._pending_command_id,
                    hand.GripperCommandStatus.kAborted,
                    command_type_struct="H",
                    status_type_struct="H",
                )
            super().stop(command_id, tcp_socket)

    class Arm(arm.FrankaRobotServer):
        """Waits for each torque, so that a busy computer makes both sides slow and neither late."""

        torques = 0  # of this motion

        def start_motion(self, *arguments):
            self.torques = 0
            super().start_motion(*arguments)

        def _handle_udp_command(self, command_data):
            self.torques += 1
            super()._handle_udp_command(command_data)

        def process_commands(self):
            had, end = self.torques, time.monotonic() + PATIENCE
            super().process_commands()
            while 0 < had == self.torques and self.current_motion_id and time.monotonic() < end:
                time.sleep(0.0002)
                super().process_commands()

    arm.FrankaGripperServer, simulation.FrankaRobotServer = Hand, Arm
    with MujocoSimulator() as simulator:
        cube = ElementTree.SubElement(simulator.worldbody, "body", name="cube", pos=" ".join(map(str, CUBE)))
        ElementTree.SubElement(cube, "freejoint")
        shape = {"type": "box", "size": "0.02 0.02 0.02", "mass": "0.05", "friction": "1.5 0.05 0.001"}
        ElementTree.SubElement(cube, "geom", condim="4", **shape)
        simulator.add_robot(initial_q=START)
        with simulation.SimulationServer(simulator, hostname_candidates=[host]) as server:
            server.run_async()
            print("ready", flush=True)
            for line in sys.stdin:
                match line.split():
                    case ["cube"]:
                        print(float(simulator.data.body("cube").xpos[2]), flush=True)
                    case ["push", force]:
                        simulator.data.body("robot0_hand").xfrc_applied[0] = float(force)
                        print("true", flush=True)


if __name__ == "__main__":
    simulate(sys.argv[1])
