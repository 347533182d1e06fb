"""The local date that a schedule wrote for a fire, which the windows of days, weeks and months are counted from.

It is the local date of the instant, but for a fire that a gap moved past midnight: where the clocks of Nuuk go forward
from 23:00 to 0:00, `30 23 * * *` fires at 0:00 of the next date. Counted from there, `yesterday` would cover one date
twice and one never.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.core.local_time import aware_utc, epoch_seconds, offset_at, to_local
from chalicelib.core.schedules.business_days import Calendar
from chalicelib.core.schedules.plan import DatePlan, compile_plan

_ONE_DAY = timedelta(days=1)


def written_date(schedule: Mapping[str, Any], fire: datetime, *, calendar: Calendar | None = None) -> date:
    """The date of a fire of the schedule, as written. Of any other instant: its local date."""
    plan = compile_plan(schedule)
    at = epoch_seconds(aware_utc(fire, field="fire"))
    shown = to_local(aware_utc(fire, field="fire"), plan.tz)
    gap = offset_at(at, plan.tz) - offset_at(at - 1, plan.tz)
    since_midnight = shown.hour * 3600 + shown.minute * 60 + shown.second
    if not isinstance(plan, DatePlan) or gap <= since_midnight:
        return shown.date()
    # The gap ends here and begins on the date before. The schedule may have written a time of either date.
    due = plan.is_due_on(shown.date(), calendar) and plan.times[0] <= since_midnight
    return shown.date() if due or not plan.dst_rule.shift_gaps else shown.date() - _ONE_DAY
