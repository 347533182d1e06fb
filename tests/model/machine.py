"""The model: random sequences of what people, clocks, workers and crashes do to tasks and jobs.

After each write the invariants of the record hold (`core/invariants`), and each change of a job's status is one of
TRANSITIONS. At the end the model lets all work finish: then no job is open, every slot has its job, the audit has every
action of a person, and the bucket holds the files of the runs that succeeded and no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.clock import Clock
from chalicelib.core.ids import job_id_of_slot
from chalicelib.core.lifecycle import OPEN, RunStatus
from chalicelib.core.schedules.fires import upcoming
from chalicelib.errors import NotFound, StaleRevision, WrongState
from chalicelib.jobs import actions
from chalicelib.maintenance import integrity, sweep
from chalicelib.queue import claim
from chalicelib.scheduling import slots, tick
from chalicelib.storage.layout import run_prefix
from chalicelib.store import watches
from chalicelib.store.job_record import JobRecord
from chalicelib.store.runs import RunRecord
from chalicelib.store.task_record import TaskRecord
from chalicelib.store.watches import Watched
from chalicelib.tasks import editing as task_editing
from chalicelib.tasks import starts
from chalicelib.worker.worker import handle
from tests.model import tiling
from tests.model.aws import VISIBILITY, Message
from tests.model.choices import DEATH, DELETE, EDITS, JUMPS, MOMENTS, PICK, SCHEDULES, SINCE, STOP, TASK, UNION
from tests.model.processes import Process
from tests.model.watch import Watch
from tests.model.work import AWS, WORK
from tests.support.simulator import OPERATOR, WORK_TIME
from tests.support.world import STAGE

# How often each rule did something, over all sequences.
HITS: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.aws = AWS[0]
        self.aws.empty()
        # Objects of workers whose runs `sweep` has ended: when such a worker dies now, only the lifecycle removes them.
        self.late: set[str] = set()
        self.aws.bucket.put = self._put
        self.watch = Watch(self.aws.tables, lambda: self.aws.now)
        self.aws.tables.watchers.append(self.watch)
        self.names: Iterator[int] = count(1)
        # Two workers and one person may be stopped in the middle of a step.
        self.working: dict[str, tuple[Process, Message]] = {}
        self.done: Counter[tuple[str, str]] = Counter()
        self.task_ids: list[str] = []
        self.edited: set[str] = set()
        # The tasks whose windows follow each other, with the union of missed ones or without, and where these begin.
        self.tiled: dict[str, tuple[bool, datetime]] = {}
        # The next execution that the answer to an edit named.
        self.promised: dict[str, datetime | None] = {}
        self.lagging = False

    # --- how things are run ---

    def _hit(self, name: str) -> None:
        HITS[name] += 1

    def _live(self, name: str, step: Callable[[], Any], dies_after: int | None) -> bool:
        """Run a process; False when it died."""
        self._hit(name)
        process = Process(step)
        if process.go(dies_after):
            return True
        process.kill()
        self._hit("a process dies")
        return False

    def _ask(self, action: str, record_id: str, step: Callable[[], Any], dies_after: int | None) -> None:
        """Do what a person asks for; a refusal is an answer, not a failure."""
        told: list[str] = []

        def asked() -> None:
            try:
                step()
            except (WrongState, NotFound, StaleRevision) as error:
                told.append(str(error))

        if self._live(action, asked, dies_after) and not told:
            self.done[action, record_id] += 1
        if told:
            HITS[f"{action}, refused"] += 1

    def _job(self, pick: int) -> str | None:
        found = sorted(job_id for (job_id,) in self.watch.jobs.items if "." not in job_id)
        return found[-1 - pick % len(found)] if found else None

    # --- people ---

    @initialize(task=TASK)
    def a_task_is_there(self, task: dict[str, Any]) -> None:
        self.create_task(task, None)

    @precondition(lambda self: len(self.task_ids) < 3)
    @rule(task=TASK, dies=DEATH)
    def create_task(self, task: dict[str, Any], dies: int | None) -> None:
        body = {**task, **task["clocks"], "name": f"task {next(self.names)}", "kind": "probe"}
        body["schedule"] = SCHEDULES[task["schedule"]](self.aws)
        if task["schedule"] == "now":
            body["window"] = None
        before = set(self._tasks())
        self._live("create", lambda: task_editing.create(body, actor=OPERATOR, now=self.aws.now), dies)
        made = sorted(set(self._tasks()) - before)
        self.task_ids += made
        if body["window"] == SINCE:
            self.tiled.update((task_id, (task["misfire"] == UNION, self.aws.now)) for task_id in made)
        if dies is None:
            self.done.update(("create", task_id) for task_id in made)

    @precondition(lambda self: self.task_ids)
    @rule(pick=PICK, change=st.sampled_from(EDITS), dies=DEATH)
    def edit_task(self, pick: int, change: dict[str, Any], dies: int | None) -> None:
        task_id, now = self.task_ids[pick % len(self.task_ids)], self.aws.now
        self.edited.add(task_id)
        self.promised.pop(task_id, None)
        if change is DELETE:
            self._ask("delete", task_id, lambda: task_editing.delete(task_id, actor=OPERATOR, now=now), dies)
        else:
            self._ask("update", task_id, lambda: self._edit(task_id, change, now), dies)

    def _edit(self, task_id: str, change: dict[str, Any], now: datetime) -> None:
        edited = task_editing.patch(task_id, change, revision=None, actor=OPERATOR, now=now)
        self.promised[task_id] = slots.next_execution(edited, now=now)

    @precondition(lambda self: self.task_ids)
    @rule(pick=PICK, dies=DEATH)
    def start_by_hand(self, pick: int, dies: int | None) -> None:
        task_id, now = self.task_ids[pick % len(self.task_ids)], self.aws.now
        self._ask("run", task_id, lambda: starts.run(task_id, actor=OPERATOR, now=now), dies)

    @precondition(lambda self: self.watch.jobs.items)
    @rule(pick=PICK, dies=DEATH)
    def cancel(self, pick: int, dies: int | None) -> None:
        self._act(actions.cancel, pick, dies)

    @precondition(lambda self: self.watch.jobs.items)
    @rule(pick=PICK, dies=DEATH)
    def rerun(self, pick: int, dies: int | None) -> None:
        self._act(actions.rerun, pick, dies)

    @precondition(lambda self: self.watch.jobs.items)
    @rule(pick=PICK, priority=st.sampled_from([0, 900, 5000]), dies=DEATH)
    def set_priority(self, pick: int, priority: int, dies: int | None) -> None:
        self._act(actions.set_priority, pick, dies, priority)

    @precondition(lambda self: self.watch.jobs.items)
    @rule(pick=PICK, dies=DEATH)
    def delete(self, pick: int, dies: int | None) -> None:
        self._act(actions.delete, pick, dies)

    def _act(self, action: Callable[..., Any], pick: int, dies: int | None, *given: Any) -> None:
        job_id, now = self._job(pick), self.aws.now
        if job_id is not None:
            self._ask(action.__name__, job_id, lambda: action(job_id, *given, actor=OPERATOR, now=now), dies)

    # --- the timers ---

    @rule(of=st.sampled_from(["tick", "sweep"]), dies=DEATH)
    def timer(self, of: str, dies: int | None) -> None:
        step = tick.tick if of == "tick" else sweep.sweep
        self._live(of, lambda: step(now=self.aws.now), dies)

    @rule(dies=DEATH)
    def minute(self, dies: int | None) -> None:
        """What happens every minute."""
        self.aws.forward(60)
        self._live("tick", lambda: tick.tick(now=self.aws.now), dies)
        self._live("sweep", lambda: sweep.sweep(now=self.aws.now), None)

    # --- workers ---

    @precondition(lambda self: self._next_message() is not None)
    @rule(does=st.sampled_from(sorted(WORK)))
    def a_worker_works(self, does: str) -> None:
        self._start("C", does, None)

    @precondition(lambda self: len(self.working) < 2 and self._next_message() is not None)
    @rule(does=st.sampled_from(sorted(WORK)), stops=MOMENTS)
    def a_worker_stops_half_way(self, does: str, stops: int) -> None:
        self._start("B" if "A" in self.working else "A", does, stops)

    def _next_message(self) -> Message | None:
        soon = self.aws.now + timedelta(minutes=15)
        return min(
            (each for each in self.aws.queue.messages if each.due <= soon), key=lambda each: each.due, default=None
        )

    def _start(self, worker: str, does: str, stops: int | None) -> None:
        message = self._next_message()
        assert message is not None
        self._hit("deliver")
        self.aws.now = max(self.aws.now, message.due)
        message.due = self.aws.now + VISIBILITY
        self.working[worker] = (Process(lambda: self._work(worker, message), does), message)
        self._go(worker, stops)

    @precondition(lambda self: self.working)
    @rule(pick=PICK, stops=STOP, dies=st.sampled_from([False, False, True]))
    def a_worker_goes_on(self, pick: int, stops: int | None, dies: bool) -> None:
        worker = sorted(self.working)[pick % len(self.working)]
        if dies:
            self._hit("a worker dies")
            self.working.pop(worker)[0].kill()
        else:
            self._hit("go on")
            self._go(worker, stops)

    def _go(self, worker: str, stops: int | None) -> None:
        process, message = self.working[worker]
        if process.go(stops):
            del self.working[worker]
            if process.died:
                # The dead worker's message comes back.
                HITS["a worker dies"] += 1
            else:
                self.aws.queue.done(message)
        else:
            HITS["a worker stops half way"] += 1

    def _work(self, worker: str, message: Message) -> None:
        clock = Clock(now=lambda: self.aws.now, sleep=self.aws.forward)
        me = claim.Worker(f"worker-{worker}", self.aws.now + WORK_TIME, clock, watched=False)
        handle(message.body, worker=me)

    def _deliver_all(self, limit: int) -> None:
        for _ in range(limit):
            due = self.aws.queue.due()
            if not due:
                return
            self._hit("deliver")
            self._work("C", due[0])
            self.aws.queue.done(due[0])

    # --- the world ---

    @rule(seconds=st.sampled_from(JUMPS))
    def time_passes(self, seconds: int) -> None:
        self._hit("time passes")
        self.aws.forward(seconds)

    @rule(pick=PICK, what=st.sampled_from(["lost", "twice", "lag"]))
    def aws_errs(self, pick: int, what: str) -> None:
        """A message is lost or comes twice; the indexes lag behind until they catch up."""
        messages = self.aws.queue.messages
        if what == "lag":
            self.lagging = not self.lagging
            self.aws.tables.lag(self.lagging)
            self._hit("indexes lag" if self.lagging else "indexes catch up")
        elif messages:
            message = messages.pop(pick % len(messages))
            messages += [message, Message(message.body, message.due)] if what == "twice" else []
            self._hit("a message comes twice" if what == "twice" else "a message is lost")

    # --- what must hold ---

    @invariant()
    def every_write_left_the_record_sound(self) -> None:
        assert not self.watch.wrong, "\n".join(self.watch.wrong)

    def teardown(self) -> None:
        try:
            if not self.watch.wrong:
                self._come_to_rest()
                self._check_the_end()
            self.every_write_left_the_record_sound()
        finally:
            for process, _ in self.working.values():
                process.kill()

    def _come_to_rest(self) -> None:
        for worker in list(self.working):
            self._hit("go on")
            self._go(worker, None)
        self.aws.tables.lag(False)
        tick.tick(now=self.aws.now)
        self._check_the_ledger()
        self._check_the_promises()
        for task in self._tasks().values():
            if task.enabled:
                task_editing.disable(task.task_id, actor=OPERATOR, now=self.aws.now)
        for seconds in (0, 61, 61, 61, 960, 61, 61, 960, 61, 3_700, 61, 3_700, 61, 3_700, 61, 3_700, 61, 61):
            self.aws.forward(seconds)
            sweep.sweep(now=self.aws.now)
            self._deliver_all(100)
            if not self._open() and not self.aws.queue.messages:
                return

    def _check_the_end(self) -> None:
        assert not self._open(), "no job stays open"
        for (job_id,) in self.watch.jobs.items:
            times = self.watch.ended[job_id]
            assert "." in job_id or times == 1 + self.watch.rerun[job_id], f"{job_id} was ended {times} times"
        found = Counter(
            (entry["action"]["S"], entry["record_id"]["S"])
            for entry in self.aws.tables.tables[f"{STAGE}-audit"].items.values()
        )
        # Two equal requests within one instant are one entry.
        missing = [each for each in self.done if not found[each]]
        assert not missing, f"the audit lacks {missing}"
        self._check_the_bucket()
        self._check_the_windows()
        for walk in integrity.WALKS:
            watches.begin(Watched.PATROL, walk, at=self.aws.now)
            done = integrity.take_turn(walk, now=self.aws.now)
            assert (done.repaired, done.beyond_repair) == (0, 0), "a sound table needs no repair"

    def _check_the_ledger(self) -> None:
        """A task that was not edited has a job for each slot up to the last one that it has moved past."""
        for task in self._tasks().values():
            if task.task_id in self.edited or task.previous_fire_at is None or task.schedule["type"] == "now":
                continue
            after = task.created_at - timedelta(seconds=1)
            fires = upcoming(task.schedule, after=after, count=400, with_skipped=True)
            known = {job_id for (job_id,) in self.watch.jobs.items} | self.watch.deleted
            past = [slot for slot in fires if task.created_at < slot <= task.previous_fire_at]
            forgotten = [slot for slot in past if job_id_of_slot(task.task_id, slot) not in known]
            assert not forgotten, f"slots without a job: {forgotten}"

    def _check_the_promises(self) -> None:
        """The slot that the answer to the last edit named was planned, and not cancelled as one of before."""
        for task_id, at in self.promised.items():
            if at is None or at > self.aws.now or task_id not in self._tasks():
                continue
            item = self.watch.last.get(job_id_of_slot(task_id, at))
            assert item is not None, f"the slot {at} was promised and never planned"
            assert "before the slot" not in item.get("error", {"S": ""})["S"], f"the slot {at} was promised, not kept"

    def _check_the_windows(self) -> None:
        records = [JobRecord.from_raw_data(item) for item in self.watch.last.values()]
        for task_id, (union, begin) in self.tiled.items():
            found = tiling.slots_of(task_id, records, union=union)
            HITS["a window is checked"] += len(found)
            wrong = tiling.untiled(found, begin=begin)
            assert not wrong, f"{task_id}: {wrong}"

    def _put(self, key: str) -> None:
        job_id, run_no = key.split("/")[2:4]
        run = self.watch.runs.items.get((job_id, float(run_no))) if run_no.isdigit() else None
        if key.startswith("files/") and (run is None or "ended_at" in run):
            self.late.add(key)

    def _check_the_bucket(self) -> None:
        kept = set()
        for run in map(RunRecord.from_raw_data, self.watch.runs.items.values()):
            if run.status == RunStatus.SUCCEEDED:
                job = JobRecord.from_raw_data(self.watch.jobs.items[run.job_id,])
                kept.add(run_prefix(job.kind, run.job_id, int(run.run_no)))
        files = [key for key in self.aws.bucket.objects if key.startswith("files/") and key not in self.late]
        left = [key for key in files if not any(map(key.startswith, kept))]
        assert not left, f"left in the bucket: {left}"

    def _open(self) -> list[str]:
        return [
            job_id for (job_id,), item in self.watch.jobs.items.items()
            if "." not in job_id and (item["status"]["S"] in OPEN or "deleted_at" in item)
        ]  # fmt: skip

    def _tasks(self) -> dict[str, TaskRecord]:
        items = self.aws.tables.tables[f"{STAGE}-tasks"].items
        return {str(key[0]): TaskRecord.from_raw_data(item) for key, item in items.items()}
