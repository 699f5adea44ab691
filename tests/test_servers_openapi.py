"""Tests that the description at /openapi.json is true: Schemathesis asks every route for what it promises."""

import pytest
import requests
from hypothesis import HealthCheck, given, settings

from robot_servers.routes.public import NAMES
from tests import needs
from tests.servers import fake_server, twin_server

EXAMPLES = 10  # a route
ENDLESS = ("/events", "/cameras/{name}.mjpg")
ANY_BODY = ("/emergency_stop",)


@pytest.fixture(scope="module")
def schemathesis():
    needs.module("schemathesis", "test")
    import schemathesis

    return schemathesis


def routes_of(server):
    """Method and path of every route that the app has."""
    for rule in server.app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method.lower(), str(rule.rule).replace("<path:name>", "{name}")


def described(server):
    paths = requests.get(f"{server.url}/openapi.json", timeout=5).json()["paths"]
    return {(method, path) for path, methods in paths.items() for method in methods}


def test_every_route_is_described_and_no_other():
    console = ("get", "/console/{name}")
    with twin_server() as server:
        assert set(routes_of(server)) - {console} == described(server)
    with fake_server(arms=("left", "right")) as server:
        at_root = {("post", f"/{name}") for name in NAMES}  # they say where to go, no more
        assert set(routes_of(server)) - {console} - at_root == described(server)


@pytest.mark.parametrize("arms", [("arm",), ("left", "right")])
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_routes_answer_as_described(schemathesis, arms, mode):
    """What fits the description and what does not, never with a fault, a surprise, or a bad thing done."""
    # What no description can say, a robot may still refuse: a pose outside its box, a far jump.
    excluded = schemathesis.checks.positive_data_acceptance
    with fake_server(arms=arms) as server:
        guard, seen = server.guard, 0
        for found in schemathesis.openapi.from_url(f"{server.url}/openapi.json").get_all_operations():
            operation = found.ok()
            can_be_wrong = operation.path not in ANY_BODY and (operation.body or operation.path_parameters)
            if operation.path in ENDLESS or (mode == "negative" and not can_be_wrong):
                continue
            seen += 1

            @given(operation.as_strategy(schemathesis.GenerationMode(mode)))
            @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
            def ask(case):
                guard.clear_emergency_stop()
                guard.recover()
                case.call_and_validate(excluded_checks=[excluded], timeout=10)

            ask()
        assert seen > 5
