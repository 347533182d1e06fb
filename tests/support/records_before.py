"""A stage as the code of an earlier day left it: every item, object, message, secret and rule of it, put back.

`data/records_before.json` says in `made` which code wrote it. Never make it anew from today's code: it stands for the
databases that are out there. Expectations name its tasks and jobs by the keys of `tasks` and `jobs`.
"""

from __future__ import annotations

import base64
import json
import pickle
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib import clock
from chalicelib.api import authorizer, blueprint
from chalicelib.core.ids import job_id_of_slot
from chalicelib.errors import ConnectionDropped
from chalicelib.jobs import batch_worker
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store.audit import AuditRecord
from chalicelib.store.base import Record
from chalicelib.store.batches import BatchRecord
from chalicelib.store.catalogue import CalendarRecord, ReportRecord, SourceRecord
from chalicelib.store.concurrency import LimitRecord
from chalicelib.store.idempotency import RequestRecord
from chalicelib.store.job_record import JobRecord
from chalicelib.store.logs import LogRecord
from chalicelib.store.pools import PoolRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_names import NameRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.store.tokens import TokenRecord
from chalicelib.store.watches import WatchRecord
from tests.support.http import Http
from tests.support.simulator import PROBE, Message, Stage
from tests.support.world import ACCOUNT, REGION, STAGE, World

DATA = Path(__file__).parents[1] / "data" / "records_before.json"
# What the dump's sqlite sources read: an order every hour of two days.
DATABASE = "records-before.db"
ORDERS = [
    (number, f"2026-03-{1 + number // 24:02} {number % 24:02}:00:00", "张伟" if number % 2 else None, f"{number}.10")
    for number in range(48)
]
DAY = datetime(2026, 3, 2, tzinfo=UTC)

# table -> how the ids of its items begin -> whose items these are; what begins otherwise is the first one's.
MODELS: dict[str, dict[str, type[Record]]] = {
    "tasks": {"": TaskRecord},
    "jobs": {"": JobRecord, "rule.": WatchRecord, "batch.": WatchRecord, "patrol.": WatchRecord},
    "runs": {"": RunRecord},
    "logs": {"": LogRecord},
    "reports": {"": ReportRecord},
    "sources": {"": SourceRecord},
    "calendars": {"": CalendarRecord},
    "tokens": {"": TokenRecord},
    "audit": {"": AuditRecord},
    "requests": {"": RequestRecord},
    "batches": {"": BatchRecord},
    "pools": {"": PoolRecord, "~task:": LimitRecord, "~source:": LimitRecord},
    "names": {"": NameRecord},
}

Item = dict[str, dict[str, Any]]


@cache
def dump() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DATA.read_text())
    return found


def at(text: str) -> datetime:
    """An instant of the dump's day: `at("09:41")`."""
    return datetime.combine(DAY, time.fromisoformat(text), tzinfo=UTC)


def items(table: str) -> list[Item]:
    """A table's items as DynamoDB gives them: typed, binary values as bytes."""
    return [_with_bytes(item) for item in dump()["tables"].get(table, [])]


def _with_bytes(item: Item) -> Item:
    return {name: {"B": base64.b64decode(value["B"])} if "B" in value else dict(value) for name, value in item.items()}


def comparable(item: Item) -> Item:
    """An item whose sets are in order."""
    return {name: {"SS": sorted(value["SS"])} if "SS" in value else value for name, value in item.items()}


def model_of(table: str, item: Item) -> type[Record]:
    """Whose columns an item has."""
    kinds = MODELS[table]
    hash_key = item[next(iter(kinds.values()))._hash_keyname]["S"]
    return next((model for start, model in kinds.items() if start and hash_key.startswith(start)), kinds[""])


def plain(value: dict[str, Any]) -> Any:
    """A typed value as Python has it; a document stays the text that it is kept as."""
    ((kind, found),) = value.items()
    return {"N": lambda: float(found), "SS": lambda: set(found)}.get(kind, lambda: found)()


@cache
def rows(table: str) -> list[dict[str, Any]]:
    """A table's items in Python's types, without those of other models that stand in it."""
    first = MODELS[table][""]
    return [
        {name: plain(value) for name, value in item.items()} for item in items(table) if model_of(table, item) is first
    ]


