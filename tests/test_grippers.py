"""Grippers by name, one for each arm."""

import threading

import pytest

from hilserl_envs.errors import ConfigError, RobotError
from robot_servers.grippers import make_grippers
from tests import needs


@pytest.fixture
def server():
    needs.module("pymodbus", "server")
    from tests.robotiq_stand_in import RobotiqServer

    made = RobotiqServer()
    yield made
    made.close()


def test_each_arm_gets_its_own_with_its_settings(server):
    from tests.robotiq_stand_in import RobotiqServer

    other = RobotiqServer()
    addresses = (f"{server.address},force=1,activate=false", other.address)
    grippers = make_grippers("robotiq", addresses, ("left", "right"))
    assert list(grippers) == ["left", "right"]
    for gripper, there in zip(grippers.values(), (server, other), strict=True):
        assert there.address in str(gripper) and gripper.error() is None
        gripper.close()
    other.close()


def test_none_is_none():
    assert make_grippers("none", (), ("arm",)) == {}


def test_where_one_does_not_answer_the_others_are_closed_again(server):
    with pytest.raises(RobotError, match="Robotiq at 127.0.0.1:1 does not answer"):
        make_grippers("robotiq", (server.address, "127.0.0.1:1"), ("left", "right"))
    assert not [thread for thread in threading.enumerate() if "Robotiq" in thread.name]


@pytest.mark.parametrize(
    "name, addresses, message",
    [
        ("robotic", ("10.0.0.4",), "unknown gripper 'robotic': did you mean 'robotiq'.*none"),
        ("robotiq", (), r"takes an address for each arm \(arm\), got \[\]"),
        ("robotiq", ("a", "b"), "takes an address for each arm"),
        ("none", ("10.0.0.4",), "takes no address"),
        ("robotiq", ("",), "the address of a Robotiq is missing"),
        ("robotiq", ("10.0.0.4,forse=1",), "did you mean 'force'"),
        ("robotiq", ("10.0.0.4,force=much",), "got 'force=much'"),
        ("robotiq", ("10.0.0.4,force=7",), "force = 7 is outside"),
        ("robotiq", ("10.0.0.4,address=3",), "unknown setting of a Robotiq 'address'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_moves(name, addresses, message):
    with pytest.raises(ConfigError, match=message):
        make_grippers(name, addresses, ("arm",))
