"""The role that each route needs. A route that is not in the table does not exist."""

from __future__ import annotations

from enum import StrEnum

from chalicelib.access.actor import Role, allows

OPEN = None  # needs no token, and shows no data of the stage


class Anyone(StrEnum):
    """Needs a token of some role, a robot's too."""

    ANY = "any"


ANY = Anyone.ANY

V, O, E, A = Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN  # noqa: E741 - columns of a table

ROLES: dict[tuple[str, str], Role | Anyone | None] = {
    ("GET", "/health"): OPEN,
    ("HEAD", "/health"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/me"): ANY,
    ("GET", "/tasks"): V,
    ("POST", "/tasks"): E,
    ("GET", "/tasks/{task_id}"): V,
    ("PUT", "/tasks/{task_id}"): E,
    ("PATCH", "/tasks/{task_id}"): E,
    ("DELETE", "/tasks/{task_id}"): E,
    ("POST", "/tasks/{task_id}/run"): O,
    ("POST", "/tasks/{task_id}/enable"): O,
    ("POST", "/tasks/{task_id}/disable"): O,
    ("POST", "/schedules/preview"): V,
    ("GET", "/jobs"): V,
    ("GET", "/jobs/counts"): V,
    ("GET", "/jobs/{job_id}"): V,
    ("PATCH", "/jobs/{job_id}"): O,
    ("DELETE", "/jobs/{job_id}"): O,
    ("GET", "/jobs/{job_id}/runs"): V,
    ("GET", "/jobs/{job_id}/logs"): V,
    ("GET", "/jobs/{job_id}/logs/download"): V,
    ("GET", "/jobs/{job_id}/files"): V,
    ("GET", "/jobs/{job_id}/download"): V,
    ("POST", "/jobs/{job_id}/cancel"): O,
    ("POST", "/jobs/{job_id}/rerun"): O,
    ("POST", "/jobs/batch"): O,
    ("GET", "/batches"): V,
    ("GET", "/batches/{batch_id}"): V,
    ("POST", "/batches/{batch_id}/cancel"): O,
    ("GET", "/reports"): V,
    ("POST", "/reports"): E,
    ("GET", "/reports/{report_id}"): V,
    ("PUT", "/reports/{report_id}"): E,
    ("PATCH", "/reports/{report_id}"): E,
    ("DELETE", "/reports/{report_id}"): E,
    # A preview runs SQL on a source, as an export does.
    ("POST", "/reports/{report_id}/preview"): E,
    ("GET", "/sources"): V,
    ("POST", "/sources"): A,
    ("GET", "/sources/{source_id}"): V,
    ("PUT", "/sources/{source_id}"): A,
    ("PATCH", "/sources/{source_id}"): A,
    ("DELETE", "/sources/{source_id}"): A,
    ("POST", "/sources/{source_id}/test"): E,
    ("GET", "/calendars"): V,
    ("POST", "/calendars"): E,
    ("GET", "/calendars/{calendar_id}"): V,
    ("PUT", "/calendars/{calendar_id}"): E,
    ("PATCH", "/calendars/{calendar_id}"): E,
    ("DELETE", "/calendars/{calendar_id}"): E,
    ("GET", "/pools"): V,
    ("GET", "/pools/{pool_id}"): V,
    ("PATCH", "/pools/{pool_id}"): O,
    ("GET", "/tokens"): A,
    ("POST", "/tokens"): A,
    ("GET", "/tokens/{token_id}"): A,
    ("DELETE", "/tokens/{token_id}"): A,
    ("GET", "/audit"): A,
}


def may(held: str, needed: Role | Anyone) -> bool:
    """Whether a caller of that role may use a route that needs a token."""
    return held in frozenset(Role) if isinstance(needed, Anyone) else allows(held, needed)
