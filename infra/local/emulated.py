"""The child process that stands for AWS on this machine: ministack, corrected where it differs from AWS."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local import snapshots

# AWS polls a queue all the time. The emulator looks once a second when idle: a delayed message would be that late.
WAKE_SECONDS = 0.1

# A kill loses what came after the last snapshot. One that takes five seconds to write still keeps to fifteen.
SNAPSHOT_SECONDS = 10.0
# A snapshot that takes longer than this is given up; the next one tries again.
SNAPSHOT_LIMIT_SECONDS = 60.0

# AWS asks the permission of a single send for a batch of them; the emulator looks for one of the batch's name.
BATCHES = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}

# prctl(PR_SET_PDEATHSIG, …) of Linux.
PARENT_DEATH_SIGNAL = 1


# The runner's signal that the queue may be read. Until then no worker is alive, even if the queue holds tokens.
WORD_TO_WORK = signal.SIGUSR1
may_work = threading.Event()


def main() -> None:
    """Be the emulator, until asked to stop or until the runner is gone. The argument: the open file of the lock."""
    lock = int(sys.argv[1])
    signal.signal(WORD_TO_WORK, lambda _number, _frame: may_work.set())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    correct()
    have_functions_hold(lock)
    threading.Thread(target=keep_awake, daemon=True).start()
    from ministack import app

    sys.argv = ["ministack"]
    app.main()


def have_functions_hold(lock: int) -> None:
    """Let every function hold the state's lock as long as it lives: who has the lock knows that none is left."""

    class Held(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *given: Any, **named: Any):
            super().__init__(*given, **{**named, "pass_fds": (lock, *named.get("pass_fds", ()))})

    subprocess.Popen = Held  # type: ignore[misc]


def correct() -> None:
    from ministack import app
    from ministack.core import iam_actions
    from ministack.services import lambda_svc

    keeper = Keeper(Path(os.environ["STATE_DIR"]), app._build_persistence_save_dict)
    app.save_all = keeper.save_last

    # The emulator's last act but one is to write its state; then it waits for the functions that run. One in the middle
    # of its work could go on for minutes, and find the next emulator at the same address.
    lifespan = app._handle_lifespan

    async def end_with_functions(*given: Any) -> None:
        keeper.start()
        await lifespan(*given)
        os.killpg(0, signal.SIGKILL)

    app._handle_lifespan = end_with_functions

    # A number that a template takes from a parameter stays text in the emulator, and this one is compared.
    limit = lambda_svc._sqs_esm_concurrency
    lambda_svc._sqs_esm_concurrency = lambda *given: int(limit(*given))

    poll = lambda_svc._poll_sqs
    lambda_svc._poll_sqs = lambda: may_work.is_set() and poll()

    # The policies refuse what does not come over TLS; here loopback stands for it.
    origin = app.pin_request_origin

    def pin(address: Any, _secure: bool) -> Any:
        keeper.changed = True
        return origin(address, True)

    app.pin_request_origin = pin

    extract = iam_actions.extract_iam_action

    def action(*given: Any, **named: Any) -> str | None:
        found: str | None = extract(*given, **named)
        return found and BATCHES.get(found, found)

    iam_actions.extract_iam_action = action

    # On AWS a rule of the default bus is named without its bus, and a target's rule counts as its resource.
    resource = iam_actions.extract_resource_arn

    def arn(service: str, method: str, path: str, headers: Any, body: bytes, *given: Any, **named: Any) -> str:
        if service == "events" and body and "Rule" in (asked := json.loads(body)):
            body = json.dumps({**asked, "Name": asked["Rule"]}).encode()
        found: str = resource(service, method, path, headers, body, *given, **named)
        return found.replace(":rule/default/", ":rule/") if service == "events" else found

    iam_actions.extract_resource_arn = arn

    # AWS refuses an update of a stack that makes or removes more than one index of a table.
    from ministack.services.cloudformation import provisioners

    tables = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    update = tables["update"]

    def one_index(physical_id: str, old: Any, new: Any, *given: Any, **named: Any) -> Any:
        names = [{each["IndexName"] for each in one.get("GlobalSecondaryIndexes", [])} for one in (old, new)]
        if len(names[0] ^ names[1]) > 1:
            raise ValueError("Cannot perform more than one GSI creation or deletion in a single update")
        return update(physical_id, old, new, *given, **named)

    tables["update"] = one_index

    # The emulator knows no alarm on a sum of metrics: here it watches the first of them.
    alarm_of = provisioners._cw_metric_alarm_record

    def of_the_first(name: str, properties: Any) -> Any:
        measured = [each["MetricStat"] for each in properties.get("Metrics", []) if "MetricStat" in each]
        if measured:
            first = {**measured[0]["Metric"], "Period": measured[0]["Period"], "Statistic": measured[0]["Stat"]}
            properties = {key: value for key, value in properties.items() if key != "Metrics"} | first
        return alarm_of(name, properties)

    provisioners._cw_metric_alarm_record = of_the_first

    # AWS lets a policy ask which targets a rule gets.
    context = iam_actions.request_tag_context

    def with_targets(service: str, asked: str, body: bytes, *given: Any) -> dict[str, Any]:
        found: dict[str, Any] = context(service, asked, body, *given)
        if asked == "events:PutTargets":
            found["events:targetarn"] = [each.get("Arn", "") for each in json.loads(body).get("Targets", [])]
        return found

    iam_actions.request_tag_context = with_targets


