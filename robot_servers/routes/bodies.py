"""Bodies of requests and answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import flask

from hilserl_envs.errors import ActionError
from hilserl_envs.json_values import check_object, parse_json
from robot_servers.limits import Refusal

MAX_BODY = 65_536  # [bytes]; the longest honest one is a tenth of it


def json_body(allowed: Collection[str], required: Collection[str] = ()) -> dict[str, Any]:
    """The JSON object that the request is; an empty body is an empty one.

    Raises:
        Refusal: it is not declared as JSON, which no other site's form can do.
        ActionError: it is no such object.
    """
    body = flask.request.get_data(cache=False)
    if body and flask.request.mimetype != "application/json":
        raise Refusal(
            "media_type",
            f"the content type must be application/json, got {flask.request.mimetype[:60] or 'none'}",
            415,
        )
    values = check_object(parse_json(body) if body else {}, allowed, "the body")
    if missing := sorted(set(required) - set(values)):
        raise ActionError(f"the body lacks {', '.join(missing)}")
    return values
