"""All invariants of the record. They hold at every moment, also when a process dies between two writes.

`maintenance/integrity.py` and the tests read this table. Each row has its meaning in one sentence, a check, and where
the right values can be derived, a repair. A broken row without a repair is logged as an error for people.
"""

from __future__ import annotations

from chalicelib.core.invariants.facts import Facts, Invariant
from chalicelib.core.invariants.of_ends import END_INVARIANTS
from chalicelib.core.invariants.of_jobs import JOB_INVARIANTS
from chalicelib.core.invariants.of_runs import RUN_INVARIANTS

# In the order of repair: a column that another is derived from comes before it.
INVARIANTS = (*JOB_INVARIANTS, *END_INVARIANTS, *RUN_INVARIANTS)


def broken(facts: Facts) -> list[Invariant]:
    """The invariants that do not hold, in the order of repair."""
    return [each for each in INVARIANTS if not each.holds(facts)]
