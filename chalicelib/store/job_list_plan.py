"""Which index a list of jobs is read from, and what is left for a filter expression: the plan of a page, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.core.facets import EQUALITIES, OUTCOME, USUAL, facet, folded
from chalicelib.core.ids import EARLY, timeline_keys, ulid
from chalicelib.core.lifecycle import ENDED, OPEN, JobStatus
from chalicelib.store.job_record import JobRecord

# The filter whose index is read, most selective first: the first of these that a list asks for. Each index has the
# job's column of that name as its key and gives ids in order, so a filter alone reads what it shows and nothing else.
INDEXES = {
    "account_id": "by_account",
    "task_id": "by_task",
    "search": "by_task",  # of each task that has or had such a name
    "operator": "by_operator",
    "source_id": "by_source",
    "action": "by_action",
    "reason": "by_reason",
    "status": "by_status",  # of each status; an open status is read there under any other filter: these jobs are few
    "group": "by_group",
}
# Without any of these filters: every job, by the month of its id. A kind, a pool and a trigger have few values, so that
# an index of them would be a second timeline, or a few partitions that take every write.
TIMELINE = "timeline"
# A search reads this many tasks side by side; where more have such a name, the next index of the table is read.
MOST_TASKS = 64
# A job planned while its task was being renamed has the former name; its id is no more than this ahead.
PLANNED_AHEAD = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class JobFilter:
    """What a list selects; None selects all. Instants bound the id's time: the slot, or the acceptance.

    `search` is a part of the task's name at the time, in any case of letters.
    """

    created_from: datetime | None = None
    created_to: datetime | None = None
    status: Sequence[JobStatus] = ()
    job_id: str | None = None
    task_id: str | None = None
    account_id: str | None = None
    search: str | None = None
    kind: str | None = None
    group: str | None = None
    pool: str | None = None
    trigger: str | None = None
    reason: str | None = None
    source_id: str | None = None
    operator: str | None = None
    action: str | None = None


@dataclass(frozen=True)
class Partition:
    """One partition of an index between two ids, and the conditions its entries must meet besides."""

    index: str
    column: str
    value: str
    first: str | None  # inclusive
    before: str | None  # exclusive
    # Each is a choice of facets, one of which must be there.
    facets: tuple[tuple[str, ...], ...] = ()
    # None of these may be there.
    without: tuple[str, ...] = ()
    search: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no id lies between the two. DynamoDB refuses a range that ends before it begins."""
        return self.first is not None and self.before is not None and self.first >= self.before

    @property
    def filtered(self) -> bool:
        return bool(self.facets or self.without) or self.search is not None

    def query(self) -> dict[str, Any]:
        """The arguments of DynamoDB's Query."""
        names, values = {"#key": self.column}, {":key": {"S": self.value}}
        keys, conditions = ["#key = :key"], []
        bounds = {":first": self.first, ":before": self.before}
        values |= {name: {"S": bound} for name, bound in bounds.items() if bound is not None}
        if self.first is not None and self.before is not None:
            # An id is longer than a bound, so none is equal to one.
            keys.append("job_id BETWEEN :first AND :before")
        elif self.first is not None:
            keys.append("job_id >= :first")
        elif self.before is not None:
            keys.append("job_id < :before")
        for number, choice in enumerate(self.facets):
            named = {f":facet{number}_{which}": {"S": one} for which, one in enumerate(choice)}
            values |= named
            conditions.append("(" + " OR ".join(f"contains(facets, {name})" for name in named) + ")")
        for number, one in enumerate(self.without):
            values[f":without{number}"] = {"S": one}
            conditions.append(f"NOT contains(facets, :without{number})")
        if self.search is not None:
            values[":search"] = {"S": self.search}
            conditions.append("contains(search_name, :search)")
        return {
            "TableName": JobRecord.Meta.table_name,
            "IndexName": self.index,
            "KeyConditionExpression": " AND ".join(keys),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            **({"FilterExpression": " AND ".join(conditions)} if conditions else {}),
        }


# Partitions one after the other, in the list's order.
Lane = Sequence[Partition]
# Gives the tasks whose name holds a (folded) text, and when such a name was lost, if it was.
TasksNamed = Callable[[str], Mapping[str, datetime | None]]


