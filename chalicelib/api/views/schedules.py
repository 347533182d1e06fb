"""Previews of a schedule before it is saved."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models.schedules import PreviewIn, PreviewOut
from chalicelib.api.operation import Call, operation
from chalicelib.core.schedules.fires import accept_schedule
from chalicelib.core.schedules.preview import preview_fires
from chalicelib.core.schedules.window import accept_window
from chalicelib.core.schedules.words import describe
from chalicelib.errors import InvalidSchedule
from chalicelib.scheduling import calendars
from chalicelib.settings import settings


@operation(
    "POST",
    "/schedules/preview",
    body=PreviewIn,
    answer=PreviewOut,
    errors=(InvalidSchedule,),
    keep_answer=False,
    summary="The next fires of a schedule with local time, flags and windows, and the schedule in words",
)
def preview_schedule(call: Call) -> Any:
    calendar = calendars.calendar_of(call.body.schedule)
    schedule = accept_schedule(
        call.body.schedule,
        now=call.now,
        minimum_gap_seconds=settings().minimum_gap_seconds,
        calendar=calendar,
    )
    window = call.body.window
    if window is not None:
        window = accept_window(window, schedule_type=schedule["type"], timezone=schedule["timezone"])
    fires = preview_fires(
        schedule, after=call.body.after or call.now, count=call.body.count, window=window, calendar=calendar
    )
    words = {language: describe(schedule, language) for language in ("en", "zh")}
    return {"schedule": schedule, "window": window, "words": words, "fires": fires}
