"""The child process that is AWS on this machine: ministack, with what it does otherwise than AWS put right."""

from __future__ import annotations

import ctypes
import json
import signal
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


def main() -> None:
    """Be the emulator, until asked to stop or until the runner is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    correct()
    threading.Thread(target=keep_awake, daemon=True).start()
    from ministack import app

    sys.argv = ["ministack"]
    app.main()


def correct() -> None:
    from ministack import app
    from ministack.core import iam_actions
    from ministack.services import lambda_svc

    # A number that a template takes from a parameter stays text in the emulator, and this one is compared.
    limit = lambda_svc._sqs_esm_concurrency
    lambda_svc._sqs_esm_concurrency = lambda *given: int(limit(*given))

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
