"""Writes of other tables than jobs, runs and tasks: the largest of each fits its record."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from chalicelib.clock import Clock
from chalicelib.core import record_bounds as most
from chalicelib.core.bounds import shortened, shrunk
from chalicelib.core.ids import ulid
from chalicelib.core.item_size import ITEM_BYTES, item_bytes
from chalicelib.core.log_lines import LogLine
from chalicelib.logs.writer import RunLog
from chalicelib.store import batches, concurrency, idempotency, logs
from chalicelib.store.batches import OutcomeRow, StateBefore
from tests.store.test_contract import NOW, saved
from tests.support.exact_sizes import exact_sizes
from tests.support.world import World

LETTER = "\U0001f426"


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_sizes():
        yield


def test_a_part_of_a_batch_holds_a_hundred_outcomes_with_the_longest_messages(backend: World) -> None:
    ids = [ulid(NOW) for _ in range(batches.PART_JOBS)]
    batches.put_part("B1", 1, ids, expires_at=NOW)
    part = batches.find("B1", 1)
    assert part is not None
    batches.open_part(part, [StateBefore("succeeded", 5_000)] * len(ids))
    assert batches.close_part(part, [OutcomeRow("refused", "\x07" * 9_000, "waiting")] * len(ids))
    found = batches.find("B1", 1)
    assert found is not None
    assert found.outcome_rows is not None
    assert {row.message for row in found.outcome_rows} == {shortened("\x07" * 9_000, most.OUTCOME_MESSAGE_BYTES)}


def test_a_limit_has_no_more_holders_than_its_record_takes(backend: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "HOLDERS_MOST", 2)
    for number in range(4):
        concurrency.acquire_beyond("task:T", concurrency.permit(f"job-{number}", "fence"))
    assert len(concurrency.holders("task:T")) == 2
    assert most.HOLDERS_MOST * most.PERMIT_BYTES < ITEM_BYTES
    assert most.REGISTERED_MOST * most.PERMIT_BYTES < ITEM_BYTES


def test_the_longest_answer_that_is_kept_fits_its_record(backend: World) -> None:
    record = idempotency.accept("r" * 64, "f" * 64, now=NOW, lease=NOW - NOW, kept=NOW - NOW)
    assert record is not None
    headers = {"Location": "x" * most.ANSWER_HEADERS_BYTES}
    idempotency.keep_answer(record, status=201, headers=headers, body="x" * most.ANSWER_BYTES)
    found = idempotency.find("r" * 64)
    assert found is not None
    assert item_bytes(found.serialize()) < ITEM_BYTES - most.RESERVE_BYTES


def test_a_full_chunk_of_lines_that_do_not_compress_fits_its_record(backend: World) -> None:
    job, draw = saved(), random.Random(7)
    letters = [chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(200_000)]
    lines = [
        LogLine(0, "2026-03-02T09:00:00Z", "ERROR", "run", "".join(letters[at : at + 1_500]))
        for at in range(0, 95_000, 1_500)
    ]
    logs.append(job.job_id, 1, lines, after=0, now=NOW)
    assert [line.message for line in logs.read(job.job_id, 1)] == [line.message for line in lines]


def test_a_line_is_bounded_in_all_its_parts(backend: World) -> None:
    log = RunLog(saved(run_no=1), Clock(now=lambda: NOW))
    log.add("INFO", "m" * 9_000, type="run", picture="p" * 9_000)
    log.flush()
    [line] = logs.read(log.job.job_id, 1)
    assert (len(line.message), line.picture) == (1_502, "p" * 1_024)


@pytest.mark.parametrize("text", ["a" * 50, "é" * 50, LETTER * 50, "", "\ud800" * 50])
@pytest.mark.parametrize("size", [10, 21, 22, 23, 200])
def test_a_shortened_text_is_valid_and_no_longer_than_asked(text: str, size: int) -> None:
    found = shortened(text, size)
    assert len(found.encode()) <= size
    assert found == text.encode("utf-8", "replace").decode() or found.endswith(" …")


def test_a_shrunk_document_keeps_its_form_as_long_as_it_can() -> None:
    document = {"a": ["x" * 20_000, 1, None], "b": {"c": LETTER * 5_000}}
    assert shrunk(document, 10**6) is document
    cut = shrunk(document, 20_000)
    assert cut == {"a": ["x" * 1_000 + " …", 1, None], "b": {"c": LETTER * 1_000 + " …"}}
    assert shrunk({"a": list(range(10_000))}, 1_000) == {"too_large": {"bytes": 58_897}}
