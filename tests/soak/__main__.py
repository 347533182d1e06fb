"""`make soak`: the stack of `make run` under random acts, kills and power cuts, and then the proof."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.local_stack import LocalStack
from tests.soak import acting, diary
from tests.soak.proof import HttpApi, Proof, report

# A killed worker is found within two minutes, and its job may wait for retries.
REST_SECONDS = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--state", type=Path, default=None)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else int(datetime.now(UTC).timestamp())
    folder = given.state or Path(tempfile.mkdtemp(prefix="carillon-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    stack = LocalStack(folder / "state").start()
    written = folder / "diary.jsonl"
    sys.stdout.write(f"seed {seed}, {folder}\n")
    until = datetime.now(UTC) + timedelta(minutes=given.minutes)
    cast = acting.Cast(stack, diary.Diary(written), tasks=given.tasks, seed=seed)
    done = threading.Event()
    try:
        cast.prepare(until)
        threading.Thread(target=acting.progress, args=(cast, done), daemon=True).start()
        cast.act(until)
        cast.come_to_rest(REST_SECONDS)
        done.set()
        acts = Counter(line["act"] for line in diary.read(written))
        sys.stdout.write(f"acts: {dict(acts)}; refused: {cast.refused}\n")
        token = (stack.state.credentials or {})["tokens"]["admin"]
        return report(Proof(HttpApi(stack.base_url, token), diary.read(written)))
    finally:
        done.set()
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
