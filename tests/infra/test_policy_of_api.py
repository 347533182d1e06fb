"""What `api` may do is what its routes need: no less, and no more."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.access.actor import Role
from chalicelib.api.roles import ROLES
from infra.local.address import Refused
from tests.infra.calls import Need, allowed, noting
from tests.support.http import as_role
from tests.support.simulator import Stage
from tests.support.tour import Tour, take

# Needed by what this tour does not meet, each with its reason.
ELSEWHERE: dict[Need, str] = {
    ("logs:CreateLogStream", "ApiLogGroup"): "Lambda, for the function",
    ("logs:PutLogEvents", "ApiLogGroup"): "Lambda, for the function",
    ("dynamodb:PutItem", "RunsTable"): "canceling a job whose worker died before it wrote its run",
    ("dynamodb:DeleteItem", "RequestsTable"): "a request under a key that failed",
    ("dynamodb:Query", "BatchesTable"): "the outcomes of a batch that a worker has begun",
    ("s3:AbortMultipartUpload", "FilesBucket/files/*"): "deleting a job whose upload broke off",
    ("secretsmanager:GetSecretValue", "secret/*"): "testing a source that has a password",
}


@pytest.fixture
def needed(stage: Stage) -> set[Need]:
    """What a tour of all routes asks of AWS."""
    with sqlite3.connect(stage.world.data_folder / "shop.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS products AS SELECT 1 AS n")
    database.close()
    found: set[Need] = set()
    admin = as_role(Role.ADMIN)

    def call(method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        with noting(found):
            reply = admin.send(method, path, body, headers={"Idempotency-Key": key} if key else None)
        if reply.status >= 400:
            raise Refused(reply.status, reply.raw.decode())
        return json.loads(reply.raw) if reply.raw else None

    def settle(job_id: str) -> dict[str, Any]:
        # Requests read the real clock; the worker follows it.
        stage.world.now = clock.now()
        stage.minutes(1)
        job: dict[str, Any] = call("GET", f"/jobs/{job_id}")
        return job

    tour: Tour = take(call, settle)
    assert not tour.refused, "\n".join(tour.refused)
    assert set(ROLES) - tour.taken == set()
    return found


def test_the_api_may_do_what_its_routes_need_and_nothing_else(needed: set[Need]) -> None:
    granted = allowed("api")
    assert needed - granted == set(), "lacking"
    assert granted - needed - set(ELSEWHERE) == set(), "not needed"
