"""Overlap: whether a slot may start while an earlier job of its task is still waiting, assigned or running."""

from __future__ import annotations

from enum import StrEnum

from chalicelib.core.fields import one_of
from chalicelib.errors import Invalid

# The most buffered jobs of one task. A task that reaches it always takes longer than its period.
BUFFER_CAP = 1000


class OverlapPolicy(StrEnum):
    SKIP = "skip"  # the slot is recorded as skipped, reason overlap
    BUFFER_ONE = "buffer_one"  # one slot waits for the earlier job to end, further ones are skipped
    BUFFER_ALL = "buffer_all"  # all wait, up to BUFFER_CAP
    CANCEL_OTHER = "cancel_other"  # the earlier jobs are cancelled, this one starts
    ALLOW_ALL = "allow_all"

    @classmethod
    def accept(cls, value: object) -> OverlapPolicy:
        """From the API's text; None is the default, `skip`."""
        return cls.SKIP if value is None else cls(one_of(value, cls, field="overlap", error=Invalid))


class OverlapDecision(StrEnum):
    ADMIT = "admit"
    SKIP = "skip"
    BUFFER = "buffer"
    CANCEL_OTHERS = "cancel_others"


def decide(policy: OverlapPolicy, *, earlier_active: int, earlier_buffered: int) -> OverlapDecision:
    """`earlier_active`: earlier jobs of the task that have not ended and are not buffered; also those between attempts.

    `earlier_buffered`: earlier jobs that wait for one of those to end. A buffered job is decided again when an earlier
    one ends, and is admitted when no earlier one is left.
    """
    earlier = earlier_active + earlier_buffered
    if policy is OverlapPolicy.ALLOW_ALL or earlier == 0:
        return OverlapDecision.ADMIT
    if policy is OverlapPolicy.CANCEL_OTHER:
        return OverlapDecision.CANCEL_OTHERS
    return OverlapDecision.BUFFER if earlier_buffered < _BUFFER_SIZE[policy] else OverlapDecision.SKIP


_BUFFER_SIZE = {OverlapPolicy.SKIP: 0, OverlapPolicy.BUFFER_ONE: 1, OverlapPolicy.BUFFER_ALL: BUFFER_CAP}
