"""What only the twin's server has: whether the task is done, and a hand that puts things back."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask

from hilserl_envs.json_values import check_number
from robot_servers.backends.twin import TwinStation
from robot_servers.guard import Guard
from robot_servers.routes.bodies import json_body
from robot_servers.routes.own import ServerInfo


def twin_info(info: ServerInfo, station: TwinStation) -> ServerInfo:
    """With the twin's speed, and in every state whether the task is done: what a person would see."""
    world = station.world
    return dataclasses.replace(
        info,
        speed=world.speed,
        reached=lambda: world.reached,
        extra=lambda: {"succeeded": world.succeeded()},
    )


def twin_routes(guard: Guard, station: TwinStation) -> flask.Blueprint:
    """POST /twin/rearrange: arms at reset poses, the task's things where an episode starts.

    Body: {"seed": whole number}, or nothing for another arrangement each time.
    """
    routes = flask.Blueprint("twin", __name__, url_prefix="/twin")

    @routes.post("/rearrange")
    def rearrange() -> dict[str, Any]:
        seed = json_body(["seed"]).get("seed")
        if seed is not None:
            seed = int(check_number(seed, 0, 2**53, "seed"))
        with guard.occupying("the twin is being rearranged", station.arms):
            station.rearrange(seed)
        return guard.state() | {"succeeded": station.world.succeeded()}

    return routes
