"""The audit tells callers of one name apart: by the id of the API token, or the subject of the JWT."""

from __future__ import annotations

from chalicelib.access import audit
from chalicelib.access.actor import Actor, Role
from chalicelib.store.audit import AuditRecord
from tests.support.api_records import Make
from tests.support.http import Http, a_token
from tests.support.world import START, World


def id_of(token: str) -> str:
    return token.split("_")[1]


def entries(action: str, record_type: str) -> list[AuditRecord]:
    found = [each for each in AuditRecord.scan() if (each.action, each.record_type) == (action, record_type)]
    return sorted(found, key=lambda each: str(each.entry_id))


def test_an_entry_names_the_token(make: Make, admin: Http) -> None:
    tokens = [a_token(Role.EDITOR, name="ci") for _ in range(2)]
    for token in tokens:
        assert Http(f"Bearer {token}").post("/reports", make.report_body()).status == 201
    rows = admin.get("/audit", actor="token:ci").json["items"]
    assert {row["token_id"] for row in rows} == {id_of(token) for token in tokens}
    assert {row["subject"] for row in rows} == {None}


def test_tokens_of_one_name_that_act_at_once_have_an_entry_each(world: World) -> None:
    for token_id in ("01A", "01B", "01A"):
        actor = Actor("token:ci", Role.OPERATOR, token_id=token_id)
        audit.record(actor, "run", "task", "t", before=None, after={}, now=START)
    assert [entry.token_id for entry in sorted(entries("run", "task"), key=lambda each: each.token_id)] == [
        "01A",
        "01B",
    ]


def test_an_entry_names_the_subject_of_a_jwt(world: World) -> None:
    audit.record(Actor("wei", "editor", subject="a-1"), "run", "task", "t", before=None, after={}, now=START)
    (entry,) = entries("run", "task")
    assert (entry.actor, entry.subject, entry.token_id) == ("wei", "a-1", None)
