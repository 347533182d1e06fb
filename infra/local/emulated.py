"""The child process that stands for AWS on this machine: ministack, corrected where it differs from AWS."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

# AWS polls a queue all the time. The emulator looks once a second when idle: a delayed message would be that late.
WAKE_SECONDS = 0.1

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

    # The emulator's last act but one is to write its state; then it waits for the functions that run. One in the middle
    # of its work could go on for minutes, and find the next emulator at the same address.
    lifespan = app._handle_lifespan

    async def end_with_functions(*given: Any) -> None:
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
    app.pin_request_origin = lambda address, _secure: origin(address, True)

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


def keep_awake() -> None:
    from ministack.core.concurrency import esm_wake

    while True:
        time.sleep(WAKE_SECONDS)
        esm_wake.set()


if __name__ == "__main__":
    main()
