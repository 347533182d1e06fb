"""`make logs [STATE=.local] [FUNCTION=work]`: what the functions of a running local stack wrote, newest last."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local import emulator
from infra.local.state import State

FUNCTIONS = ("api", "authorize", "tick", "sweep", "work", "fire")


def events(port: int, stack: str, function: str) -> list[dict[str, Any]]:
    client = emulator.client(port, "logs")
    group = f"/aws/lambda/{stack}-{function}"
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event for page in pages for event in page["events"]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make logs", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".local"))
    parser.add_argument("--function", choices=FUNCTIONS, action="append")
    given = parser.parse_args()
    port = State(given.state).emulator_port
    if port is None:
        print(f"error: no stack was ever started in {given.state}", file=sys.stderr)
        return 1
    found = [
        (event["timestamp"], function, event["message"].rstrip())
        for function in given.function or FUNCTIONS
        for event in events(port, "carillon-local", function)
    ]
    for milliseconds, function, message in sorted(found):
        print(f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%H:%M:%S} {function:<9} {message}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
