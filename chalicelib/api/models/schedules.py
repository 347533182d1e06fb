"""Schedules, windows and policies as the OpenAPI document shows them.

Requests take them as plain objects, which `core/` validates field by field. So these models only document; a test
checks that they accept the same objects as `core/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from chalicelib.api.models.base import Answer, Id, Instant, Request, Slot, example
from chalicelib.core.misfire import MisfirePolicy
from chalicelib.core.retry import Backoff
from chalicelib.core.schedules.dst import DstPolicy, Flag
from chalicelib.core.schedules.window_form import ALIASES

Zone = Annotated[str, Field(description="IANA time zone", examples=["Asia/Shanghai"])]
Moment = Annotated[
    str, Field(description="Local date and time of the zone, or with an offset", examples=["2026-03-08T02:30:00"])
]
TimeOfDay = Annotated[str, Field(examples=["02:00:00"])]


def _short_names(*types: str) -> tuple[str, ...]:
    """The short names of windows of these types."""
    return tuple(name for name, window in ALIASES.items() if window["type"] in types)


if TYPE_CHECKING:
    CountedName = str
    PeriodName = str
    ToDateName = str
    PlainName = str
else:
    CountedName = Literal[_short_names("last", "rolling")]
    PeriodName = Literal[_short_names("previous")]
    ToDateName = Literal[_short_names("to_date")]
    PlainName = Literal[_short_names("yesterday", "custom")]
Weekday = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


class Shown(BaseModel):
    """A model that documents an object which `core/` validates."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class _Range(Shown):
    timezone: Zone = "UTC"
    start: Annotated[Moment | None, Field(description="First fire at the earliest; inclusive")] = None
    end: Annotated[Moment | None, Field(description="Last fire at the latest; inclusive")] = None
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0


class _Days(_Range):
    dst_policy: DstPolicy = DstPolicy.VIXIE
    calendar: Annotated[Id | None, Field(description="A business calendar; without one, weekends are off")] = None
    on_non_business: Literal["run", "skip", "next", "previous", "modified_following"] = "run"


class NowSchedule(Shown):
    """Once, when the task is saved."""

    type: Literal["now"]
    timezone: Zone = "UTC"


class OnceSchedule(Shown):
    """Once, at a second to come."""

    type: Literal["once"]
    at: Moment
    timezone: Zone = "UTC"
    fold: Annotated[Literal[0, 1], Field(description="Which pass, where the clocks are put back")] = 0
    run_if_past: bool = False


class IntervalSchedule(_Range):
    """Every N units of elapsed time; clock changes do not matter."""

    type: Literal["interval"]
    every: Annotated[int, Field(ge=1)]
    unit: Literal["second", "minute", "hour"]
    anchor: Annotated[Moment | None, Field(description="Where counting begins, unless at `start`")] = None


class CalendarSchedule(_Days):
    """Every N days, weeks or months at a time of day on the wall clock."""

    type: Literal["calendar"]
    every: Annotated[int, Field(ge=1, le=10_000)]
    unit: Literal["day", "week", "month"]
    at: TimeOfDay
    weekdays: Annotated[list[Weekday] | None, Field(description="Weeks only")] = None
    week_start: Annotated[Weekday | None, Field(description="Weeks only")] = None
    month_day: Annotated[
        int | str | None, Field(description="Months only", examples=[1, "last", "last-2", "2nd tue", "last fri"])
    ] = None
    if_missing: Annotated[Literal["clamp", "skip"] | None, Field(description="Months only")] = None
    anchor: Moment | None = None


class CronSchedule(_Days):
    """Cron: 5 fields; 6 with seconds first; 7 with the year last; or `@daily` and its like."""

    type: Literal["cron"]
    expression: Annotated[str, Field(max_length=256, examples=["0 2 * * MON-FRI"])]


Schedule = Annotated[
    NowSchedule | OnceSchedule | IntervalSchedule | CalendarSchedule | CronSchedule, Field(discriminator="type")
]


class _Window(Shown):
    allow_empty: Annotated[bool, Field(description="Run a job whose window is empty instead of skipping it")] = False


class YesterdayWindow(_Window):
    """The local day before the slot's."""

    type: Literal["yesterday"]


class LastWindow(_Window):
    """N whole units before the slot, aligned to the unit."""

    type: Literal["last"]
    n: Annotated[int, Field(ge=1)] = 1
    unit: Literal["minute", "hour", "day"]


class RollingWindow(_Window):
    """N units of elapsed time up to the slot."""

    type: Literal["rolling"]
    n: Annotated[int, Field(ge=1)] = 1
    unit: Literal["second", "minute", "hour", "day", "week"]


