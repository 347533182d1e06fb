"""`python -m tests.faults.work_once SECONDS MESSAGE`: one worker process, which a test may kill."""

from __future__ import annotations

import sys
from datetime import timedelta

from chalicelib import clock
from chalicelib.queue import claim
from chalicelib.worker import worker


def main() -> None:
    until = clock.now() + timedelta(seconds=float(sys.argv[1]))
    worker.handle(sys.argv[2], worker=claim.Worker("to-be-killed", until, clock.Clock()))


if __name__ == "__main__":
    main()