class Keeper:
    """Writes the emulator's state while it runs and when it stops.

    A child process of the emulator writes the snapshot: it has a copy of the memory of one instant, and the emulator
    goes on. The fork happens on the event loop, where no request to DynamoDB or SQS is half done.
    """

    def __init__(self, folder: Path, services: Callable[[], dict[str, Callable[[], Any]]]):
        self.folder = folder
        self.services = services
        self.changed = False
        self.writer = 0
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.keep_saving())

    async def keep_saving(self) -> None:
        """Save after each change, from the runner's word on: half a deployment is nothing to go on from."""
        while not may_work.is_set():
            await asyncio.sleep(0.1)
        while True:
            self.changed = False
            self.writer = os.fork()
            if self.writer == 0:
                self.write_as_child()
            await self.wait_for_writer()
            await asyncio.sleep(SNAPSHOT_SECONDS)
            while not self.changed:
                await asyncio.sleep(0.5)

    def write_as_child(self) -> None:
        """Write the snapshot and end: nothing of the emulator goes on in this copy of it."""
        from ministack.services import lambda_svc

        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.alarm(int(SNAPSHOT_LIMIT_SECONDS))
            # The functions that run are worth more of the processor than the snapshot.
            os.nice(10)
            # The last snapshot names code that this one may not need: it stays until a stop.
            lambda_svc._prune_orphan_code_blobs = lambda _referenced: None
            self.save(stopped=False)
            code = 0
        except Exception as error:
            os.write(2, f"The snapshot failed: {error!r}\n".encode())
        finally:
            os._exit(code)

    async def wait_for_writer(self) -> None:
        while True:
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(self.writer, os.WNOHANG)
                if not ended:
                    await asyncio.sleep(0.1)
                    continue
                # What this one did not save, the next one has to.
                self.changed = self.changed or status != 0
            self.writer = 0
            return

    def save_last(self, _services: Any) -> None:
        """The emulator's own act when it stops: no snapshot is being written beside this one."""
        if self.task is not None:
            self.task.cancel()
        if self.writer:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.writer, signal.SIGKILL)
                os.waitpid(self.writer, 0)
        self.save(stopped=True)

    def save(self, *, stopped: bool) -> None:
        from ministack.core import persistence

        at = datetime.now(UTC)
        states = {name: state() for name, state in self.services().items()}
        files = {
            name: json.dumps(
                {"__ministack_format__": persistence._state_format_version(name), "payload": state},
                default=persistence._json_default,
            ).encode()
            for name, state in states.items()
            if state is not None
        }
        snapshots.write(self.folder, files, snapshots.Snapshot(at, stopped))


def keep_awake() -> None:
    from ministack.core.concurrency import esm_wake

    while True:
        time.sleep(WAKE_SECONDS)
        esm_wake.set()


if __name__ == "__main__":
    main()
