"""What is true of every job at every moment, whoever dies between two writes: one table, read by `patrol` and tests.

Each row says it in a sentence, checks it, and, where what is broken can be known from the rest, gives the columns that
make it true again. A row without `mend` cannot be repaired by a program: it is told to people.
"""

from __future__ import annotations

from chalicelib.core.invariants.facts import Facts, Invariant
from chalicelib.core.invariants.of_ends import OF_AN_END
from chalicelib.core.invariants.of_jobs import OF_A_JOB
from chalicelib.core.invariants.of_runs import OF_ITS_RUNS

# In the order of repair: what others are made of comes first.
INVARIANTS = (*OF_A_JOB, *OF_AN_END, *OF_ITS_RUNS)


def broken(facts: Facts) -> list[Invariant]:
    """The invariants that do not hold, in the order in which they are to be repaired."""
    return [each for each in INVARIANTS if not each.holds(facts)]