@dataclass(frozen=True)
class Plan:
    """Lanes that hold each job of the list once, beside open jobs; merged by id they are the list.

    `but_open`: the lanes of all open jobs that meet the other filters. That a job succeeded is no facet, so some lanes
    have these jobs too: they are left out of the list, unless `lanes` has their own status.
    """

    lanes: list[Lane]
    but_open: list[Lane]


def plan(wanted: JobFilter, *, months: Sequence[str], shards: int, tasks_named: TasksNamed) -> Plan:
    """How to read the list.

    `months` is what the timeline is read by, in the list's order, each in so many `shards`. `tasks_named` is asked when
    a name is searched for, and gives more than MOST_TASKS tasks only to say that there are too many.
    """
    asked = frozenset(wanted.status) if len(frozenset(wanted.status)) < len(JobStatus) else frozenset()
    ended = sorted(asked & ENDED)
    lanes: list[Lane] = [[_partition(wanted, "by_status", "status", status)] for status in sorted(asked & OPEN)]
    but_open: list[Lane] = []
    if ended or not asked:
        found = _lanes(wanted, ended, months, shards, tasks_named)
        lanes += found
        if USUAL in ended and any(partition.index != "by_status" for lane in found for partition in lane):
            but_open = [[_partition(wanted, "by_status", "status", status)] for status in sorted(OPEN)]
    return Plan(lanes, but_open)


def _lanes(
    wanted: JobFilter, ended: Sequence[JobStatus], months: Sequence[str], shards: int, tasks_named: TasksNamed
) -> list[Lane]:
    """The lanes of jobs that ended with one of these, or, when there is none, of all jobs."""
    for name, index in INDEXES.items():
        # Nearly all jobs succeed: of these a group is the smaller part.
        if name == "status" and ended and not (wanted.group and JobStatus.SUCCEEDED in ended):
            return [[_partition(wanted, index, name, status)] for status in ended]
        if name == "search" and wanted.search is not None:
            tasks = tasks_named(folded(wanted.search))
            if len(tasks) <= MOST_TASKS:
                found = [_while_named(wanted, index, task_id, lost_at, ended) for task_id, lost_at in tasks.items()]
                return [[partition] for partition in found if not partition.is_empty]
        elif (value := getattr(wanted, name)) and name != "status":
            return [[_partition(wanted, index, name, value, ended)]]
    keys = [timeline_keys(month, shards) for month in months]
    lanes = [[_partition(wanted, TIMELINE, "month", key, ended) for key in lane] for lane in zip(*keys, strict=True)]
    # Their ids may lie in any month: a lane of their own.
    return [*lanes, [_partition(wanted, TIMELINE, "month", EARLY, ended)]]


def _while_named(
    wanted: JobFilter, index: str, task_id: str, lost_at: datetime | None, ended: Sequence[JobStatus]
) -> Partition:
    """The jobs of a task until it lost its name: a search need not read past the later ones."""
    if lost_at is not None:
        last = lost_at + PLANNED_AHEAD
        wanted = replace(wanted, created_to=min(wanted.created_to or last, last))
    return _partition(wanted, index, "task_id", task_id, ended)


def _partition(wanted: JobFilter, index: str, column: str, value: str, ended: Sequence[JobStatus] = ()) -> Partition:
    equal = [(facet(name, given),) for name in EQUALITIES if name != column and (given := getattr(wanted, name))]
    usual = USUAL in ended
    outcomes = [tuple(facet(OUTCOME, status) for status in ended)] if ended and not usual else []
    others = [facet(OUTCOME, status) for status in sorted(ENDED - {*ended})] if usual else []
    return Partition(
        index,
        column,
        str(value),
        _bound(wanted.created_from),
        _bound(wanted.created_to),
        (*equal, *outcomes),
        tuple(others),
        None if wanted.search is None else folded(wanted.search),
    )


def matches(wanted: JobFilter, job: JobRecord) -> bool:
    """Whether a job whose record is at hand belongs to the list."""
    first, before = _bound(wanted.created_from), _bound(wanted.created_to)
    return (
        (first is None or job.job_id >= first)
        and (before is None or job.job_id < before)
        and (not wanted.status or job.status in wanted.status)
        and (wanted.search is None or folded(wanted.search) in job.search_name)
        and all(facet(name, value) in job.facets for name in EQUALITIES if (value := getattr(wanted, name)))
    )


def _bound(instant: datetime | None) -> str | None:
    """ULIDs sort by time: an instant bounds them by its first ten letters."""
    return None if instant is None else ulid(max(instant, _EPOCH), "")[:10]