def task_id(name: str) -> str:
    return str(dump()["tasks"][name])


def job_id(name: str) -> str:
    return str(dump()["jobs"][name])


def slot_of(name: str, text: str) -> str:
    """The id of the job of a task's slot."""
    return job_id_of_slot(task_id(name), at(text))


def csv_of(columns: str, first: datetime, before: datetime) -> bytes:
    """The file that an export of the orders between two instants is."""
    within = [row for row in ORDERS if f"{first:%Y-%m-%d %H:%M:%S}" <= row[1] < f"{before:%Y-%m-%d %H:%M:%S}"]
    places = [("id", "at", "customer", "amount").index(name) for name in columns.split(",")]
    lines = [",".join("" if row[place] is None else str(row[place]) for place in places) for row in within]
    return "\n".join([columns, *lines, ""]).encode()


# --- putting it back --------------------------------------------------------------------------------------------------


@dataclass
class Before:
    """The stage, with what was there before in it."""

    stage: Stage
    admin: Http

    @property
    def world(self) -> World:
        return self.stage.world

    def state(self) -> dict[str, list[Item]]:
        """Everything in the tables now, in an order of its own."""
        database = self.world.client("dynamodb")
        found = {}
        for table in MODELS:
            pages = database.get_paginator("scan").paginate(TableName=f"{STAGE}-{table}")
            read = [comparable(item) for page in pages for item in page["Items"]]
            found[table] = sorted(read, key=lambda item: json.dumps(item, sort_keys=True, default=str))
        return found


def restored(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Before:
    """The dump in an empty world, whose clock stands at the dump's instant; the API goes by this clock too."""
    world = stage.world
    world.now = datetime.fromisoformat(dump()["at"])
    make_orders(world)
    _put_records(world)
    _put_files(world)
    _put_secrets_and_rules(world)
    stage.messages += [Message(each["body"], datetime.fromisoformat(each["due"])) for each in dump()["messages"]]
    PROBE.behaviour = by_spec
    # moto's tables may not be read while another thread puts into them.
    monkeypatch.setattr(batch_worker, "THREADS", 1)
    api_by_the_clock_of(world, monkeypatch)
    return Before(stage, Http(f"Bearer {dump()['tokens']['admin']}"))


def make_orders(world: World) -> None:
    path = world.data_folder / DATABASE
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, customer TEXT, amount TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)


def api_by_the_clock_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blueprint, authorizer):
        monkeypatch.setattr(module, "clock", SimpleNamespace(now=lambda: world.now, monotonic=clock.monotonic))


def by_spec(context: RunContext) -> Outcome:
    """What jobs of the probe kind come to that the code of before left open."""
    if context.facts.spec.get("does") == "drop the connection":
        raise ConnectionDropped("The connection broke again.")
    context.log("INFO", "Done by the code of after.")
    return Outcome(rows=2, summary="done after")


def _put_records(world: World) -> None:
    """The first time item by item, then as moto's tables stood after that: each test has its own."""
    backend = dynamodb_backends[ACCOUNT][REGION]
    if not _filled:
        for table in dump()["tables"]:
            for item in items(table):
                world.client("dynamodb").put_item(TableName=f"{STAGE}-{table}", Item=item)
        _filled.append(pickle.dumps(backend.tables))
    backend.tables = pickle.loads(_filled[0])


_filled: list[bytes] = []


def _put_files(world: World) -> None:
    for key, kept in dump()["objects"].items():
        world.client("s3").put_object(
            Bucket=world.bucket,
            Key=key,
            Body=base64.b64decode(kept["body"]),
            ContentType=kept["content_type"],
            Metadata=kept["metadata"],
        )


def _put_secrets_and_rules(world: World) -> None:
    for name, text in dump()["secrets"].items():
        world.client("secretsmanager").create_secret(Name=name, SecretString=text)
    for kept in dump()["rules"]:
        world.client("events").put_rule(**kept["rule"])
        world.client("events").put_targets(Rule=kept["rule"]["Name"], Targets=kept["targets"])
