"""Making devices by name, and the values and the fake of the protocol."""

import copy
import dataclasses

import numpy as np
import pytest

from hilserl_envs import teleop
from hilserl_envs.errors import ActionError, ConfigError
from hilserl_envs.teleop import ArmMotion, Device, FakeDevice, TeleopCommand, make_device
from tests.generic_env import GenericEnv


class Recorded(Device):
    """Keeps what it was made with."""

    @dataclasses.dataclass(frozen=True)
    class Settings:
        speed: float = 1.0
        buttons: tuple = ()
        label: str = ""
        on: bool = False

    def __init__(self, layout, settings):
        self.layout, self.settings = layout, settings

    def read(self):
        return TeleopCommand()


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(teleop, "DEVICES", {"recorded": f"{__name__}:Recorded"})


def test_names_carry_settings(recorded):
    device = make_device('recorded:speed=0.5,buttons=["close","open"],label=my pad,on=true', GenericEnv(2))
    assert device.settings == Recorded.Settings(0.5, ["close", "open"], "my pad", True)
    assert [arm.name for arm in device.layout] == ["left", "right"]
    assert make_device("recorded:speed=0.5", GenericEnv(), speed=0.2).settings.speed == 0.2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recordet", "did you mean 'recorded'"),
        ("recorded:sped=1", "did you mean 'speed'"),
        ("recorded:fast", "name=value"),
        (None, "a Device or a name"),
    ],
)
def test_mistakes_are_named(recorded, name, message):
    with pytest.raises(ConfigError, match=message):
        make_device(name, GenericEnv())


def test_a_device_is_passed_through_and_takes_no_settings():
    device = FakeDevice()
    assert make_device(device, GenericEnv()) is device
    with pytest.raises(ConfigError, match="come too late"):
        make_device(device, GenericEnv(), speed=1)
    assert copy.deepcopy({"device": device})["device"] is device


def test_every_device_is_where_the_list_says():
    for name in teleop.DEVICES:
        made = teleop.device_class(name)
        assert issubclass(made, Device) and dataclasses.is_dataclass(made.Settings)
        made.Settings()


@pytest.mark.parametrize("wrong", [np.zeros(5), np.full(6, np.nan), np.full(6, 1.01), "up", None])
def test_motions_that_are_none_are_refused(wrong):
    with pytest.raises(ActionError):
        ArmMotion(wrong)


def test_gripper_commands_are_words():
    with pytest.raises(ConfigError, match="unknown gripper command"):
        ArmMotion(gripper="shut")
    assert ArmMotion().still and not ArmMotion(gripper="open").still and not ArmMotion(np.eye(6)[3]).still
