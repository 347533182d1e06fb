"""The cron dialect, in one place for those who need expressions only.

`parse(text)` gives an `Expression`; `canonical(text)` its stored form; the EventBridge conversions take and give text
and schedules as in the API. All raise InvalidSchedule with the field `schedule.expression`.
"""

from __future__ import annotations

from chalicelib.core.eventbridge import from_eventbridge, to_eventbridge
from chalicelib.core.expression import MACROS, Expression, parse

__all__ = ["MACROS", "Expression", "canonical", "from_eventbridge", "parse", "to_eventbridge"]


def canonical(text: str) -> str:
    """The form that is stored and shown: same meaning, fewest fields, idempotent."""
    return str(parse(text))
