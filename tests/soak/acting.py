"""Makes the tasks of a soak, and does to them at random what people, crashes and power cuts do."""

from __future__ import annotations

import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from infra.local.address import Caller, Refused
from tests.e2e.local_stack import LocalStack
from tests.soak import chaos
from tests.soak.diary import Diary

# Rows of the three reports. The last takes seconds, so that kills find it at work.
SIZES = (100, 5_000, 400_000)
# Every row tells its number and its job's window: a file that lacks a row, or holds another job's rows, shows it.
QUERY = """
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {size})
SELECT n, :window_start AS window_start, :window_end AS window_end FROM counted
""".strip()

WINDOWS: tuple[dict[str, Any], ...] = (
    {"type": "yesterday"},
    {"type": "last_hour"},
    {"type": "rolling", "n": 60, "unit": "minute"},
    {"type": "since_previous_fire"},
)
MISFIRES = ("skip", "fire_once", "catch_up")
OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_other", "allow_all")
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata")

# How often each act is chosen, and how long people pause between two.
ACTS = {"run": 5, "cancel": 6, "rerun": 6, "priority": 6, "edit": 6, "toggle": 4, "delete_task": 1, "delete_job": 3}
PAUSE_SECONDS = 0.6
WORKER_KILL_SECONDS = 40.0
POWER_CUTS = 3


