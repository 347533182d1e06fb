"""What runs log: written in chunks, archived when the run ends, read by page, by alert, by word, and as a file."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.core.log_gzip import MEMBER_LINES, Packer, index_in, unpack
from chalicelib.core.log_lines import LogLine
from chalicelib.errors import ConnectionDropped, Invalid, QueryFailed, RunNotFound
from chalicelib.jobs import actions, deletion
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.logs import archive as log_archive
from chalicelib.logs import end_line
from chalicelib.logs import reader as log_reader
from chalicelib.logs.writer import RunLog
from chalicelib.maintenance import sweep
from chalicelib.store import base, job_updates
from chalicelib.store import jobs as job_store
from chalicelib.store import logs as log_store
from chalicelib.store.job_record import JobRecord
from tests.support.simulator import OPERATOR, PROBE, Stage
from tests.worker.test_worker import raising, started

MANY = 100_000


@dataclass
class Traffic:
    """What went to and from the log table and the bucket."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    write_units: int = 0
    largest_item: int = 0
    chunks_read: int = 0
    bytes_read: int = 0

    def count(self, operation: str, *, of: str = "") -> int:
        return sum(1 for name, key in self.calls if name == operation and of in key)

    def sent(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.service_model.service_name == "s3":
            self.calls.append((model.name, str(params.get("Key", ""))))
        elif params.get("TableName", "").endswith("-logs"):
            self.calls.append((model.name, ""))
            if model.name == "PutItem":
                size = sum(len(name) + _size(value) for name, value in params["Item"].items())
                self.write_units += math.ceil(size / 1024)
                self.largest_item = max(self.largest_item, size)

    def received(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "Query" and any("packed" in item for item in parsed.get("Items", [])):
            self.chunks_read += len(parsed["Items"])
        elif model.name == "GetObject" and "ContentLength" in parsed:
            self.bytes_read += parsed["ContentLength"]


def _size(value: dict[str, Any]) -> int:
    (plain,) = value.values()
    return len(plain) if isinstance(plain, bytes) else len(str(plain).encode())


@contextmanager
def traffic() -> Iterator[Traffic]:
    found = Traffic()
    clients = [base.client(), log_archive.s3()]
    for each in clients:
        each.meta.events.register_last("before-parameter-build", found.sent, unique_id="tests-sent")
        each.meta.events.register("after-call", found.received, unique_id="tests-received")
    try:
        yield found
    finally:
        for each in clients:
            each.meta.events.unregister("before-parameter-build", unique_id="tests-sent")
            each.meta.events.unregister("after-call", unique_id="tests-received")


def pages(job: JobRecord, **asked: Any) -> list[dict[str, Any]]:
    """All lines there are; of an open job, so far."""
    found, before, cursor = [], "", None
    while cursor != before:
        before = cursor
        lines, cursor = log_reader.read_page(job.job_id, cursor=cursor, **asked)
        found += lines
        if cursor is None:
            break
    return found


def messages(job: JobRecord, **asked: Any) -> list[str]:
    return [line["message"] for line in pages(job, **asked)]


def expire(stage: Stage, job: JobRecord) -> None:
    """The table's copy goes, as its time to live has it."""
    for run_no in range(1, int(job_store.get(job.job_id).run_no) + 1):
        log_store.remove(job.job_id, run_no)
    assert not [item for item in stage.world.items("logs") if not item["run"].startswith(f"{job.job_id}-0")]


def talking(context: RunContext) -> Outcome:
    for number in range(450):
        context.log("WARN" if number % 100 == 0 else "INFO", f"line {number} of ÄÖ 報告")
    context.log("DEBUG", r"50% of [a-z]+ \d (x|y)", type="probe", picture="files/probe/1/1/shot.png")
    return Outcome()


def talked(stage: Stage, **changes: Any) -> JobRecord:
    PROBE.behaviour = talking
    job = started(stage, **changes)
    stage.deliver()
    return job


def long_run(stage: Stage) -> JobRecord:
    """An ended run of 100,000 lines, an alert among every thousand; written as a worker would."""
    job = started(stage)
    stage.deliver()
    job = job_store.get(job.job_id)
    log_store.remove(job.job_id, 1)
    log = RunLog(job, stage.clock)
    for number in range(1, MANY + 1):
        level = "ERROR" if number % 1_000 == 0 else "INFO"
        log.add(level, f"Row {number}: account {number * 7919 % 100_003} was read and compared.", type="run")
    log.archive()
    return job


# --- a page -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [True, False])
def test_logs_are_read_from_a_cursor_and_filtered_by_level(stage: Stage, fresh: bool) -> None:
    job = talked(stage)
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
    assert len(messages(talked(stage), search=search, limit=1_000)) == found


def test_a_search_that_finds_little_goes_on_by_its_cursor(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "LINES_PER_ANSWER", 100)
    job = talked(stage)
    first, cursor = log_reader.read_page(job.job_id, search="line 449")
    assert (first, cursor) == ([], "1-100")
    assert len(pages(job, search="line 449")) == 1


def test_an_answer_of_the_longest_lines_is_one_that_lambda_can_give(stage: Stage) -> None:
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
            context.lines.flush()  # type: ignore[attr-defined]
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
    ("asked", "field_"),
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
def test_what_cannot_be_asked_names_its_field(stage: Stage, asked: dict[str, Any], field_: str) -> None:
    job = talked(stage)
    with pytest.raises(Invalid) as refused:
        log_reader.read_page(job.job_id, **asked)
    assert refused.value.field == field_


@pytest.mark.parametrize("run", [2, -1])
def test_a_run_that_is_not_there_has_no_log(stage: Stage, run: int) -> None:
    job = talked(stage)
    for read in (log_reader.read_page, log_reader.download):
        with pytest.raises(RunNotFound):
            read(job.job_id, run=run, **({"now": stage.now} if read is log_reader.download else {}))


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_a_small_job_costs_one_chunk_and_one_object(stage: Stage) -> None:
    job = started(stage)
    with traffic() as counted:
        stage.deliver()
    assert counted.calls == [("PutItem", ""), ("PutObject", f"logs/probe/{job.job_id}/1.jsonl.gz")]
    assert counted.write_units == 1


def test_a_hundred_thousand_lines_are_cheap_to_write_to_page_and_to_scan_for_alerts(stage: Stage) -> None:
    with traffic() as written:
        job = long_run(stage)
    assert written.count("PutItem") < 200
    assert written.write_units < 2_500, "15,000 without compression"
    assert written.count("PutObject") == 1 + 2, "the first is of the job that lent its record"

    with traffic() as page:
        middle, cursor = log_reader.read_page(job.job_id, cursor="1-70000")
    assert ([line["sequence"] for line in middle], cursor) == (list(range(70_001, 70_201)), "1-70200")
    assert page.count("GetObject") == 2
    assert page.bytes_read < 64 * 1024 + 60_000
    assert page.chunks_read == 0

    with traffic() as alerts:
        assert len(messages(job, level="alert")) == 100
    assert alerts.count("GetObject", of="1-alerts.jsonl.gz") == 1
    assert alerts.count("GetObject") == 1
    assert alerts.chunks_read == 0

    live = log_store.read(job.job_id, 1, after=70_000)
    with traffic() as table:
        assert [next(live).sequence for _ in range(200)] == list(range(70_001, 70_201))
    assert table.chunks_read <= 1 + log_store.FIRST_READ
    assert sum(1 for _ in log_store.read(job.job_id, 1, alerts=True)) == 100

    log_store.remove(job.job_id, 1)
    assert log_reader.read_page(job.job_id, cursor="1-70000") == (middle, cursor)
    with traffic() as whole:
        found, left = log_reader.read_page(job.job_id, search="row 49999:")
    assert ([line["sequence"] for line in found], left) == ([49_999], "1-50000")
    assert whole.count("GetObject") < 8


def test_the_alerts_of_a_run_without_any_cost_no_line(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    with traffic() as counted:
        assert messages(job, level="alert") == []
    assert counted.bytes_read == counted.chunks_read == 0


def test_lines_of_the_worst_letters_fit_their_items(stage: Stage) -> None:
    job = started(stage)
    stage.deliver()
    log = RunLog(job_store.get(job.job_id), stage.clock)
    with traffic() as counted:
        for number in range(600):
            log.add("ERROR", chr(number % 32) * 5_000 + "\ud800", type="run")
        log.flush()
    assert counted.largest_item < 300 * 1024
    assert len(list(log_store.read(job.job_id, 1, after=2))) == 600


def test_lines_kept_back_while_the_table_refused_them_go_out_in_chunks_that_fit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = started(stage)
    stage.deliver()
    log = RunLog(job_store.get(job.job_id), stage.clock)
    with monkeypatch.context() as patch:
        patch.setattr(log_store, "append", dies_at_once)
        for number in range(900):
            with suppress(Killed):
                log.add("INFO", f"{number:04} " + "é" * 1_400, type="run")
    log.flush()
    kept = list(log_store.read(job.job_id, 1, after=2))
    assert [line.message[:4] for line in kept] == [f"{number:04}" for number in range(900)]


# --- several writers --------------------------------------------------------------------------------------------------


def lines(*texts: str, level: str = "INFO") -> list[LogLine]:
    return [LogLine(0, "t", level, "run", text) for text in texts]


def test_two_writers_of_one_log_never_overwrite_each_other(stage: Stage) -> None:
    for after, texts in ((0, ("a1", "a2")), (0, ("b1",)), (2, ("a3", "a4")), (3, ("b2",)), (5, ("a5",))):
        log_store.append("j", 1, lines(*texts, level="WARN"), after=after, now=stage.now)
    for alerts in (False, True):
        found = list(log_store.read("j", 1, alerts=alerts))
        assert [line.message for line in found] == ["a1", "a2", "b1", "a3", "a4", "b2", "a5"]
        assert [line.sequence for line in found] == list(range(1, 8))


def test_a_write_whose_answer_was_lost_is_not_doubled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_store.get(talked(stage).job_id)
    log = RunLog(job, stage.clock, _last_sequence=453)
    log.add("WARN", "once", type="run")
    append = log_store.append

    def answer_lost(*given: Any, **more: Any) -> list[LogLine]:
        append(*given, **more)
        raise ConnectionError

    monkeypatch.setattr(log_store, "append", answer_lost)
    with pytest.raises(ConnectionError):
        log.flush()
    monkeypatch.setattr(log_store, "append", append)
    log.add("INFO", "next", type="run")
    log.flush()
    assert [(line.sequence, line.message) for line in log_store.read(job.job_id, 1, after=453)] == [
        (454, "once"),
        (455, "next"),
    ]


# --- how a run ends ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


def dies_at_once(*_: Any, **__: Any) -> Any:
    raise Killed


def test_the_log_of_a_lost_run_says_so_once_and_is_archived_before_its_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(context: RunContext) -> Outcome:
        context.log("INFO", "half way")
        context.lines.flush()  # type: ignore[attr-defined]
        raise Killed

    PROBE.behaviour = dies
    job = started(stage)
    with pytest.raises(Killed):
        stage.deliver()
    stage.messages.clear()
    stage.world.forward(seconds=1_000)
    with monkeypatch.context() as patch:
        patch.setattr(sweep.runs, "end", dies_at_once)
        with pytest.raises(Killed):
            stage.sweep()
    assert f"logs/probe/{job.job_id}/1.jsonl.gz" in stage.world.objects()
    stage.sweep()
    expire(stage, job)
    said = "The worker was lost: its lease ran out before it wrote an end."
    assert messages(job) == ["Attempt 1 begins on worker worker-1.", "half way", said]
    assert messages(job, level="ERROR") == [said]
    assert job_store.get(job.job_id).status == JobStatus.FAILED


def test_a_late_result_is_in_the_archive_of_a_run_that_the_sweep_ended(stage: Stage) -> None:
    def slow(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        context.log("INFO", "back again")
        return Outcome(rows=1)

    PROBE.behaviour = slow
    job = started(stage)
    stage.deliver()
    fresh = messages(job)
    expire(stage, job)
    assert messages(job) == fresh
    assert [line["sequence"] for line in pages(job)] == [1, 2, 3, 4, 5]
    assert ["lease ran out" in line for line in fresh] == [True, False, False, False, False]
    assert "changes nothing" in fresh[-1]
    assert len(messages(job, level="alert")) == 2


def test_a_result_that_comes_while_its_job_is_being_deleted_leaves_nothing(stage: Stage) -> None:
    def slow(context: RunContext) -> Outcome:
        stage.world.forward(seconds=2_000)
        stage.sweep()
        ended = job_store.get(context.facts.job_id)
        assert deletion.begin(ended, actor=OPERATOR, at=stage.now, now=stage.now)
        deletion.remove_files_logs_and_runs(ended)
        return Outcome(rows=1)

    PROBE.behaviour = slow
    job = started(stage)
    stage.deliver()
    assert job_updates.delete(job_store.get(job.job_id))
    assert (stage.world.objects(), stage.world.items("logs")) == ({}, [])


def test_a_run_that_ended_while_the_sweep_looked_keeps_its_whole_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep writes its archive over the worker's, and finds the run ended."""
    job = talked(stage)
    record = job_store.get(job.job_id)
    record.status = JobStatus.RUNNING
    monkeypatch.setattr(sweep.runs, "find", lambda *_: None)
    sweep._active(record, sweep.Swept(), now=stage.now)
    expire(stage, job)
    assert messages(job)[452] == "Done."
    assert job_store.get(job.job_id).status == JobStatus.SUCCEEDED


def test_a_run_without_an_archive_is_read_from_the_table(stage: Stage) -> None:
    job = talked(stage)
    before = pages(job), pages(job, level="alert")
    for key in stage.world.objects():
        stage.world.client("s3").delete_object(Bucket=stage.world.bucket, Key=key)
    assert (pages(job), pages(job, level="alert")) == before


# --- jobs that end without a run --------------------------------------------------------------------------------------


def waited_too_long(stage: Stage) -> JobRecord:
    job = started(stage, queue_wait_limit_seconds=120)
    stage.messages.clear()
    stage.world.forward(seconds=121)
    stage.sweep()
    return job


def canceled(stage: Stage) -> JobRecord:
    job = started(stage)
    actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
    return job


def missed(stage: Stage) -> JobRecord:
    task = stage.task(schedule={"type": "cron", "expression": "20 9 * * *"}, misfire="skip")
    stage.world.forward(minutes=30)
    stage.tick()
    return next(job for job in stage.jobs() if job.task_id == task.task_id and job.status == JobStatus.MISSED)


def overlapped(stage: Stage) -> JobRecord:
    stage.task(overlap="skip")
    for _ in range(2):
        stage.tick()
        stage.world.forward(seconds=60)
    for message in list(stage.messages)[::-1]:
        stage.work(message.body)
    return next(job for job in stage.jobs() if job.status == JobStatus.SKIPPED)


ENDINGS = [
    (waited_too_long, "WARN", "Waited longer than the queue wait limit of 120 s."),
    (canceled, "WARN", "Cancelled by olga while waiting."),
    (missed, "WARN", "missed: misfire"),
    (overlapped, "INFO", "had not ended."),
]


@pytest.mark.parametrize(("ending", "level", "said"), ENDINGS)
def test_why_a_job_ended_without_a_run_is_in_its_log_and_costs_no_write(
    stage: Stage, ending: Any, level: str, said: str
) -> None:
    with traffic() as counted:
        job = ending(stage)
    (line,) = pages(job, run=0)
    assert (line["sequence"], line["type"], line["level"]) == (1, "end", level)
    assert line["message"].endswith(said)
    assert len(pages(job, run=0, level="alert")) == (level == "WARN")
    assert counted.count("PutItem") == counted.count("PutObject") == 0 or ending is overlapped
    after, cursor = log_reader.read_page(job.job_id, cursor="0-1")
    assert (after, cursor) == ([], None)


def test_a_rerun_keeps_why_the_job_had_ended_without_a_run(stage: Stage) -> None:
    job = canceled(stage)
    before = pages(job, run=0)
    for _ in range(2):
        end_line.write(job_store.get(job.job_id), now=stage.now)
    assert pages(job, run=0) == before
    actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    stage.deliver()
    assert pages(job, run=0) == before
    assert pages(job, run=0, level="alert") == before
    assert messages(job)[-1] == "done"


@pytest.mark.parametrize("again", [False, True])
def test_which_clock_ran_out_between_attempts_stands_behind_the_last_attempt(stage: Stage, again: bool) -> None:
    PROBE.behaviour = raising(ConnectionDropped("broke"))
    job = started(stage, deadline_seconds=30, retry={"max_attempts": 3, "delay_seconds": 60})
    stage.deliver()
    if again:
        actions.rerun(job.job_id, actor=OPERATOR, now=stage.now)
    else:
        expire(stage, job)
    _, broke, clock = pages(job, run=1)
    assert (broke["message"], clock["sequence"], clock["type"]) == ("broke", 3, "end")
    assert "after the deadline of 30 s" in clock["message"]
    assert messages(job, run=1, level="alert") == ["broke", clock["message"]]


def test_a_job_that_its_run_ended_has_no_line_beyond_the_runs(stage: Stage) -> None:
    PROBE.behaviour = raising(QueryFailed("no such table"))
    job = started(stage)
    stage.deliver()
    assert messages(job) == ["Attempt 1 begins on worker worker-1.", "no such table"]


# --- files ------------------------------------------------------------------------------------------------------------


def fetched(stage: Stage, link: dict[str, Any]) -> str:
    path = unquote(urlsplit(link["url"]).path).lstrip("/").removeprefix(f"{stage.world.bucket}/")
    return stage.world.objects()[path].decode()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_log_is_taken_away_as_text_and_as_json_lines(stage: Stage, fresh: bool) -> None:
    job = talked(stage)
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


def test_a_log_can_be_taken_away_while_it_is_written(stage: Stage) -> None:
    files = []

    def behaviour(context: RunContext) -> Outcome:
        context.log("INFO", "first\nsecond")
        context.lines.flush()  # type: ignore[attr-defined]
        files.append(fetched(stage, log_reader.download(context.facts.job_id, now=stage.now)))
        return Outcome()

    PROBE.behaviour = behaviour
    started(stage)
    stage.deliver()
    assert files[0].splitlines()[1:] == ["2026-03-02T09:00:00Z     INFO  run      first", "    second"]


# --- the archive's form -----------------------------------------------------------------------------------------------


def test_any_gunzip_gives_the_lines_of_an_archive_and_its_index_finds_each(stage: Stage) -> None:
    packer, count = Packer(), 2 * MEMBER_LINES + 10
    for number in range(1, count + 1):
        packer.add(LogLine(3 * number, "t", "WARN", "run", f"line {number}"))
    archive = packer.packed(last=99_999)
    plain = gzip.decompress(archive).splitlines()
    assert [json.loads(line)["sequence"] for line in plain] == [3 * number for number in range(1, count + 1)]
    assert index_in(archive[-20:], size=len(archive)) is None
    index = index_in(archive[-300:], size=len(archive))
    assert index is not None
    assert (index.last, [first for first, _ in index.members]) == (99_999, [3, 6_003, 12_003])
    for sequence in (1, 3, 6_000, 6_002, 6_003, 12_030, 90_000):
        start, stop = index.span(index.holding(sequence), 1)
        held = [line.sequence for line in unpack(archive[start:stop])]
        assert held[0] <= max(sequence, 3)
        assert held[-1] >= min(sequence, 3 * count) - 2
    assert archive == packer.packed(last=99_999)
