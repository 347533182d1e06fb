"""Firing: calls and write units of a job's life, an idle minute, and lateness with many tasks in one second."""

from __future__ import annotations

import contextlib
import io
import random
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import pytest

import tests.support.world  # noqa: F401 - first: it sets the environment of chalicelib
from chalicelib.core.lifecycle import Trigger
from chalicelib.worker import worker as worker_module
from tests.support.export_life import exports_lived
from tests.support.simulator import Stage, a_stage
from tests.support.units import Meter
from tests.support.world import a_world

TASKS = 1_000
BURSTS = (100, 1_000, 5_000)
WORKERS = 10


def main() -> None:
    with pytest.MonkeyPatch.context() as patch:
        life_of_a_job(patch)
        burst()
        lateness(patch)


def life_of_a_job(patch: pytest.MonkeyPatch) -> None:
    jobs = 20
    with a_world() as world, quiet():
        stage = a_stage(world, patch)
        for _ in range(jobs):
            stage.task(schedule={"type": "cron", "expression": "30 9 * * *"})
        meter = Meter()
        with meter.attached():
            stage.tick()
            idle_tick = meter.calls.total()
            stage.sweep()
            idle_sweep = meter.calls.total() - idle_tick
    with a_world() as world, quiet():
        lived = exports_lived(a_stage(world, patch), jobs)
    (table, index, value), share = lived.hottest
    print(f"calls of an idle tick                    {idle_tick}")
    print(f"calls of an idle sweep                   {idle_sweep}")
    print(f"a gzip export's whole life ({jobs} tasks in one second):")
    print(f"  calls to DynamoDB and SQS              {lived.calls_of('dynamodb', 'sqs') / jobs:.1f}")
    print(f"  calls to S3 and Secrets Manager        {lived.calls_of('s3', 'secretsmanager') / jobs:.1f}")
    print(f"  DynamoDB write units                   {lived.writes / jobs:.1f}   {units(lived, jobs)}")
    print(f"  hottest partition of an index          {share:.1%} of all units ({table}.{index} {value})")


def units(meter: Meter, jobs: int) -> str:
    return "(" + ", ".join(f"{table} {count / jobs:.1f}" for table, count in sorted(meter.by_table.items())) + ")"


def burst() -> None:
    """Calls for each job from its token to its end, with many jobs due in one second and eight workers at once.

    On the tables in memory, since calls are counted and not timed: the emulator's queries take longer the more jobs
    there are, DynamoDB's do not.
    """
    for mixed, late, counts in ((False, 0, BURSTS), (False, 20, BURSTS[:2]), (True, 20, BURSTS[:2])):
        found = [calls_in_burst(count, mixed=mixed, late=late) for count in counts]
        ranks = "different ranks" if mixed else "one rank"
        each = ", ".join(f"{calls:.1f} ({count:,})" for calls, count in zip(found, counts, strict=True))
        print(f"calls of a job in a burst, {ranks}, {late:>2} s late: {each}; {max(found) / min(found):.2f} times")


def calls_in_burst(count: int, *, mixed: bool, late: int) -> float:
    from tests.support import contention
    from tests.support.simulator import body_of
    from tests.support.world import START

    slot = START + timedelta(minutes=10, seconds=20)
    draw = random.Random(count)
    with pytest.MonkeyPatch.context() as patch, quiet(), contention.contended_tables(patch) as aws:
        task = contention.a_task(slot - timedelta(minutes=1))
        priorities: random.Random = draw if mixed else contention.Alike()
        made = contention.waiting_jobs(
            task, count, priorities, now=slot - timedelta(seconds=30), trigger=Trigger.SCHEDULE, scheduled_for=slot
        )
        draw.shuffle(made)
        with contention.calls_counted(patch, aws) as calls:
            contention.at_once(
                made,
                lambda job, worker: worker_module.handle(body_of(job), worker=worker) and None,
                now=slot + timedelta(seconds=late),
                until=timedelta(minutes=15),
            )
    return (calls.total() - calls["refused"]) / count


