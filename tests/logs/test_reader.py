"""Reads what runs logged: by page, by level, by text, while it is written, and as a file."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from chalicelib.errors import ConnectionDropped, Invalid, RunNotFound
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import reader as log_reader
from tests.support.probe import started
from tests.support.run_logs import expire, job_with_log, messages, pages, traffic
from tests.support.simulator import PROBE, Stage


@pytest.mark.parametrize("fresh", [True, False])
def test_logs_are_read_from_a_cursor_and_filtered_by_level(stage: Stage, fresh: bool) -> None:
    job = job_with_log(stage)
    if not fresh:
        expire(stage, job)
    found = pages(job, limit=100)
    assert [line["sequence"] for line in found] == list(range(1, 454))
    assert sum("報告" in line["message"] for line in found) == 450
    assert [line.split()[1] for line in messages(job, level="alert")] == ["0", "100", "200", "300", "400"]
    assert len(messages(job, level="WARN", limit=2)) == 5
    assert messages(job, level="ERROR") == []
    (debug,) = pages(job, level="DEBUG")
    assert (debug["type"], debug["picture"], found[0]["picture"]) == ("probe", "files/probe/1/1/shot.png", None)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("LINE 44", 11),
        ("äö 報告", 450),
        ("50%", 1),
        ("[a-z]+", 1),
        (r"\D (X|Y)", 1),
        (".*", 0),
        ("", 453),
    ],
)
def test_search_finds_plain_text_in_any_case(stage: Stage, search: str, found: int) -> None:
    assert len(messages(job_with_log(stage), search=search, limit=1_000)) == found


def test_a_search_that_finds_little_answers_with_a_cursor(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "LINES_PER_ANSWER", 100)
    job = job_with_log(stage)
    first, cursor = log_reader.read_page(job.job_id, search="line 449")
    assert (first, cursor) == ([], "1-100")
    assert len(pages(job, search="line 449")) == 1


def test_an_answer_of_the_longest_lines_fits_what_lambda_may_answer(stage: Stage) -> None:
    def shouting(context: RunContext) -> Outcome:
        for letter in "\u0001報😀" * 200:
            context.log("INFO", letter * 1_500)
        return Outcome()

    PROBE.behaviour = shouting
    job = started(stage)
    stage.deliver()
    cursor, found = None, 0
    while True:
        lines, cursor = log_reader.read_page(job.job_id, limit=log_reader.LOG_PAGE_LIMIT, cursor=cursor)
        # The runtime of Python 3.11 writes the body, which is JSON, as ASCII text in JSON.
        assert len(json.dumps(json.dumps(lines, ensure_ascii=False))) < 5_000_000
        found += len(lines)
        if cursor is None:
            break
    assert found == 602


def test_a_log_is_followed_while_it_is_written_and_into_the_next_attempt(stage: Stage) -> None:
    seen: list[str] = []
    cursor: str | None = None

    def follow(context: RunContext | None = None) -> None:
        nonlocal cursor
        if context is not None:
            context.run_log.flush()  # type: ignore[attr-defined]
        lines, cursor = log_reader.read_page(job.job_id, cursor=cursor)
        seen.extend(line["message"] for line in lines)

    def behaviour(context: RunContext) -> Outcome:
        attempt = len(PROBE.runs)
        follow(context)
        context.log("INFO", f"one of {attempt}")
        follow(context)
        context.log("INFO", f"two of {attempt}")
        if attempt == 1:
            raise ConnectionDropped("broke")
        return Outcome()

    PROBE.behaviour = behaviour
    job = started(stage, retry={"max_attempts": 2, "delay_seconds": 60})
    follow()
    stage.deliver()
    follow()
    stage.minutes(2)
    while cursor is not None:
        follow()
    begins = [f"Attempt {attempt} begins on worker worker-1." for attempt in (1, 2)]
    assert seen == [begins[0], "one of 1", "two of 1", "broke", begins[1], "one of 2", "two of 2", "Done."]
    assert messages(job, run=1) == seen[:4]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"level": "loud"}, "level"),
        ({"level": "warn"}, "level"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"search": "x" * 201}, "search"),
        ({"cursor": "here"}, "cursor"),
        ({"cursor": "7"}, "cursor"),
        ({"cursor": "2-1"}, "cursor"),
        ({"cursor": "1-1", "run": 0}, "cursor"),
        ({"cursor": "1-٣"}, "cursor"),
    ],
)
def test_an_invalid_argument_is_refused_with_its_field(stage: Stage, arguments: dict[str, Any], field: str) -> None:
    job = job_with_log(stage)
    with pytest.raises(Invalid) as refused:
        log_reader.read_page(job.job_id, **arguments)
    assert refused.value.field == field


@pytest.mark.parametrize("run", [2, -1])
def test_a_run_that_does_not_exist_has_no_log(stage: Stage, run: int) -> None:
    job = job_with_log(stage)
    for read in (log_reader.read_page, log_reader.download):
        with pytest.raises(RunNotFound):
            read(job.job_id, run=run, **({"now": stage.now} if read is log_reader.download else {}))


def test_a_run_without_an_archive_is_read_from_the_table(stage: Stage) -> None:
    job = job_with_log(stage)
    before = pages(job), pages(job, level="alert")
    for key in stage.world.objects():
        stage.world.client("s3").delete_object(Bucket=stage.world.bucket, Key=key)
    assert (pages(job), pages(job, level="alert")) == before


def test_asking_for_the_alerts_of_a_run_without_any_reads_no_line(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    with traffic() as counted:
        assert messages(job, level="alert") == []
    assert counted.bytes_read == counted.chunks_read == 0


# --- files ------------------------------------------------------------------------------------------------------------


def fetched(stage: Stage, link: dict[str, Any]) -> str:
    path = unquote(urlsplit(link["url"]).path).lstrip("/").removeprefix(f"{stage.world.bucket}/")
    return stage.world.objects()[path].decode()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_log_is_downloaded_as_text_and_as_json_lines(stage: Stage, fresh: bool) -> None:
    job = job_with_log(stage)
    if not fresh:
        expire(stage, job)
    link = log_reader.download(job.job_id, level="alert", now=stage.now)
    assert link["name"] == f"{job.job_id}-1-alert.log"
    assert fetched(stage, link).splitlines()[1] == "2026-03-02T09:00:00Z     WARN  run      line 100 of ÄÖ 報告"
    jsonl = log_reader.download(job.job_id, format="jsonl", now=stage.now)
    found = [json.loads(line) for line in fetched(stage, jsonl).splitlines()]
    assert [{**line, "run_no": 1} for line in found] == pages(job, limit=1_000)
    with pytest.raises(Invalid, match="format"):
        log_reader.download(job.job_id, format="pdf", now=stage.now)


def test_a_log_can_be_downloaded_while_it_is_written(stage: Stage) -> None:
    files = []

    def behaviour(context: RunContext) -> Outcome:
        context.log("INFO", "first\nsecond")
        context.run_log.flush()  # type: ignore[attr-defined]
        files.append(fetched(stage, log_reader.download(context.facts.job_id, now=stage.now)))
        return Outcome()

    PROBE.behaviour = behaviour
    started(stage)
    stage.deliver()
    assert files[0].splitlines()[1:] == ["2026-03-02T09:00:00Z     INFO  run      first", "    second"]