class PreviousWindow(_Window):
    """The N whole periods before the slot's."""

    type: Literal["previous"]
    n: Annotated[int, Field(ge=1)] = 1
    unit: Literal["week", "month", "quarter", "year"]
    week_start: Weekday | None = None


class ToDateWindow(_Window):
    """From the first day of the slot's period."""

    type: Literal["to_date"]
    unit: Literal["month", "quarter", "year"]
    until: Annotated[Literal["full_days", "to_now"], Field(description="The slot's day, or the slot")] = "full_days"


class SincePreviousFireWindow(_Window):
    """From the slot before: windows that tile for every schedule."""

    type: Literal["since_previous_fire"]


class WindowEnd(Shown):
    """The slot, cut down to `trunc`, then moved by `offset` units."""

    trunc: Literal["second", "minute", "hour", "day", "week", "month", "quarter", "year"] | None = None
    offset: int = 0
    unit: Literal["second", "minute", "hour", "day", "week", "month", "quarter", "year"] | None = None


class CustomWindow(_Window):
    type: Literal["custom"]
    start: WindowEnd
    end: WindowEnd
    week_start: Weekday | None = None


class FixedWindow(_Window):
    type: Literal["fixed"]
    start: Moment
    end: Moment


class ShortCountedWindow(_Window):
    """A short name for `last` or `rolling` with its unit; with `n`, that many."""

    type: CountedName
    n: Annotated[int, Field(ge=1)] = 1


class ShortPeriodWindow(_Window):
    """A short name for `previous` with its unit; with `n`, that many."""

    type: PeriodName
    n: Annotated[int, Field(ge=1)] = 1
    week_start: Annotated[Weekday | None, Field(description="Of `previous_week` and `previous_weeks`")] = None


class ShortToDateWindow(_Window):
    """A short name for `to_date` with its unit."""

    type: ToDateName
    until: Annotated[Literal["full_days", "to_now"], Field(description="The slot's day, or the slot")] = "full_days"


class ShortWindow(_Window):
    """`previous_day` is `yesterday`; `today` goes from the start of the slot's day to the slot."""

    type: PlainName


Window = Annotated[
    YesterdayWindow
    | LastWindow
    | RollingWindow
    | PreviousWindow
    | ToDateWindow
    | SincePreviousFireWindow
    | CustomWindow
    | FixedWindow
    | ShortCountedWindow
    | ShortPeriodWindow
    | ShortToDateWindow
    | ShortWindow,
    Field(discriminator="type"),
]


class MisfireRules(Shown):
    policy: MisfirePolicy = MisfirePolicy.FIRE_ONCE
    grace_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    union: Annotated[bool, Field(description="fire_once: the slot that runs covers all windows")] = False
    catchup_window_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 86_400
    max_catchup: Annotated[int, Field(ge=1)] = 100


class RetryRules(Shown):
    max_attempts: Annotated[int, Field(ge=1, le=32)] = 1
    delay_seconds: Annotated[int, Field(ge=0)] = 60
    backoff: Backoff = Backoff.FIXED
    max_delay_seconds: Annotated[int, Field(ge=0)] = 3_600


@dataclass(frozen=True)
class ShownAs:
    """Validate as the annotated type, document as another."""

    shape: Any

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(self.shape).core_schema)


@dataclass(frozen=True)
class ShownAsOneOf:
    """Validate as the annotated type, document as one of the models that a registry has when the document is made."""

    models: Callable[[], Mapping[str, type[BaseModel]]]

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(reduce(or_, self.models().values())).core_schema)


Object = dict[str, Any]
ScheduleObject = Annotated[Object, ShownAs(Schedule)]
WindowObject = Annotated[Object, ShownAs(Window)]
MisfireObject = Annotated[str | Object, ShownAs(MisfirePolicy | MisfireRules)]
RetryObject = Annotated[Object, ShownAs(RetryRules)]


class PreviewIn(Request):
    model_config = example(
        {
            "schedule": {"type": "cron", "expression": "0 2 * * MON-FRI", "timezone": "Asia/Shanghai"},
            "window": {"type": "yesterday"},
            "count": 3,
        }
    )

    schedule: ScheduleObject
    window: WindowObject | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 5
    after: Annotated[Slot | None, Field(description="Fires strictly after this instant; now, unless given")] = None


class FireOut(Answer):
    at: Instant
    local: Annotated[str, Field(description="Local time with its offset", examples=["2026-03-08T03:00:00-04:00"])]
    flags: list[Flag]
    window_start: Instant | None
    window_end: Instant | None


class Words(Answer):
    en: str
    zh: str


class PreviewOut(Answer):
    """What a schedule will do. `schedule` and `window` are the canonical forms that a task would store."""

    schedule: ScheduleObject
    window: WindowObject | None
    words: Words
    fires: list[FireOut]
