"""Many waiting jobs and many workers at once, on tables in memory: calls come one at a time, as DynamoDB writes items.

Between calls the threads run in any order.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws import sqs
from chalicelib.clock import Clock
from chalicelib.core.ids import ulid
from chalicelib.core.rank import PRIORITY_MAX
from chalicelib.kinds import registry
from chalicelib.queue import claim
from chalicelib.queue.past_minutes import PastMinutes
from chalicelib.scheduling import slots
from chalicelib.store import jobs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.tasks import editing as task_editing
from tests.model.aws import Aws, in_memory
from tests.model.tables import Tables
from tests.support.simulator import OPERATOR, PROBE, Probe

WORKERS = 8
# A task that fires by itself is none of these tests' business.
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}


@contextmanager
def contended_tables(patch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with in_memory() as aws:
        lock, call = threading.RLock(), aws.tables._make_api_call

        def one_at_a_time(operation: str, given: dict[str, Any]) -> dict[str, Any]:
            with lock:
                return call(operation, given)

        patch.setattr(aws.tables, "_make_api_call", one_at_a_time)
        patch.setattr(Tables, "_Query", _quick_queue_pages(Tables._Query))
        patch.setitem(registry.KINDS, "probe", "tests.support.simulator:probe")
        PROBE.works_on, PROBE.behaviour = Probe().works_on, Probe().behaviour
        yield aws


def _quick_queue_pages(whole: Callable[..., Any]) -> Callable[..., Any]:
    """A page of a queue without comparing every item of the table; it may begin behind a job that left it."""

    def query(self: Tables, TableName: str, KeyConditionExpression: str, **given: Any) -> Any:
        if given.get("IndexName") != "ready" or " AND " in KeyConditionExpression:
            return whole(self, TableName, KeyConditionExpression, **given)
        [name] = [each for each, column in given["ExpressionAttributeNames"].items() if column == "ready_pool"]
        placeholder = KeyConditionExpression.removeprefix(f"{name} = ")
        line = given["ExpressionAttributeValues"][placeholder]
        table, start = self.tables[TableName], given.pop("ExclusiveStartKey", None)
        found = [item for item in table.items.values() if item.get("ready_pool") == line]
        found.sort(key=_order)
        if start is not None:
            found = [item for item in found if _order(item) > _order(start)]
        return self._page(table, table.indexes["ready"], found, given)

    return query


def _order(item: dict[str, Any]) -> tuple[int, str]:
    return int(item["rank"]["N"]), item["job_id"]["S"]


def a_task(now: datetime, **changes: Any) -> TaskRecord:
    body = {"name": "many", "kind": "probe", "schedule": NEVER, "overlap": "allow_all"} | changes
    return task_editing.create(body, actor=OPERATOR, now=now)


class Alike(random.Random):
    """Gives every job the same priority."""

    def randrange(self, *_: Any) -> int:
        return 1_000


def waiting_jobs(task: TaskRecord, count: int, draw: random.Random, *, now: datetime, **build: Any) -> list[JobRecord]:
    """Waiting jobs of a task with random priorities, put as they would be but all at once."""
    made = []
    with JobRecord.batch_write() as batch:
        for _ in range(count):
            task.priority = draw.randrange(PRIORITY_MAX + 1)
            job = slots.build_job(task, job_id=ulid(now), window=None, parameters={}, operator=None, now=now, **build)
            job.facets, job.search_name = jobs.facets(job, job.status, None), "x"
            batch.save(job)
            made.append(job)
    return made


@dataclass(frozen=True)
class Claimed:
    """A claim, and the moments between which it was made."""

    job: JobRecord
    begun: float
    over: float


def at_once(
    tokens: Sequence[JobRecord],
    act: Callable[[JobRecord, claim.Worker], None],
    *,
    now: datetime,
    until: timedelta,
    workers: int = WORKERS,
) -> None:
    """Hand the tokens of these jobs to workers, eight at a time. Each thread is a process of its own."""
    known = threading.local()

    def work(job: JobRecord) -> None:
        known.past_minutes = getattr(known, "past_minutes", None) or PastMinutes()
        clock = Clock(now=lambda: now, sleep=lambda _: None)
        act(job, claim.Worker("w", now + until, clock, watched=False, past_minutes=known.past_minutes))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, tokens))


def drain(tokens: Sequence[JobRecord], *, now: datetime, workers: int = WORKERS) -> list[Claimed]:
    """What the workers claim with these tokens."""
    found: list[Claimed] = []

    def work(job: JobRecord, me: claim.Worker) -> None:
        begun = time.monotonic()
        claimed = claim.claim_next(sqs.Token(job.pool, job.job_id), worker=me)
        if claimed is not None:
            found.append(Claimed(claimed, begun, time.monotonic()))

    at_once(tokens, work, now=now, until=timedelta(minutes=15), workers=workers)
    return found


def passed_over(claims: Sequence[Claimed]) -> int:
    """The most jobs of better rank that one claim passed over: each was claimed by a worker that began only later."""
    return max(
        sum(1 for better in claims if better.begun >= each.over and int(better.job.rank) < int(each.job.rank))
        for each in claims
    )


@contextmanager
def calls_counted(patch: pytest.MonkeyPatch, aws: Aws) -> Iterator[Counter[str]]:
    """The calls to DynamoDB by name, and under `refused` how many of them failed."""
    found: Counter[str] = Counter()
    call = aws.tables._make_api_call

    def counted(operation: str, given: dict[str, Any]) -> dict[str, Any]:
        found[operation] += 1
        try:
            return call(operation, given)
        except ClientError:
            found["refused"] += 1
            raise

    with patch.context() as within:
        within.setattr(aws.tables, "_make_api_call", counted)
        yield found
