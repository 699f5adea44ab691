"""Run the benchmarks named, or all that are not long."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from hilserl_envs.errors import check_name
from tests.benchmarks import (
    contact,
    devices,
    footprint,
    law_overhead,
    learning,
    pace,
    peer,
    physics,
    recording,
    rendering,
    round_trip,
    run_memory,
    soak,
    timestep,
    vector,
)

BENCHMARKS = {
    "law_overhead": law_overhead,
    "rendering": rendering,
    "vector": vector,
    "footprint": footprint,
    "devices": devices,
    "recording": recording,
    "learning": learning,
    "peer": peer,
    "contact": contact,
    "physics": physics,
    "round_trip": round_trip,
    "pace": pace,
    "soak": soak,
    "run_memory": run_memory,
    "timestep": timestep,
}
LONG = ("soak", "run_memory", "timestep", "pace")  # some minutes: only where it is named


def main(names: list[str]) -> int:
    """Print a line a result and a JSON line last; 1 if a promise is not kept."""
    results = []
    for name in names or [name for name in BENCHMARKS if name not in LONG]:
        for result in BENCHMARKS[check_name(name, BENCHMARKS, "benchmark")].run():
            bound = f"{'>=' if result.at_least else '<='} {result.target:g} {result.unit}"
            mark = "ok" if result.kept else "MISSED"
            print(
                f"{mark:7} {result.name:42} {result.value:8.2f} {result.unit:2} {bound:10} {result.detail}",
                flush=True,
            )
            results.append(result)
    print(json.dumps([asdict(result) | {"kept": result.kept} for result in results]))
    return 0 if all(result.kept for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
