"""Each call of firing, running, repairing and acting has each fault in turn, on a stage in memory.

A fault is a throttle, a 500, a time-out after the effect (told, or hidden by the client's own second try), a batch of
which the service takes a part, or a second delivery in the middle of the first. What a process raises then is its end,
as it is in Lambda. Afterwards ticks, sweeps and workers go on, and no invariant is or was broken.

The tests play a sample of the cases, chosen by a seed; `python -m tests.bench.bench_faults` plays all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.lifecycle import JobStatus
from chalicelib.store import job_transitions
from chalicelib.store.job_record import JobRecord
from tests.faults.conftest import POINTS
from tests.faults.fault_cases import SCENARIOS, FaultCase, a_story, check, every_case, fires, play, sample
from tests.faults.injection import Fault

# Of all cases one in so many is played.
ONE_IN = 6


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_fault_of_a_call_breaks_an_invariant(name: str, record_property: Callable[[str, object], None]) -> None:
    cases = sample(every_case(name), one_in=ONE_IN, seed=name)
    for case in cases:
        play(case)
    record_property(f"{POINTS} with faults, {name}", len(cases))


# Cases that found a fault, whichever the sample takes.
FOUND = [
    # A cancel that was read before another cancel and a re-run ended the job with the facets of before.
    FaultCase("slot ahead: cancel_and_rerun", Fault.DUPLICATE, 2),
    FaultCase("slot ahead: cancel_and_rerun", Fault.DUPLICATE, 3),
]


@pytest.mark.parametrize("case", FOUND, ids=str)
def test_a_case_that_found_a_fault_finds_none(case: FaultCase) -> None:
    play(case)


@pytest.mark.parametrize("fault", [Fault.REPEATED, Fault.TIME_OUT])
def test_a_claim_whose_answer_was_lost_stands_and_costs_no_attempt(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task without retries the job would end as lost, and would never have run."""
    real = job_transitions.claim
    with a_story(FaultCase("fire")) as its:

        def claim(job: JobRecord, **named: Any) -> bool:
            its.faults.fault, its.faults.at = fault, len(its.faults.calls) + 1
            return real(job, **named)

        monkeypatch.setattr(job_transitions, "claim", claim)
        fires(retry={"max_attempts": 1})(its)
        its.until_quiet()
        assert its.faults.at
        check(its, frozenset({JobStatus.SUCCEEDED}))
        assert {int(job.attempts_spent) for job in its.jobs()} == {1}
