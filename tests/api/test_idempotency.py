"""`Idempotency-Key`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.access.actor import Actor, Role
from chalicelib.api.idempotency import Answer, once
from chalicelib.core.record_bounds import ANSWER_BYTES
from chalicelib.errors import Invalid, RequestInProgress, StillReferenced, Unavailable
from tests.support.api_records import Make
from tests.support.http import Http, a_token, as_role
from tests.support.world import World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEI = Actor("wei", "editor")


class Work:
    """Something done under a key; remembers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, str]] = []
        self.fails: Exception | None = None

    def __call__(self, at: datetime, unique: str) -> Answer:
        self.asked.append((at, unique))
        if self.fails is not None:
            raise self.fails
        return Answer(201, f'{{"id": "{unique[:6]}"}}', {"Location": "/api/x"})


class Died(BaseException):
    """The process is gone."""


def ask(work: Work, *, now: datetime = NOW, key: str = "k-1", **changes: Any) -> Answer:
    given: dict[str, Any] = {"actor": WEI, "target": "POST /x", "payload": {"a": 1}, "now": now, "do": work}
    return once(key, **given | changes)


@pytest.fixture(autouse=True)
def _world(world: World) -> None: ...


def test_a_repeat_gets_the_same_answer_and_nothing_is_done_again() -> None:
    work = Work()
    first, second = ask(work), ask(work, now=NOW + timedelta(hours=23))
    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers == first.headers | {"Idempotent-Replayed": "true"}
    assert len(work.asked) == 1


@pytest.mark.parametrize(
    "other",
    [{"actor": Actor("li", "editor")}, {"actor": Actor("wei", "viewer")}, {"target": "POST /y"}, {"key": "k-2"}],
)
def test_a_request_is_known_by_caller_path_and_key(other: dict[str, Any]) -> None:
    work = Work()
    ask(work)
    ask(work, **other)
    assert len({unique for _, unique in work.asked}) == 2


def test_the_same_key_with_another_body_is_refused_by_name() -> None:
    ask(Work())
    with pytest.raises(Invalid) as refused:
        ask(Work(), payload={"a": 2})
    assert refused.value.field == "Idempotency-Key"


def test_the_order_of_a_body_s_fields_does_not_matter() -> None:
    work = Work()
    ask(work, payload={"a": 1, "b": 2})
    ask(work, payload={"b": 2, "a": 1})
    assert len(work.asked) == 1


def test_after_a_day_the_key_is_new() -> None:
    work = Work()
    ask(work)
    ask(work, now=NOW + timedelta(hours=24), payload={"a": 2})
    assert [at for at, _ in work.asked] == [NOW, NOW + timedelta(hours=24)]


def test_a_request_under_way_is_not_begun_again() -> None:
    work = Work()
    work.fails = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        ask(work)
    with pytest.raises(RequestInProgress):
        ask(work, now=NOW + timedelta(seconds=34))


def test_a_request_whose_process_died_is_taken_over_with_the_same_ids() -> None:
    work = Work()
    work.fails = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        ask(work)
    work.fails = None
    assert ask(work, now=NOW + timedelta(seconds=36)).status == 201
    assert work.asked[0] == work.asked[1]
    assert work.asked[1][0] == NOW


def test_a_request_that_a_service_failed_may_be_sent_again_at_once_with_the_same_ids() -> None:
    work = Work()
    for failure in (Unavailable(), RuntimeError("boom")):
        work.fails = failure
        with pytest.raises(type(failure)):
            ask(work)
    work.fails = None
    assert ask(work, now=NOW + timedelta(seconds=1)).status == 201
    assert len(set(work.asked)) == 1


@pytest.mark.parametrize("refusal", [Invalid("no", field="name"), StillReferenced()])
def test_a_refused_request_leaves_the_key_free_for_a_better_one(refusal: Exception) -> None:
    work = Work()
    work.fails = refusal
    with pytest.raises(type(refusal)):
        ask(work)
    work.fails = None
    assert ask(work, payload={"a": 2}).status == 201