class Cast:
    """The actors of a soak, on a stack that runs. `seed` decides what they do, but not when."""

    def __init__(self, stack: LocalStack, diary: Diary, *, tasks: int, seed: int):
        self.stack, self.diary, self.count = stack, diary, tasks
        self.random = random.Random(seed)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.reports: list[str] = []
        self.acts = 0
        self.refused: dict[str, int] = {}

    @property
    def call(self) -> Caller:
        return self.stack.as_("admin")

    def prepare(self, until: datetime) -> None:
        """Make the source, the reports and the tasks; their fires reach to `until`."""
        source = self.call("POST", "/sources", {"name": "Soak", "kind": "sqlite", "settings": {"path": "shop.db"}})
        for size in SIZES:
            queries = [{"name": "rows", "sql": QUERY.format(size=size)}]
            body = {"name": f"{size} rows", "source_id": source["source_id"], "queries": queries}
            self.reports.append(self.call("POST", "/reports", body)["report_id"])
        bodies = [self.body(number, until) for number in range(self.count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.make, bodies))

    def body(self, number: int, until: datetime) -> dict[str, Any]:
        size = self.random.choices(range(len(SIZES)), weights=(20, 10, 1))[0]
        schedule = self.schedule(number, until)
        window = self.random.choice(WINDOWS if schedule["type"] not in ("now", "once") else WINDOWS[:3])
        return {
            "name": f"Soak {number}",
            "kind": "report_export",
            "spec": {"report_id": self.reports[size], "format": "csv", "compression": "gzip"},
            "schedule": schedule,
            "window": window,
            "misfire": {"policy": self.random.choice(MISFIRES)},
            "overlap": self.random.choice(OVERLAPS),
            "priority": self.random.choice((0, 1000, 1000, 5000)),
            "retry": {"max_attempts": self.random.choice((2, 3, 5)), "delay_seconds": self.random.choice((0, 5, 20))},
        }

    def schedule(self, number: int, until: datetime) -> dict[str, Any]:
        """One of each type in turn, most of them periodic."""
        zone = self.random.choice(ZONES)
        now = datetime.now(UTC).replace(microsecond=0)
        soon = now + timedelta(seconds=self.random.uniform(60, max(120, (until - now).total_seconds())))
        kind = ("interval", "cron", "interval", "cron", "calendar", "cron", "once", "interval", "cron", "now")[
            number % 10
        ]
        if kind == "now":
            return {"type": "now", "timezone": zone}
        if kind == "once":
            return {
                "type": "once",
                "at": soon.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S"),
                "timezone": zone,
            }
        if kind == "calendar":
            at = soon.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S")
            return {"type": "calendar", "every": 1, "unit": "day", "at": at, "timezone": zone}
        if kind == "interval":
            start = (now - timedelta(seconds=self.random.randrange(600))).strftime("%Y-%m-%dT%H:%M:%S+00:00")
            every, unit = self.random.choice(((60, "second"), (95, "second"), (3, "minute"), (5, "minute")))
            return {"type": "interval", "every": every, "unit": unit, "start": start, "timezone": zone}
        expression = self.random.choice(
            ("*/2 * * * *", "1-59/3 * * * *", "*/5 * * * *", "20 */4 * * * *", "45 */3 * * * *", "*/6 * * * *")
        )
        return {"type": "cron", "expression": expression, "timezone": zone}

    def make(self, body: dict[str, Any]) -> None:
        asked = datetime.now(UTC)
        made = self.call("POST", "/tasks", body, key=body["name"].replace(" ", "-"))
        self.tasks[made["task_id"]] = body
        self.diary.note(
            "task", asked=asked, task_id=made["task_id"], schedule=made["schedule"], enabled=made["enabled"]
        )

    # --- acts ---------------------------------------------------------------------------------------------------------

    def act(self, until: datetime) -> None:
        """Act until the time is up; kill a worker and the whole stack now and then."""
        between_cuts = (until - datetime.now(UTC)).total_seconds() / (POWER_CUTS + 1)
        next_worker, next_cut = time.monotonic() + WORKER_KILL_SECONDS, time.monotonic() + between_cuts
        while datetime.now(UTC) < until:
            time.sleep(PAUSE_SECONDS * self.random.random() * 2)
            if time.monotonic() > next_worker:
                chaos.kill_a_worker(self.stack, self.diary, self.random)
                next_worker = time.monotonic() + WORKER_KILL_SECONDS
            if time.monotonic() > next_cut:
                chaos.cut_the_power(self.stack, self.diary)
                self.take_stock()
                next_cut = time.monotonic() + between_cuts
            name = self.random.choices(list(ACTS), weights=list(ACTS.values()))[0]
            asked = datetime.now(UTC)
            try:
                getattr(self, name)(asked)
                self.acts += 1
            except Refused as error:
                # A job that has ended meanwhile, a task that was deleted: people meet that too. A 5xx is a fault.
                self.refused[f"{name} {error.status}"] = self.refused.get(f"{name} {error.status}", 0) + 1
                if error.status >= 500:
                    self.diary.note("fault", asked=asked, what=name, error=str(error)[:500])

    def take_stock(self) -> None:
        """After a power cut: write down each task as it is now, since acts of the last seconds may be lost."""
        for task_id in list(self.tasks):
            asked = datetime.now(UTC)
            try:
                found = self.call("GET", f"/tasks/{task_id}")
            except Refused as error:
                if error.status != 404:
                    raise
                self.diary.note("found", asked=asked, task_id=task_id, schedule=None, enabled=False)
            else:
                self.diary.note(
                    "found", asked=asked, task_id=task_id, schedule=found["schedule"], enabled=found["enabled"]
                )

    def some_task(self) -> str:
        return self.random.choice(list(self.tasks))

    def some_job(self, *statuses: str) -> dict[str, Any] | None:
        query = "&".join(f"status={status}" for status in statuses)
        found = self.call("GET", f"/jobs?page_size=50&{query}")["items"]
        return self.random.choice(found) if found else None

    def run(self, asked: datetime) -> None:
        task_id = self.some_task()
        made = self.call("POST", f"/tasks/{task_id}/run", {})
        self.diary.note("run", asked=asked, task_id=task_id, job_id=made["job_id"])

    def cancel(self, asked: datetime) -> None:
        if job := self.some_job("waiting", "assigned", "running"):
            self.call("POST", f"/jobs/{job['job_id']}/cancel", {})
            self.diary.note("cancel", asked=asked, job_id=job["job_id"])

    def rerun(self, asked: datetime) -> None:
        if job := self.some_job("succeeded", "failed", "canceled", "skipped", "missed"):
            # Noted first: where the stack dies before its answer, the re-run may have come all the same.
            self.diary.note("rerun", asked=asked, job_id=job["job_id"])
            self.call("POST", f"/jobs/{job['job_id']}/rerun", {})

    def priority(self, asked: datetime) -> None:
        if job := self.some_job("waiting"):
            self.call("PATCH", f"/jobs/{job['job_id']}", {"priority": self.random.randrange(5001)})

    def edit(self, asked: datetime) -> None:
        """Another schedule, or another description, which leaves the schedule as it is."""
        task_id = self.some_task()
        changes: dict[str, Any] = {"description": f"edited at {asked:%H:%M:%S}"}
        if self.tasks[task_id]["schedule"]["type"] in ("interval", "cron") and self.random.random() < 0.5:
            changes["schedule"] = self.schedule(self.random.choice((0, 1)), asked + timedelta(minutes=10))
        changed = self.call("PATCH", f"/tasks/{task_id}", changes)
        self.diary.note("task", asked=asked, task_id=task_id, schedule=changed["schedule"], enabled=changed["enabled"])

    def toggle(self, asked: datetime) -> None:
        task_id = self.some_task()
        known = self.call("GET", f"/tasks/{task_id}")
        asked = datetime.now(UTC)
        changed = self.call("POST", f"/tasks/{task_id}/{'disable' if known['enabled'] else 'enable'}", {})
        self.diary.note("task", asked=asked, task_id=task_id, schedule=changed["schedule"], enabled=changed["enabled"])

    def delete_task(self, asked: datetime) -> None:
        task_id = self.some_task()
        self.call("DELETE", f"/tasks/{task_id}")
        self.diary.note("task", asked=asked, task_id=task_id, schedule=None, enabled=False, deleted=True)

    def delete_job(self, asked: datetime) -> None:
        if job := self.some_job("succeeded", "failed", "canceled", "skipped", "missed"):
            names = ("job_id", "task_id", "scheduled_for")
            self.diary.note("delete_job", asked=asked, **{name: job[name] for name in names})
            self.call("DELETE", f"/jobs/{job['job_id']}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def come_to_rest(self, seconds: float) -> None:
        """Disable every task and wait until nothing waits or runs."""
        for task_id in list(self.tasks):
            asked = datetime.now(UTC)
            try:
                changed = self.call("POST", f"/tasks/{task_id}/disable", {})
            except Refused as error:
                if error.status != 404:
                    raise
            else:
                self.diary.note("task", asked=asked, task_id=task_id, schedule=changed["schedule"], enabled=False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            counts = self.call("GET", "/jobs/counts")
            if not any(counts[status] for status in ("waiting", "assigned", "running")):
                return
            time.sleep(2)
        sys.stdout.write(f"not at rest after {seconds:.0f} s: {counts}\n")


def progress(cast: Cast, done: threading.Event) -> None:
    """Say each minute how it goes."""
    while not done.wait(60):
        try:
            counts = cast.call("GET", "/jobs/counts")
            total = cast.call("GET", "/jobs?page_size=10")["total"]
        except (Refused, OSError):
            continue
        now = {status: counts[status] for status in ("waiting", "assigned", "running")}
        sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {total} jobs, {now}, {cast.acts} acts\n")
        sys.stdout.flush()
