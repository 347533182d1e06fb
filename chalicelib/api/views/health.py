"""Health and the OpenAPI document: the routes that need no token."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.api import VERSION, openapi, probes
from chalicelib.api.idempotency import Answer
from chalicelib.api.models.health import Health
from chalicelib.api.operation import Call, operation
from chalicelib.settings import settings


@operation(
    "GET",
    "/health",
    answer=Health,
    more_answers={"503": "The same, with a service that is not reached"},
    summary="Version, stage, and whether each service is reached; 503 when one is not",
)
def read_health(call: Call) -> Any:
    found = probes.checks()
    healthy = all(check.reachable for check in found)
    shown = Health.model_validate(
        {
            "status": "ok" if healthy else "unavailable",
            "version": VERSION,
            "stage": settings().stage,
            "time": call.now,
            "services": found,
        }
    )
    return Answer(200 if healthy else 503, shown.model_dump_json())


@operation(
    "HEAD",
    "/health",
    more_answers={"200": "Each service is reached", "503": "A service is not reached"},
    summary="Whether the stage is well, without a body",
)
def look_at_health(call: Call) -> Any:
    return Answer(200 if all(check.reachable for check in probes.checks()) else 503)


@operation("GET", "/openapi.json", summary="This API as OpenAPI 3.1")
def read_openapi(call: Call) -> Any:
    return Answer(200, json.dumps(openapi.document(), ensure_ascii=False))