def test_two_that_take_over_at_once_do_it_once() -> None:
    work = Work()
    work.fails = Died()  # type: ignore[assignment]
    with pytest.raises(Died):
        ask(work)
    later = NOW + timedelta(minutes=1)

    def nested(at: datetime, unique: str) -> Answer:
        with pytest.raises(RequestInProgress):
            ask(Work(), now=later)
        return Answer(201)

    assert ask(Work(), now=later, do=nested).status == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\x7f"])
def test_an_invalid_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(Invalid) as refused:
        ask(Work(), key=key)
    assert refused.value.field == "Idempotency-Key"


def test_an_answer_too_large_to_keep_is_made_again() -> None:
    calls: list[int] = []

    def large(at: datetime, unique: str) -> Answer:
        calls.append(1)
        return Answer(200, "x" * (ANSWER_BYTES + 1))

    assert ask(Work(), do=large) == ask(Work(), do=large, now=NOW + timedelta(seconds=1))
    assert len(calls) == 2


# --- through HTTP -----------------------------------------------------------------------------------------------------


def test_a_repeated_post_makes_one_record(make: Make, admin: Http, world: World) -> None:
    for path, table, body in (
        ("/sources", "sources", make.source_body()),
        ("/reports", "reports", make.report_body()),
        ("/tasks", "tasks", make.task_body()),
    ):
        before = len(world.items(table))
        first, second = (admin.post(path, body, key="k-1") for _ in range(2))
        assert (first.status, second.status) == (201, 201), first.raw
        assert first.raw == second.raw
        assert second.headers["Location"] == first.headers["Location"]
        assert len(world.items(table)) == before + 1


def test_a_repeated_run_starts_one_job(make: Make, admin: Http, world: World) -> None:
    task = make.task()
    path = f"/tasks/{task['task_id']}/run"
    first, second = (admin.post(path, {}, key="k-1") for _ in range(2))
    assert first.json["job_id"] == second.json["job_id"]
    assert len(world.items("jobs")) == 1
    assert admin.post(path, {}, key="k-2").json["job_id"] != first.json["job_id"]


def test_a_password_is_not_guessable_from_what_is_kept(make: Make, admin: Http, world: World) -> None:
    admin.post("/sources", make.postgres_body(), key="k-1")
    kept = json.dumps(world.items("requests"), default=str)
    assert "hunter2" not in kept
    assert "k-1" not in kept


def test_a_key_belongs_to_its_caller(make: Make, admin: Http) -> None:
    body = make.report_body()
    mine = admin.post("/reports", body, key="k-1").json
    assert as_role(Role.EDITOR).post("/reports", body, key="k-1").json["report_id"] != mine["report_id"]


def test_two_tokens_of_one_name_have_their_own_answers(make: Make, world: World) -> None:
    body = make.report_body()
    first, second = (Http(f"Bearer {a_token(Role.EDITOR, name='ci')}") for _ in range(2))
    made = [http.post("/reports", body, key="k-1") for http in (first, second, first)]
    assert [reply.status for reply in made] == [201, 201, 201]
    assert made[2].raw == made[0].raw
    assert made[1].json["report_id"] != made[0].json["report_id"]


def test_two_people_of_one_name_have_their_own_answers() -> None:
    work = Work()
    for subject in ("a-1", "a-2", "a-1"):
        ask(work, actor=Actor("wei", "editor", subject=subject))
    assert len(work.asked) == 2


def test_no_subject_passes_for_a_token() -> None:
    """A subject may be any text, the id of a token too."""
    work = Work()
    for actor in (
        Actor("wei", "editor", token_id="01A"),
        Actor("wei", "editor", subject="01A"),
        Actor("01A", "editor"),
    ):
        ask(work, actor=actor)
    assert len(work.asked) == 3
