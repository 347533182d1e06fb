"""Checks every write to jobs and runs: the invariants hold after it, and TRANSITIONS lists the change of status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chalicelib import retention
from chalicelib.core.invariants.facts import Facts
from chalicelib.core.invariants.table import broken
from chalicelib.core.lifecycle import ENDED, OPEN, TRANSITIONS, JobStatus
from chalicelib.store import jobs
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from tests.model.expressions import Item
from tests.model.tables import Key, Tables
from tests.support.world import STAGE

STATUS_CHANGES = {
    (before, after) for sources, targets in TRANSITIONS.values() for before in sources for after in targets
}
# What may change on an ended job without a move: the columns of its deletion.
DELETION_COLUMNS = frozenset({"deleted_at", "deleted_by", "files", "lease_shard", "lease_until", "acts", "expires_at"})


class Watch:
    def __init__(self, tables: Tables, now: Callable[[], datetime]):
        self.jobs, self.runs = tables.tables[f"{STAGE}-jobs"], tables.tables[f"{STAGE}-runs"]
        self.now = now
        self.wrong: list[str] = []
        # How often each job was ended, and run again.
        self.ended: Counter[str] = Counter()
        self.rerun: Counter[str] = Counter()
        self.deleted: set[str] = set()
        # The last record that each job had, also of one that is deleted.
        self.last: dict[str, Item] = {}
        # Runs as they were last read: most writes are to jobs.
        self._read: dict[Key, tuple[Item, RunRecord]] = {}

    def __call__(self, table: str, before: Item | None, after: Item | None) -> None:
        item: Any = after or before
        if table not in (self.jobs.name, self.runs.name) or "." in item["job_id"]["S"]:
            return
        job_id = item["job_id"]["S"]
        if table == self.jobs.name:
            self.last[job_id] = item
            self._moved(job_id, before, after)
        self.check(job_id)

    def _moved(self, job_id: str, before: Item | None, after: Item | None) -> None:
        if after is None:
            assert before is not None
            self.deleted.add(job_id)
            self.ended[job_id] = self.rerun[job_id] = 0
            if before["status"]["S"] not in ENDED:
                self.wrong.append(f"{job_id} was deleted while {before['status']['S']}")
            return
        was, now = (None if each is None else JobStatus(each["status"]["S"]) for each in (before, after))
        if now in ENDED and was not in ENDED:
            self.ended[job_id] += 1
        if was in ENDED and now in OPEN:
            self.rerun[job_id] += 1
        if before is None and job_id in self.deleted:
            self.wrong.append(f"{job_id} was deleted, and its slot is recorded anew")
        if before is None or was is None:
            return
        if was != now and (was, now) not in STATUS_CHANGES:
            self.wrong.append(f"{job_id} went from {was} to {now}")
        if was == now and was in ENDED:
            changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
            if changed - DELETION_COLUMNS:
                self.wrong.append(f"{job_id}, {was}, was changed after its end: {sorted(changed)}")

    def check(self, job_id: str) -> None:
        facts = self.facts(job_id)
        if facts is not None:
            self.wrong += [
                f"{job_id} ({facts.job.status}) breaks {each.name}: {each.meaning}" for each in broken(facts)
            ]

    def facts(self, job_id: str) -> Facts | None:
        found = self.jobs.items.get((job_id,))
        if found is None:
            return None
        job = JobRecord.from_raw_data(found)
        its_runs = [self._run(key, item) for key, item in sorted(self.runs.items.items()) if key[0] == job_id]
        now = self.now()
        return Facts(job, its_runs, now, jobs.lease_shard(job_id), retention.expires_at(job.kind, now))

    def _run(self, key: Key, item: Item) -> RunRecord:
        known = self._read.get(key)
        if known is None or known[0] is not item:
            known = self._read[key] = item, RunRecord.from_raw_data(item)
        return known[1]
