"""`make run`: the packaged template, deployed on the emulator, with a shop to try it on. Ctrl-C stops all of it.

runner (this process)  front on the given port, the shop's clerk
  └─ emulator          API Gateway, Lambda, SQS, EventBridge, DynamoDB, S3, Secrets Manager, Cognito
       └─ functions    one process for each that runs at once
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from botocore.exceptions import BotoCoreError, ClientError

from infra import package, stack, template
from infra.local import emulator, leases, seed, shop, snapshots
from infra.local.address import Caller, Refused, wait_until_well
from infra.local.front import Front
from infra.local.state import AlreadyRunning, State, UnusableState

STAGE = "local"
STACK = "carillon-local"
# A database on this machine may be a source.
LOOPBACK = "127.0.0.0/8,::1/128"
WELL_SECONDS = 60.0
LAST_PORT = 65_535


PROBLEMS = (
    AlreadyRunning,
    emulator.EmulatorProblem,
    package.PackageProblem,
    template.TemplateProblem,
    stack.DeployProblem,
    Refused,
    TimeoutError,
)


class Stopped(BaseException):
    """Asked to stop, by Ctrl-C or by a signal. Not an Exception: nothing on the way may swallow it."""


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in a sentence: how the words are given is the Makefile's business."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def port_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def main() -> int:
    parser = Parser(prog="make run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=port_number, default=8000)
    parser.add_argument("--files-port", type=port_number)
    parser.add_argument("--state", type=Path, default=Path(".local"))
    given = parser.parse_args()
    base_url = f"http://{emulator.HOST}:{given.port}/api"
    state = State(given.state)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    try:
        with state.hold(f"process {os.getpid()}, {base_url}") as lock:
            run(state, lock, given.port, given.files_port, base_url)
    except UnusableState as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except PROBLEMS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("Stopped. The state is kept; `make run` goes on from here.", flush=True)
    return 0


def run(state: State, lock: TextIO, port: int, files_port: int | None, base_url: str) -> NoReturn:
    """Start everything, and serve until stopped. No process is left running, however it ends."""
    started = time.monotonic()
    with using(port, "PORT"):
        front = Front(port, about=lambda: description(state, base_url))
    child: subprocess.Popen[bytes] | None = None
    closing = threading.Event()
    try:
        found = snapshots.recover(state.services)
        if found is not None:
            print(goes_on_from(found), flush=True)
        inside = files_port or state.emulator_port or beside(port)
        with using(inside, "FILES_PORT"):
            emulator.check_free(inside)
        state.emulator_port = inside
        print("Starting the emulator …", flush=True)
        child = emulator.start(state.folder, inside, lock)
        outputs = deploy(state, inside)
        database = state.data / "shop.db"
        print(f"{shop.top_up(database, datetime.now(UTC))} new orders in the sample shop.", flush=True)
        shop.keep_up(database, closing)
        # No worker is alive: the lock is ours, so those of an earlier start are gone, and new ones wait for the word.
        lost = leases.end(STACK, now=datetime.now(UTC))
        if lost:
            print(
                f"Jobs whose run the last stop cut off: {lost}. "
                "They run again where their retries allow, and end as failed (worker_lost) where not.",
                flush=True,
            )
        if found is not None:
            snapshots.mark_running(state.services, found)
        emulator.let_work(child)
        threading.Thread(target=first_minute, args=(inside, outputs, closing), name="first-minute", daemon=True).start()
        front.lead_to(inside, outputs["ApiId"])
        load(state, front.upstream, base_url)
        # Opened last: who sees the API well finds the credentials.
        with using(port, "PORT"):
            front.open()
        print(f"\nReady after {time.monotonic() - started:.0f} s.\n\n{description(state, base_url)}", flush=True)
        while child.poll() is None:
            time.sleep(0.5)
        raise emulator.EmulatorProblem(f"the emulator ended by itself; its log is {state.folder / 'emulator.log'}")
    finally:
        # A second Ctrl-C must not cut the saving short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        closing.set()
        front.server_close()
        if child is not None:
            print("\nStopping …", flush=True)
            emulator.stop(child, state.folder)


@contextlib.contextmanager
def using(port: int, setting: str) -> Iterator[None]:
    """Say which port another process has, and which setting chooses another one."""
    try:
        yield
    except OSError as error:
        raise emulator.EmulatorProblem(
            f"port {port} cannot be used ({error.strerror}); try make run {setting}=…"
        ) from error


def beside(port: int) -> int:
    """The port of links to files where none is given: the next one, or the one before the last port there is."""
    return port + 1 if port < LAST_PORT else port - 1


def goes_on_from(found: snapshots.Snapshot) -> str:
    at = f"{found.at:%Y-%m-%d %H:%M:%S} UTC"
    if found.stopped:
        return f"Going on from {at}, when the stack was stopped."
    return (
        f"The stack was killed, not stopped. Going on from its last snapshot, of {at}: "
        "changes of the seconds after it are lost, and work of that time is done again."
    )


def deploy(state: State, port: int) -> dict[str, str]:
    """Package what is in the work tree and deploy it, when it differs from what runs."""
    print("Packaging …", flush=True)
    package.build(STAGE, state.build, with_layer=False)
    session = emulator.session(port)
    made = stack.Package.read(state.build)
    outputs = stack.deploy(made, STACK, {"DataFolder": str(state.data), "AllowedNetworks": LOOPBACK}, session)
    # The emulator does not read these from the API's definition, as API Gateway does.
    gateway = session.client("apigateway")
    for kind, response in made.gateway_responses.items():
        status = {"statusCode": str(response["statusCode"])} if "statusCode" in response else {}
        gateway.put_gateway_response(
            restApiId=outputs["ApiId"],
            responseType=kind,
            responseTemplates=response["responseTemplates"],
            responseParameters=response.get("responseParameters", {}),
            **status,
        )
    gateway.create_deployment(restApiId=outputs["ApiId"], stageName="api")
    return outputs


def first_minute(port: int, outputs: dict[str, str], closing: threading.Event) -> None:
    """Do once what AWS does each minute, since the emulator waits for its first minute to pass: take up what the last
    stop left, and record the slots that came since. Starting the worker's process, which has nothing to do yet, makes
    the first job as punctual as all others."""
    client = emulator.session(port).client("lambda")
    each_minute = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": client.meta.region_name,
        "resources": [],
        "detail": {},
    }
    for function, event in (("sweep", each_minute), ("tick", each_minute), ("work", {"Records": []})):
        try:
            name = outputs[f"{function.title()}Name"]
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
            failed = "FunctionError" in answer
        except (BotoCoreError, ClientError):
            failed = True
        if failed and not closing.is_set():
            print(f"{function} failed; make logs FUNCTION={function} shows why.", file=sys.stderr, flush=True)


def load(state: State, inside: str, base_url: str) -> None:
    """Tokens and samples, where they are not there yet, through the emulator's own address: the front is closed yet."""
    wait_until_well(Caller(inside), WELL_SECONDS)
    marker = state.folder / "samples"
    known = state.credentials
    if known is None or not seed.works(known["tokens"], inside):
        marker.unlink(missing_ok=True)
        known = {"base_url": base_url, "tokens": seed.tokens(inside, STACK)}
        state.credentials = known
    if known["base_url"] != base_url:
        state.credentials = known = known | {"base_url": base_url}
    if not marker.exists():
        try:
            task = seed.samples(Caller(inside, known["tokens"]["admin"]))
        except Refused as error:
            # The stack is worth having without them, if only to find out why.
            print(f"The samples were refused, {error}; make logs shows more.", file=sys.stderr, flush=True)
        else:
            marker.write_text(task, encoding="utf-8")


def description(state: State, base_url: str) -> str:
    marker = state.folder / "samples"
    task = marker.read_text(encoding="utf-8") if marker.exists() else "TASK_ID"
    return f"""Carillon, local stack
  API           {base_url}
  Description   {base_url}/openapi.json
  Files         http://{emulator.HOST}:{state.emulator_port} (links to files lead there)
  Credentials   {state.credentials_file}
  Sample data   {state.data / "shop.db"}

Try it:
  TOKEN=$(python3 -c 'import json; print(json.load(open("{state.credentials_file}"))["tokens"]["admin"])')
  curl -s {base_url}/health
  curl -s -H "Authorization: Bearer $TOKEN" {base_url}/tasks
  curl -s -H "Authorization: Bearer $TOKEN" -X POST {base_url}/tasks/{task}/run
  curl -s -H "Authorization: Bearer $TOKEN" {base_url}/jobs?task_id={task}

Ctrl-C stops it; the state stays in {state.folder}.
"""


def ask_to_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
