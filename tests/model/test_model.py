"""300 sequences of the model, the same each time; `python -m tests.model --sequences 5000` plays others, at length."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import HITS, Machine
from tests.model.playing import playing

SEQUENCES = 300
STEPS = 16
# What the sequences must contain to be worth something.
SEEN = {
    "create", "update", "delete", "run", "cancel", "rerun", "set_priority", "tick", "sweep", "deliver", "time passes",
    "a process dies", "a worker stops half way", "go on", "a worker dies", "a message is lost", "indexes lag",
}  # fmt: skip


def test_the_record_stays_sound_in_random_sequences_of_events(record_property: Callable[[str, object], None]) -> None:
    HITS.clear()
    with playing():
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=SEQUENCES,
                stateful_step_count=STEPS,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert {name for name in SEEN if HITS[name] >= 10} == SEEN
    record_property("acts of the model", sum(HITS.values()))
