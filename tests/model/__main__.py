"""`python -m tests.model --sequences 5000`: the model at length, with other sequences each time, and its figures."""

from __future__ import annotations

import argparse
import sys
import time

from tests.support import world  # isort: skip  # noqa: F401  (it sets the environment)

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import HITS, Machine
from tests.model.playing import playing


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sequences", type=int, default=5_000)
    arguments.add_argument("--steps", type=int, default=25)
    arguments.add_argument("--as-found", action="store_true", help="show a failure at once instead of making it small")
    arguments.add_argument("--same", action="store_true", help="the same sequences each time")
    asked = arguments.parse_args()
    out, begun = sys.stdout, time.monotonic()
    with playing():
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=asked.sequences,
                stateful_step_count=asked.steps,
                derandomize=asked.same,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
                phases=[Phase.generate] if asked.as_found else [Phase.generate, Phase.shrink],
                report_multiple_bugs=False,
            ),
        )
    seconds = time.monotonic() - begun
    out.write(f"{asked.sequences} sequences, {sum(HITS.values())} acts, {seconds:.0f} s\n")
    for name, times in HITS.most_common():
        out.write(f"{times:8} {name}\n")


if __name__ == "__main__":
    main()
