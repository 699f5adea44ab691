"""Tests of `hilserl serve` and `python -m robot_servers`, as processes."""

import dataclasses
import json
import re
import signal
import subprocess
import sys

import pytest
import requests

from hilserl_envs.cli import main
from robot_servers.backends import BackendSettings
from robot_servers.limits import GuardSettings

FAST = ["--task", "RamInsertion", "--port", "0", "--speed", "2", "--image-size", "64"]


def start(*args, module="robot_servers"):
    """A server process, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    found = re.search(r"http://[\d.]+:\d+", line)
    if found is None:
        process.kill()
        pytest.fail(f"no address in {line!r}: {process.communicate()[1]}")
    return process, found.group()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_twin_until_it_is_asked_to_end(number):
    process, url = start(*FAST, "--deadman", "0.3", "--max-jump", "0.05", "--max-force", "20", "--json")
    try:
        about = requests.get(f"{url}/robot", timeout=10).json()
        assert (about["backend"], about["task"], about["speed"]) == ("twin", "RamInsertion", 2.0)
        assert about["deadman"] == 0.3
        assert (about["limits"]["max_jump"], about["limits"]["max_force"]) == (0.05, 20)
        assert about["cameras"]["wrist_1"] == [64, 64]
        requests.post(f"{url}/emergency_stop", json={"why": "try"}, timeout=10).raise_for_status()
        assert requests.post(f"{url}/pose", json={"arr": []}, timeout=10).status_code == 400
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert re.search(r"^[\d-]+ [\d:,]+ emergency stop: 'try'$", err, re.MULTILINE)
        assert re.search(r"^[\d-]+ [\d:,]+ 127.0.0.1 POST '/emergency_stop': 200$", err, re.MULTILINE)
        assert "/pose" not in err  # comes ten times a second
        assert process.returncode == 0 and "Traceback" not in err
        assert json.loads(out.splitlines()[-1]) == {"ok": True, "url": url}
    finally:
        process.kill()
        process.wait()


def test_a_token_file_is_made_and_asked_for(tmp_path):
    path = tmp_path / "token"
    args = [*FAST, "--token-file", str(path)]
    process, url = start("serve", *args, module="hilserl_envs")
    try:
        token = path.read_text().strip()
        assert requests.get(f"{url}/state", timeout=10).status_code == 401
        key = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{url}/state", headers=key, timeout=10).ok
        assert token not in process.stdout.readline()  # terminals are seen, and logged
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "args, message",
    [
        (["--host", "0.0.0.0", "--task", "RamInsertion"], "give a --token-file"),
        (["--task", "RamInsertio"], "RamInsertion"),
        ([], "--task RamInsertion"),
        (["--robot", "franka"], "unknown robot 'franka'"),
        (["--robot", "twin", "--task", "RamInsertion", "--robot-ip", "1.2.3.4"], "takes no robot_ip"),
        (["--task", "RamInsertion", "--arm-model", "fr4"], "arm_model"),
    ],
)
def test_what_makes_no_sense_is_a_plain_word(args, message, capsys):
    assert main(["serve", *args]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "args, message",
    [
        (["--box-low", "1", "1", "1"], "must be below its high corner"),
        (["--speed", "0"], "BackendSettings.speed = 0.0 is outside"),
        (["--deadman", "0"], "GuardSettings.deadman = 0.0 is outside"),
        (["--max-force", "nan"], "GuardSettings.max_force = nan is outside"),
        (["--gripper", "hand"], "unknown gripper 'hand'"),
    ],
)
def test_settings_out_of_range_are_told_before_anything_starts(args, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--task", "RamInsertion", *args])
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_every_setting_is_a_flag(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = capsys.readouterr().out
    for settings, left_out in ((BackendSettings, "task"), (GuardSettings, None)):
        for field in dataclasses.fields(settings):
            assert field.name == left_out or f"--{field.name.replace('_', '-')}" in said