def lateness(patch: pytest.MonkeyPatch) -> None:
    """On the emulator, in real time: one tick, messages held back by SQS, ten workers that poll as Lambda does."""
    from infra.local import emulator
    from tests.support.ministack import ministack_world

    state = Path(tempfile.mkdtemp(prefix="carillon-bench-"))
    port = emulator.free_port()
    with (state / "lock").open("w") as lock:
        child = emulator.start(state, port, lock)
        try:
            with ministack_world(port, patch) as world:
                raw = raw_writes_per_second()
                for count in (1, 100, TASKS):
                    measure(world, patch, count, raw)
        finally:
            emulator.stop(child, state)


def raw_writes_per_second() -> float:
    """What the emulator itself takes: bare conditional writes from ten threads, for comparison."""
    from chalicelib.store import runs
    from chalicelib.store.runs import RunRecord

    def write(number: int) -> None:
        runs.begin(RunRecord("raw", number, fence="f", created_at=datetime.now(UTC)))

    begin = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, range(1, 1001)))
    return 1000 / (time.monotonic() - begin)


def measure(world: Any, patch: pytest.MonkeyPatch, count: int, raw: float) -> None:
    from chalicelib.aws.clients import client
    from chalicelib.scheduling import tick
    from chalicelib.store.job_record import JobRecord

    stage = a_stage(world, patch)
    client("sqs").meta.events.unregister("before-parameter-build.sqs.SendMessageBatch", unique_id="tests-delay")
    patch.setattr("chalicelib.scheduling.outbox.clock", time)
    world.now = datetime.now(UTC)
    # Far enough that making the tasks is over by then.
    slot = (world.now + timedelta(seconds=25 + count * 0.06)).replace(microsecond=0)
    once = {"type": "once", "at": slot.strftime("%Y-%m-%dT%H:%M:%S"), "timezone": "UTC"}
    with quiet():
        patch.setattr(stage, "collect", lambda: None)
        patch.setattr(tick, "plan_now", lambda task, now, until=None: None)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: stage.task(schedule=once, overlap="allow_all"), range(count)))
        begin = time.monotonic()
        tick.tick(now=datetime.now(UTC))
        tick_seconds = time.monotonic() - begin
        deadline = time.monotonic() + 60 + count * 0.3
        with ThreadPoolExecutor(WORKERS) as pool:
            done = threading.Event()
            for _ in range(WORKERS):
                pool.submit(poll, stage, done)
            while sum(1 for job in JobRecord.scan() if job.scheduled_for == slot and job.ended_at) < count:
                if time.monotonic() > deadline:
                    break
                time.sleep(1)
            done.set()
    found = [job for job in JobRecord.scan() if job.scheduled_for == slot]
    late = sorted((job.started_at - slot).total_seconds() for job in found if job.started_at)
    assert len(found) == count == len(late), f"{len(found)} jobs, {len(late)} started"
    assert late[0] >= 0, "started before its slot"
    cuts = statistics.quantiles(late, n=100, method="inclusive") if count > 1 else [late[0]] * 99
    print(
        f"{count:>5} tasks in one second: tick {tick_seconds:.2f} s; lateness p50 {cuts[49]:.2f} s, "
        f"p95 {cuts[94]:.2f} s, p99 {cuts[98]:.2f} s (a job took the time of {late[-1] * raw / count:.0f} bare writes)"
    )


def poll(stage: Stage, done: threading.Event) -> None:
    from chalicelib import clock
    from chalicelib.aws.clients import client
    from chalicelib.queue import claim
    from chalicelib.worker import worker

    sqs = client("sqs")
    while not done.is_set():
        answer = sqs.receive_message(QueueUrl=stage.world.queue_url, MaxNumberOfMessages=1, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            until = clock.now() + timedelta(minutes=15)
            worker.handle(message["Body"], worker=claim.Worker("bench", until, clock.Clock(), watched=False))
            sqs.delete_message(QueueUrl=stage.world.queue_url, ReceiptHandle=message["ReceiptHandle"])


def quiet() -> Any:
    """The log lines of the product are not the bench's figures."""
    return contextlib.redirect_stdout(io.StringIO())


if __name__ == "__main__":
    main()
