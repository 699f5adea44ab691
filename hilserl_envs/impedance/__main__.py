"""Replay a recording of a controller through our law, and compare."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from hilserl_envs.errors import ConfigError, check_array
from hilserl_envs.impedance import (
    Compliance,
    impedance_torque,
    new_memory,
    new_parameters,
    set_compliance,
    set_target,
    start,
)

SIZES = {
    "q": 7,
    "dq": 7,
    "position": 3,
    "quat_xyzw": 4,
    "jacobian_rowmajor": 42,
    "coriolis": 7,
    "tau_J_d": 7,
    "tau": 7,
}


def replay(ticks: list[dict]) -> np.ndarray:
    """Run the law over a recording of a controller and compare.

    Args:
        ticks: one dict a tick, in order: `q`, `dq`, `position`, `quat_xyzw`,
            `jacobian_rowmajor` (42), `coriolis`, `tau_J_d` (torque commanded in the
            tick before) and `tau` (torque commanded in this one), optionally `params`
            (names of `Compliance`) and `target` (xyz + quat_xyzw), which hold from
            this tick on. Parameters that are not named keep their last value. The first
            pose is the first target, the first q the posture.

    Returns:
        (ticks, 7) difference of our torque to the recorded one [Nm].

    Raises:
        ConfigError: not such a list; says which tick and key is wrong.
    """
    if not isinstance(ticks, list) or not ticks:
        raise ConfigError(f"a recording is a list of at least one tick, got {_short(ticks)}")
    parameters, memory, compliance = new_parameters(), new_memory(), Compliance()
    difference, torque = np.empty((len(ticks), 7)), np.empty(7)
    for number, tick in enumerate(ticks):
        if not isinstance(tick, dict):
            raise ConfigError(
                f"tick {number} must be an object with keys {', '.join(SIZES)}; got {_short(tick)}"
            )
        if missing := [f"{key} ({size})" for key, size in SIZES.items() if key not in tick]:
            raise ConfigError(f"tick {number} lacks numbers: expected {', '.join(missing)}")
        values = {key: check_array(tick[key], (n,), f"tick {number}: {key}") for key, n in SIZES.items()}
        jacobian = values["jacobian_rowmajor"].reshape(6, 7)
        if number == 0:
            start(memory, values["q"], values["position"], values["quat_xyzw"])
        if "params" in tick:
            if not isinstance(tick["params"], dict):
                raise ConfigError(f"tick {number}: params must be an object, got {_short(tick['params'])}")
            compliance = dataclasses.replace(compliance, **tick["params"])
            set_compliance(parameters, compliance)
        if "target" in tick:
            target = check_array(tick["target"], (7,), f"tick {number}: target")
            set_target(memory, target[:3], target[3:])
        impedance_torque(
            parameters, memory, values["q"], values["dq"], values["position"], values["quat_xyzw"],
            jacobian, values["coriolis"], values["tau_J_d"], torque,
        )  # fmt: skip
        difference[number] = torque - values["tau"]
    return difference


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def main(arguments: list[str]) -> int:
    """`python -m hilserl_envs.impedance replay FILE [--json]`."""
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"]
    if len(arguments) != 2 or arguments[0] != "replay":
        print("usage: python -m hilserl_envs.impedance replay FILE [--json]", file=sys.stderr)
        return 2
    try:
        difference = replay(json.loads(Path(arguments[1]).read_text()))
    except (OSError, ValueError) as error:
        print(f"cannot replay {arguments[1]}: {error}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "error": str(error)}))
        return 1
    largest = float(np.abs(difference).max())
    print(f"ticks: {len(difference)}")
    print(f"largest torque error: {largest:.3e} Nm")
    if as_json:
        print(json.dumps({"ok": True, "ticks": len(difference), "largest_torque_error_nm": largest}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
